/* A server as others write them: it knows nothing of us, and is never linked with anything of ours. It
 * echoes, and in some modes does what servers do to whoever looks after them.
 *
 *     server MODE ADDRESS...     127.0.0.1:PORT, or the path of a unix socket
 *
 * poll     serves all in one process, with poll()
 * raw      as poll, but closes by the bare system call, which no library sees
 * deaf     as poll, but SIGTERM does nothing
 * threads  a thread for each connection, which it accepts in a blocking accept()
 * forks    a child for each connection
 * preforks four children that accept
 * single   one connection after the other
 * daemon   as poll, in the background
 * waits    as daemon, but the first process stays until the other listens
 * leaver   as preforks, but the children have sessions of their own and stay
 * exits    ends in the midst of its third accept
 * closer   as poll, but closes every descriptor that it has not opened
 * sleeps   accepts, reads nothing any more, and sleeps
 * spins    accepts, reads nothing any more, and computes
 * uring    accepts by io_uring, and waits for ever where that fails; ends with 77 where there is none
 * bomb     as poll, with children that fork children, each in a session of its own */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 2048
#define LISTENERS 8
#define CHILDREN 4
#define GENERATIONS 200

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(path);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, 64))
		die(path);
	return fd;
}

static int listen_at(const char *address)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd, one = 1;

	if (*address == '/')
		return listen_unix(address);
	sa.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, 64))
		die(address);
	return fd;
}

/* False: the client has gone. */
static int echo_some(int fd)
{
	char buf[4096];
	ssize_t got = read(fd, buf, sizeof(buf));

	return got > 0 && write(fd, buf, (size_t)got) == got;
}

static void *echo_all(void *arg)
{
	int fd = (int)(long)arg;

	while (echo_some(fd))
		;
	close(fd);
	return NULL;
}

static int accept_one(int fd)
{
	int got;

	do
		got = accept(fd, NULL, NULL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		die("accept");
	return got;
}

/* A listener that fails is closed: who is served is served on. Returns how many came. */
static int accept_for_poll(struct pollfd *listener, struct pollfd *ret)
{
	int fd = accept(listener->fd, NULL, NULL);

	if (fd < 0 && errno != EAGAIN && errno != EINTR) {
		close(listener->fd);
		listener->fd = -1;
	}
	*ret = (struct pollfd){.fd = fd, .events = POLLIN};
	return fd >= 0;
}

static int all_closed(const struct pollfd *listeners, int count)
{
	int closed = 0;

	for (int i = 0; i < count; i++)
		closed += listeners[i].fd < 0;
	return closed == count;
}

static void close_it(int fd)
{
	close(fd);
}

static void close_raw(int fd)
{
#ifdef __x86_64__
	long answer;

	__asm__ volatile("syscall" : "=a"(answer) : "a"(SYS_close), "D"((long)fd) : "rcx", "r11", "memory");
#else
	close(fd);
#endif
}

static void serve_poll(const int *listeners, int count, int raw)
{
	struct pollfd p[MOST];
	int n = count;

	for (int i = 0; i < count; i++) {
		fcntl(listeners[i], F_SETFL, O_NONBLOCK);
		p[i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
	}
	for (;;) {
		if (poll(p, (nfds_t)n, -1) < 0)
			continue;
		for (int i = n - 1; i >= count; i--)
			if (p[i].revents && !echo_some(p[i].fd)) {
				(raw ? close_raw : close_it)(p[i].fd);
				p[i] = p[--n];
			}
		for (int i = 0; i < count && n < MOST; i++)
			if (p[i].revents)
				n += accept_for_poll(&p[i], &p[n]);
		if (n == count && all_closed(p, count))
			exit(0);
	}
}

static void serve_threads(int fd)
{
	for (;;) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, echo_all, (void *)(long)accept_one(fd)))
			die("pthread_create");
		pthread_detach(thread);
	}
}

static void serve_forks(int fd)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int one = accept_one(fd);

		if (fork() == 0) {
			close(fd);
			echo_all((void *)(long)one);
			_exit(0);
		}
		close(one);
	}
}

static void serve_single(int fd)
{
	for (;;)
		echo_all((void *)(long)accept_one(fd));
}

static void serve_preforked(int fd, int own_sessions)
{
	for (int i = 0; i < CHILDREN; i++)
		if (fork() == 0) {
			if (own_sessions)
				setsid();
			serve_single(fd);
		}
	for (;;)
		pause();
}

static void serve_and_exit(int fd)
{
	for (int i = 0; i < 2; i++)
		echo_all((void *)(long)accept_one(fd));
	accept_one(fd);
	_exit(3);
}

static void serve_no_more(int fd, int spins)
{
	accept_one(fd);
	while (spins)
		;
	for (;;)
		pause();
}

/* One ring, one accept. */
static void serve_uring(int fd)
{
	struct io_uring_params p = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	struct io_uring_sqe *sqe;
	unsigned *tail, *array;
	char *sq;

	if (ring < 0)
		exit(77);
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE,
		MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, p.sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		IORING_OFF_SQES);
	tail = (unsigned *)(sq + p.sq_off.tail);
	array = (unsigned *)(sq + p.sq_off.array);
	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_ACCEPT, .fd = fd};
	array[0] = 0;
	__atomic_store_n(tail, 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	for (;;)
		pause();
}

static void close_others(int last)
{
	for (int fd = 3; fd < 1024; fd++)
		if (fd != last)
			close(fd);
}

/* Each lives a while beside its parent, and none of them ever waits. */
static void fork_wildly(int left)
{
	signal(SIGCHLD, SIG_IGN);
	while (left-- > 0) {
		if (fork() == 0) {
			setsid();
			signal(SIGTERM, SIG_IGN);
			usleep(1000);
			continue;
		}
		usleep(20000);
		for (;;)
			pause();
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int listeners[LISTENERS], count = 0, ready[2];
	const char *mode = argc > 2 ? argv[1] : "";
	char byte;

	if (!strcmp(mode, "daemon") && fork())
		return 0;
	if (!strcmp(mode, "waits") && pipe(ready) == 0 && fork())
		return read(ready[0], &byte, 1) != 1;
	for (int i = 2; i < argc && count < LISTENERS; i++)
		listeners[count++] = listen_at(argv[i]);
	if (!strcmp(mode, "waits") && write(ready[1], "", 1) == 1)
		setsid();
	if (!strcmp(mode, "closer"))
		close_others(listeners[0]);
	if (!strcmp(mode, "bomb") && fork() == 0)
		fork_wildly(GENERATIONS);
	if (!strcmp(mode, "threads"))
		serve_threads(listeners[0]);
	if (!strcmp(mode, "forks"))
		serve_forks(listeners[0]);
	if (!strcmp(mode, "single"))
		serve_single(listeners[0]);
	if (!strcmp(mode, "preforks") || !strcmp(mode, "leaver"))
		serve_preforked(listeners[0], !strcmp(mode, "leaver"));
	if (!strcmp(mode, "sleeps") || !strcmp(mode, "spins"))
		serve_no_more(listeners[0], !strcmp(mode, "spins"));
	if (!strcmp(mode, "uring"))
		serve_uring(listeners[0]);
	if (!strcmp(mode, "exits"))
		serve_and_exit(listeners[0]);
	if (!strcmp(mode, "deaf"))
		signal(SIGTERM, SIG_IGN);
	serve_poll(listeners, count, !strcmp(mode, "raw"));
}
