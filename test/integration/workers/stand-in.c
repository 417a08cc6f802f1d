/* Plays the dispatcher for one adapted program, so that the preloaded library can be tested alone.
 *
 *   stand-in [-e] [-m MAX] [-p LIBRARY] NAME... -- COMMAND...
 *
 * It binds the names (as "127.0.0.1:8025", "unix:/run/x"), starts the command with a channel, a
 * page, a bell and a doorbell, offers what it accepts (at most MAX at a time, one per message), and
 * believes the page as the acceptor does. On its standard input it takes `stat`, `eof` (shuts the
 * channel for writing), `exit` (is gone, and leaves the program alone); at the end of its input it
 * ends the program. It answers in lines of JSON. */
#include "common/adapter.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SLOTS    4096u
#define RING_LEN 4096u

struct stand_in {
	const char *names[ADAPTER_MAX_LISTENERS];
	int listeners[ADAPTER_MAX_LISTENERS];
	unsigned listener_count;
	const char *library;
	bool ends_by_eof, is_shut;
	int status; /* of waitpid(2), once it has ended */
	unsigned max;
	int channel[2], page_fd, bell_fd, doorbell[2];
	struct page *page;
	struct bell *bell;
	pid_t child;
	bool is_open[SLOTS];
	uint32_t generation[SLOTS];
	uint64_t given, read, lies;
};

static int bind_name(const char *name)
{
	struct adapter_listener l;
	struct sockaddr_storage sa;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t len;
	int fd, on = 1;

	if (adapter_read_listener(name, &l) < 0)
		errx(2, "%s: no address", name);
	fd = socket(l.addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (l.addr.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	len = addr_to_sockaddr(&l.addr, &sa);
	if (!len) {
		memcpy(un.sun_path, l.path, sizeof(un.sun_path));
		memcpy(&sa, &un, sizeof(un));
		len = sizeof(un);
	}
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1024) < 0)
		err(2, "%s", name);
	if (*l.path)
		chmod(l.path, 0666);
	return fd;
}

static void make_parts(struct stand_in *s)
{
	s->page_fd = page_memory("page", adapter_page_bytes(RING_LEN));
	s->bell_fd = page_memory("bell", sizeof(struct bell));
	s->page = page_map(s->page_fd, page_bytes(RING_LEN), 1);
	s->bell = page_map(s->bell_fd, sizeof(struct bell), 1);
	if (!s->page || !s->bell || chan_pair(s->channel) < 0 ||
		pipe2(s->doorbell, O_CLOEXEC | O_NONBLOCK) < 0)
		err(2, "parts");
	shutdown(s->channel[0], SHUT_RD);
	s->page->version = PAGE_VERSION;
	s->page->ring_len = RING_LEN;
}

static void become_program(const struct stand_in *s, char **command)
{
	const int fds[] = {s->channel[1], s->page_fd, s->bell_fd, s->doorbell[1]};
	const struct adapter_head head = {.channel = 3,
		.page = 4,
		.bell = 5,
		.doorbell = 6,
		.ring_len = RING_LEN,
		.ends_by_eof = s->ends_by_eof,
		.stop_signal = SIGTERM};
	char text[ADAPTER_TEXT_BYTES];

	if (adapter_write(&head, s->names, s->listener_count, text, sizeof(text)) < 0)
		errx(2, "too many names");
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fcntl(fds[i], F_DUPFD, 100); /* 100 to 103, as nothing else is there */
	for (int i = 0; i < 4; i++)
		dup2(100 + i, 3 + i);
	for (int i = 0; i < 4; i++)
		close(100 + i);
	setenv(ADAPTER_ENV, text, 1);
	setenv("DISPATCHER_WORKER", "1", 1);
	setenv("LD_PRELOAD", s->library, 1);
	execvp(command[0], command);
	err(127, "%s", command[0]);
}

static void start(struct stand_in *s, char **command)
{
	s->child = fork();
	if (s->child < 0)
		err(2, "fork");
	if (s->child)
		return;
	setsid();
	dup2(open("/dev/null", O_RDWR), 0);
	dup2(2, 1);
	become_program(s, command);
}

static void read_page(struct stand_in *s)
{
	struct page_claims claims;

	page_read(s->page, &claims);
	for (; s->read < claims.done; s->read++) {
		uint32_t tag = page_done_slot(s->page, RING_LEN, s->read);
		uint32_t slot = tag & (ADAPTER_SLOTS - 1);

		if (slot < SLOTS && s->is_open[slot] &&
			s->generation[slot] == tag >> ADAPTER_SLOT_BITS)
			s->is_open[slot] = false;
		else
			s->lies++;
	}
}

