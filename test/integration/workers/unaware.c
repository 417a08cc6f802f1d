/* Servers that know nothing of a dispatcher, each with a habit of its own: unaware HABIT ADDRESS...
 *
 * To each client they write one line, "LABEL PEER OWN-ADDRESS", and then wait for the client to
 * close. */
#include "test/integration/workers/unaware.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void habit_plain(char **names)
{
	int listener = listening(names[0], 0);

	for (;;) {
		int fd = next_conn(listener);

		attend(fd, "plain");
		close(fd);
	}
}

struct thread {
	pthread_t id;
	int listener;
	const char *label;
};

static void *attend_all(void *argument)
{
	const struct thread *t = argument;

	for (;;) {
		int fd = next_conn(t->listener);

		attend(fd, t->label);
		close(fd);
	}
	return NULL;
}

static void run_threads(struct thread *threads, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pthread_create(&threads[i].id, NULL, attend_all, &threads[i]);
	pthread_join(threads[0].id, NULL);
}

static void habit_threads(char **names)
{
	int listener = listening(names[0], 0);
	struct thread threads[8];

	for (unsigned i = 0; i < COUNT(threads); i++)
		threads[i] = (struct thread){.listener = listener, .label = "thread"};
	run_threads(threads, COUNT(threads));
}

static void habit_pair(char **names)
{
	struct thread threads[] = {{.listener = listening(names[0], 0), .label = "first"},
		{.listener = listening(names[1], 0), .label = "second"}};

	run_threads(threads, COUNT(threads));
}

/* Threads that fork while others accept and close. */
static void *fork_and_attend(void *argument)
{
	const struct thread *t = argument;

	for (;;) {
		int fd = next_conn(t->listener);

		if (!fork()) {
			attend(fd, "child");
			_exit(0);
		}
		close(fd);
	}
	return NULL;
}

static void habit_forking_threads(char **names)
{
	int listener = listening(names[0], 0);
	struct thread threads[4];

	signal(SIGCHLD, SIG_IGN);
	for (unsigned i = 0; i < COUNT(threads); i++) {
		threads[i] = (struct thread){.listener = listener};
		pthread_create(&threads[i].id, NULL, fork_and_attend, &threads[i]);
	}
	pthread_join(threads[0].id, NULL);
}

/* Every way to make another descriptor of the connection, and every way to close it. */
static void copy_and_close(int fd)
{
	int a = dup(fd), b = fcntl(fd, F_DUPFD, 40), c = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	int d = dup2(fd, 60), e = dup3(fd, 61, O_CLOEXEC), f = dup(fd), g = dup(fd);
	int other = open("/dev/null", O_RDONLY);
	FILE *file = fdopen(f, "r+");

	attend(fd, "dups");
	close(a);
	syscall(SYS_close, b);
	dup2(other, c);
	close(c);
	close_range((unsigned)d, (unsigned)e, 0);
	fclose(file);
	dup2(g, g);
	shutdown(g, SHUT_RDWR);
	close(g);
	close(other);
	close(fd);
	if (close(fd) == 0 || close(g) == 0 || errno != EBADF)
		errx(1, "a closed descriptor is open");
}

static void habit_dups(char **names)
{
	int listener = listening(names[0], 0), other = dup(listener);

	close(listener);
	for (;;)
		copy_and_close(next_conn(other));
}

static void watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
}

static volatile sig_atomic_t is_told;

static void on_term(int number)
{
	is_told = 1;
}

/* Accepts when poll() says so, by a listener that blocks, and looks between for a TERM. */
static void habit_looks(char **names)
{
	struct pollfd listener = {.fd = listening(names[0], 0), .events = POLLIN};

	signal(SIGTERM, on_term);
	while (!is_told) {
		int fd = poll(&listener, 1, 100) > 0 ? accepted(listener.fd, 0) : -1;

		if (fd < 0)
			continue;
		attend(fd, "looks");
		close(fd);
	}
}

/* Registered before it listens. */
static void habit_early(char **names)
{
	int listener = bound(names[0], SOCK_NONBLOCK), epoll_fd = epoll_create1(0);
	struct epoll_event event;

	watch(epoll_fd, listener, EPOLLIN);
	if (listen(listener, 5) < 0)
		err(1, "listen");
	while (epoll_wait(epoll_fd, &event, 1, -1) > 0 || errno == EINTR) {
		int fd = accepted(listener, 0);

		if (fd < 0)
			continue;
		attend(fd, "early");
		close(fd);
	}
}

