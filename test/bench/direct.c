/* bench-direct: the reference that the dispatcher is measured against. Worker processes forked in
 * advance, each in a blocking accept() on the shared listener, one connection at a time: the least
 * that a server of several processes can do, with the same work per connection as dispatcher-echo
 * (a line and close, or everything back until end of file). */
#include "test/bench/address.h"
#include "common/base.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WORKERS_MAX 1024

static const char usage_text[] =
	"usage: bench-direct [-w WORKERS] [-b BANNER] ADDRESS:PORT     (loopback only)\n"
	"Serves until TERM: sends BANNER and closes, or without -b echoes until end of file.\n";

static _Noreturn void usage(int status)
{
	fputs(usage_text, status ? stderr : stdout);
	exit(status);
}

static int listen_on(const char *address)
{
	static const int on = 1;
	struct sockaddr_storage sa;
	int len = address_parse(address, &sa);
	int fd;

	if (len < 0)
		usage(2);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&sa, (socklen_t)len) < 0 || listen(fd, SOMAXCONN) < 0) {
		perror("bench-direct");
		exit(1);
	}
	return fd;
}

static void echo(int fd)
{
	char buf[65536];
	ssize_t got;

	while ((got = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (send(fd, buf, (size_t)got, MSG_NOSIGNAL) < 0)
			break;
}

static _Noreturn void serve(int listener, const char *banner, size_t banner_len)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			_exit(1);
		}
		if (!banner)
			echo(fd);
		else
			(void)!send(fd, banner, banner_len, MSG_NOSIGNAL);
		close(fd);
	}
}

/* Returns how many could be forked. */
static unsigned fork_workers(int listener, unsigned workers, const char *banner, pid_t *ret_pids)
{
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s\r\n", banner ? banner : "");

	for (unsigned i = 0; i < workers; i++) {
		ret_pids[i] = fork();
		if (ret_pids[i] < 0)
			return i;
		if (!ret_pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(listener, banner ? line : NULL,
				(size_t)MIN(len, (int)sizeof(line) - 1));
		}
	}
	return workers;
}

/* Until it is told to end, or a worker dies, which none should. */
static int supervise(const sigset_t *signals, const pid_t *pids, unsigned count)
{
	int got = sigwaitinfo(signals, NULL);

	for (unsigned i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return got == SIGCHLD ? 1 : 0;
}

static void block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGINT);
	sigaddset(ret_signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, ret_signals, NULL);
}

int main(int argc, char **argv)
{
	unsigned long workers = 4;
	const char *banner = NULL;
	pid_t pids[WORKERS_MAX];
	sigset_t signals;
	unsigned forked;
	int letter, listener;

	while ((letter = getopt(argc, argv, "w:b:h")) != -1) {
		switch (letter) {
		case 'w':	workers = strtoul(optarg, NULL, 10); break;
		case 'b':	banner = optarg; break;
		case 'h':	usage(0);
		default:	usage(2);
		}
	}
	if (optind != argc - 1 || !workers || workers > WORKERS_MAX)
		usage(2);
	listener = listen_on(argv[optind]);
	block_signals(&signals);
	forked = fork_workers(listener, (unsigned)workers, banner, pids);
	if (forked == workers) {
		puts("listening");
		fflush(stdout);
	} else {
		perror("bench-direct: fork");
		kill(getpid(), SIGTERM);
	}
	return supervise(&signals, pids, forked) || forked < workers;
}