static uint32_t free_slot(struct stand_in *s)
{
	uint32_t slot = 0;

	while (s->is_open[slot])
		slot++;
	s->is_open[slot] = true;
	s->generation[slot] = (s->generation[slot] + 1) % 4096;
	return slot | s->generation[slot] << ADAPTER_SLOT_BITS;
}

static void offer(struct stand_in *s, unsigned listener)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int fd = accept4(
		s->listeners[listener], (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct msg_conn conn = {.listener = listener};
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer w;

	if (fd < 0)
		return;
	addr_from_sockaddr(&conn.peer, (struct sockaddr *)&sa, len);
	conn.slot = free_slot(s);
	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	msg_put_conn(&w, &conn);
	if (chan_send(s->channel[0], buf, (size_t)msg_end(&w), &fd, 1))
		errx(1, "offer");
	s->given++;
	close(fd);
}

/* -1: the program runs. Whoever asks later is told the same. */
static int look_at_child(struct stand_in *s)
{
	int status;

	if (s->status < 0 && waitpid(s->child, &status, WNOHANG) == s->child)
		s->status = status;
	return s->status;
}

static void answer(struct stand_in *s, int status)
{
	struct page_claims claims;
	char line[PAGE_LINE_BYTES];

	read_page(s);
	page_read(s->page, &claims);
	page_copy_line(s->page, line);
	printf("{\"pid\": %d, \"ready\": %s, \"given\": %lu, \"taken\": %lu, \"done\": %lu, "
	       "\"lies\": %lu, "
	       "\"line\": \"%s\", \"status\": %d}\n",
		s->child, claims.ready ? "true" : "false", s->given, claims.taken, claims.done,
		s->lies, line, status);
	fflush(stdout);
}

static void obey(struct stand_in *s)
{
	char text[64];
	ssize_t len = read(0, text, sizeof(text));
	int status = s->status;

	if (len <= 0) {
		kill(-s->child, SIGTERM);
		waitpid(s->child, &status, 0);
		answer(s, status);
		exit(0);
	}
	if (!strncmp(text, "exit", 4))
		_exit(0);
	if (!strncmp(text, "eof", 3)) {
		s->is_shut = true;
		shutdown(s->channel[0], SHUT_WR);
	}
	answer(s, look_at_child(s));
}

static void ring(struct stand_in *s)
{
	char bytes[64];

	while (read(s->doorbell[0], bytes, sizeof(bytes)) > 0)
		;
	page_arm(s->bell);
}

static void serve(struct stand_in *s)
{
	struct pollfd fds[ADAPTER_MAX_LISTENERS + 2] = {
		{.fd = 0, .events = POLLIN}, {.fd = s->doorbell[0], .events = POLLIN}};

	for (;;) {
		read_page(s);
		for (unsigned i = 0; i < s->listener_count; i++)
			fds[2 + i] =
				(struct pollfd){.fd = s->is_shut || s->given - s->read >= s->max ||
								      !atomic_load(&s->page->ready)
							      ? -1
							      : s->listeners[i],
					.events = POLLIN};
		if (poll(fds, s->listener_count + 2, 1000) < 0 && errno != EINTR)
			err(1, "poll");
		if (fds[0].revents)
			obey(s);
		if (fds[1].revents)
			ring(s);
		for (unsigned i = 0; i < s->listener_count; i++)
			if (fds[2 + i].revents & POLLIN)
				offer(s, i);
	}
}

int main(int argc, char **argv)
{
	static struct stand_in s = {.max = 100, .status = -1};
	int option;

	while ((option = getopt(argc, argv, "+em:p:")) != -1) {
		if (option == 'e')
			s.ends_by_eof = true;
		else if (option == 'm')
			s.max = (unsigned)atoi(optarg);
		else if (option == 'p')
			s.library = optarg;
		else
			return 2;
	}
	/* getopt stops at the first name; "--" stands between names and command */
	for (; optind < argc && strcmp(argv[optind], "--"); optind++)
		s.names[s.listener_count++] = argv[optind];
	for (unsigned i = 0; i < s.listener_count; i++)
		s.listeners[i] = bind_name(s.names[i]);
	if (!s.library || optind + 1 >= argc)
		return 2;
	make_parts(&s);
	start(&s, argv + optind + 1);
	page_arm(s.bell);
	serve(&s);
}