/* Closes its listener after the first client, and says to each byte how often epoll woke it. */
static void habit_closes(char **names)
{
	int listener = listening(names[0], SOCK_NONBLOCK), epoll_fd = epoll_create1(0), fd,
	    woken = 0;
	struct epoll_event event;
	char byte;

	watch(epoll_fd, listener, EPOLLIN);
	epoll_wait(epoll_fd, &event, 1, -1);
	fd = accepted(listener, 0);
	close(listener);
	greet(fd, "closes");
	watch(epoll_fd, fd, EPOLLIN);
	while (epoll_wait(epoll_fd, &event, 1, -1) > 0) {
		woken++;
		if (event.data.fd != fd)
			continue;
		if (read(fd, &byte, 1) <= 0)
			break;
		dprintf(fd, "%d\n", woken);
	}
	close(fd);
	pause();
}

/* A child closes its copy of the listener; the parent's epoll must not lose it. */
static void habit_child_closes(char **names)
{
	int listener = listening(names[0], SOCK_NONBLOCK), epoll_fd = epoll_create1(0), status;
	struct epoll_event event;

	watch(epoll_fd, listener, EPOLLIN);
	if (!fork()) {
		close(listener);
		_exit(0);
	}
	wait(&status);
	while (epoll_wait(epoll_fd, &event, 1, -1) > 0 || errno == EINTR) {
		int fd = accepted(listener, 0);

		if (fd < 0)
			continue;
		attend(fd, "parent");
		close(fd);
	}
}

static const char *label_of(unsigned index)
{
	return index ? "second" : "first";
}

static void attend_in_child(int fd, const char *label)
{
	if (!fork()) {
		attend(fd, label);
		_exit(0);
	}
	close(fd);
}

static void habit_two(char **names)
{
	struct pollfd fds[2];

	signal(SIGCHLD, SIG_IGN);
	for (unsigned i = 0; i < 2; i++)
		fds[i] =
			(struct pollfd){.fd = listening(names[i], SOCK_NONBLOCK), .events = POLLIN};
	while (poll(fds, 2, -1) > 0 || errno == EINTR)
		for (unsigned i = 0; i < 2; i++) {
			int fd = fds[i].revents ? accepted(fds[i].fd, 0) : -1;

			if (fd >= 0)
				attend_in_child(fd, label_of(i));
		}
}

/* Edge-triggered: who leaves an offer that is another's must be told again. */
static void habit_edges(char **names)
{
	int listeners[2], epoll_fd = epoll_create1(0);
	struct epoll_event event;

	signal(SIGCHLD, SIG_IGN);
	for (unsigned i = 0; i < 2; i++) {
		listeners[i] = listening(names[i], SOCK_NONBLOCK);
		watch(epoll_fd, listeners[i], EPOLLIN | EPOLLET);
	}
	while (epoll_wait(epoll_fd, &event, 1, -1) > 0 || errno == EINTR) {
		int fd;

		while ((fd = accepted(event.data.fd, 0)) >= 0)
			attend_in_child(fd, label_of(event.data.fd == listeners[1]));
	}
}

/* Closes all that it did not open, in every way, and takes high numbers. */
static void habit_closes_all(char **names)
{
	struct stat st;
	int held = 0;

	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	close_range(3, 2000, 0);
	closefrom(3);
	syscall(SYS_close_range, 3, ~0u, 0);
	for (int fd = 900; fd < 1024; fd++)
		held += dup2(0, fd) == fd && fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode);
	if (held != 124)
		errx(1, "only %d descriptors could be taken", held);
	habit_plain(names);
}

/* Has no descriptor left and replaces those it did not open. */
static void habit_full(char **names)
{
	const struct rlimit usual = {1024, 1024};
	int first = dup(0), refused = 0;

	setrlimit(RLIMIT_NOFILE, &usual);
	while (dup(0) >= 0)
		;
	for (int fd = 900; fd < 1024; fd++)
		refused += dup2(0, fd) < 0 && errno == EMFILE;
	if (!refused)
		errx(1, "every descriptor was replaced");
	for (int fd = first; fd < 1024; fd++)
		close(fd);
	habit_plain(names);
}

/* Has few descriptors and keeps every client. */
static void habit_limit(char **names)
{
	const struct rlimit few = {16, 16};
	int listener = listening(names[0], 0), kept[16], count = 0;
	struct pollfd readable = {.fd = listener, .events = POLLIN};

	setrlimit(RLIMIT_NOFILE, &few);
	for (;;) {
		poll(&readable, 1, -1);
		int fd = accepted(listener, 0);

		if (fd >= 0) {
			greet(fd, "kept");
			kept[count++] = fd;
			continue;
		}
		if (errno != EMFILE)
			err(1, "accept");
		until_closed(kept[0]);
		close(kept[0]);
		memmove(kept, kept + 1, sizeof(kept[0]) * (size_t)--count);
	}
}

static int number_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

/* Says what its listener looks like, and what the client's socket inherited from it. */
static void habit_options(char **names)
{
	int listener = bound(names[0], 0), on = 1;
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char label[128], text[80];

	setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (listen(listener, 3) < 0 || listen(listener, 5) < 0)
		err(1, "listen");
	if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		getsockname(listener, (struct sockaddr *)&own, &len) < 0)
		err(1, "listener");
	describe(&own, text, sizeof(text));
	for (;;) {
		int fd = next_conn(listener);

		snprintf(label, sizeof(label), "%s,%d,%d,%d,%d,%d,%d", text,
			number_of(listener, SOL_SOCKET, SO_ACCEPTCONN),
			number_of(listener, SOL_SOCKET, SO_TYPE) == SOCK_STREAM,
			number_of(listener, SOL_SOCKET, SO_DOMAIN) == own.ss_family,
			number_of(listener, SOL_SOCKET, SO_ERROR),
			number_of(fd, SOL_SOCKET, SO_KEEPALIVE),
			number_of(fd, IPPROTO_TCP, TCP_NODELAY));
		attend(fd, label);
		close(fd);
	}
}

/* Makes its unix socket as careful programs do. */
static void habit_path(char **names)
{
	const char *path = names[0] + 5;
	char relative[128] = "./";
	struct stat st;
	int was, after;

	was = stat(path, &st) < 0 ? errno : 0;
	unlink(path);
	strcat(relative, strrchr(path, '/') + 1);
	*strrchr((char *)path, '/') = '\0';
	if (chdir(path) < 0)
		err(1, "%s", path);
	int listener, r = lstat(relative, &st);
	char name[140];

	snprintf(name, sizeof(name), "unix:%s", relative);
	listener = listening(name, 0);
	after = lstat(relative, &st);
	if (was != ENOENT || r == 0 || after < 0 || !S_ISSOCK(st.st_mode) ||
		chmod(relative, 0600) < 0 || chown(relative, 1, 1) < 0)
		errx(1, "the path is not as it should be: %d %d %d", was, r, after);
	for (;;) {
		int fd = next_conn(listener);

		attend(fd, "path");
		close(fd);
	}
}

/* Listens anew when its first client says a byte, while a thread still accepts. */
static void habit_again(char **names)
{
	struct thread thread = {.listener = listening(names[0], 0), .label = "thread"};
	int fd = next_conn(thread.listener);
	struct thread again = {.label = "again"};
	char byte;

	pthread_create(&thread.id, NULL, attend_all, &thread);
	greet(fd, "first");
	if (read(fd, &byte, 1) == 1) {
		again.listener = listening(names[0], 0);
		pthread_create(&again.id, NULL, attend_all, &again);
	}
	until_closed(fd);
	close(fd);
	pause();
}

/* A path longer than any may be. */
static void habit_long_path(char **names)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset((char *)&sa + sizeof(sa.ss_family), 'x', sizeof(sa) - sizeof(sa.ss_family));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno != EINVAL)
		errx(1, "a path was bound that is too long");
	close(fd);
	habit_plain(names);
}

/* Listens, but somewhere else. */
static void habit_elsewhere(char **names)
{
	listening(names[1], 0);
	pause();
}

static const struct {
	const char *name;
	void (*run)(char **names);
} habits[] = {{"plain", habit_plain}, {"forks", habit_forks}, {"raw-forks", habit_raw_forks},
	{"execs", habit_execs}, {"inetd", habit_inetd}, {"shells", habit_shells},
	{"threads", habit_threads}, {"pair", habit_pair},
	{"forking-threads", habit_forking_threads}, {"dups", habit_dups}, {"early", habit_early},
	{"looks", habit_looks},
	{"closes", habit_closes}, {"child-closes", habit_child_closes}, {"two", habit_two},
	{"edges", habit_edges}, {"passes", habit_passes}, {"hands-on", habit_hands_on},
	{"accepts", habit_accepts}, {"closes-all", habit_closes_all}, {"limit", habit_limit},
	{"options", habit_options}, {"path", habit_path}, {"elsewhere", habit_elsewhere},
	{"passes-to-other", habit_passes_to_other}, {"receives", habit_receives},
	{"clones", habit_clones}, {"preforks", habit_preforks}, {"exclusive", habit_exclusive},
	{"gives", habit_gives}, {"takes", habit_takes}, {"full", habit_full},
	{"again", habit_again}, {"long-path", habit_long_path}};

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc > 1 && i < COUNT(habits); i++)
		if (!strcmp(argv[1], habits[i].name)) {
			habits[i].run(argv + 2);
			return 0;
		}
	return 2;
}
