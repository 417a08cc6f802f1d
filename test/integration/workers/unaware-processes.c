/* Servers of several processes: they fork, execute others, and pass connections and listeners on.
 */
#include "test/integration/workers/unaware.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *own_path = "/proc/self/exe";

void habit_forks(char **names)
{
	int listener = listening(names[0], 0);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = next_conn(listener);

		if (!fork()) {
			close(listener);
			attend(fd, "child");
			_exit(0);
		}
		close(fd);
	}
}

void habit_raw_forks(char **names)
{
	int listener = listening(names[0], 0);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = next_conn(listener);

		if (!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) {
			attend(fd, "raw");
			syscall(SYS_exit_group, 0);
		}
		syscall(SYS_close, fd);
	}
}

static int attend_and_return(void *argument)
{
	attend(*(int *)argument, "clone");
	return 0;
}

void habit_clones(char **names)
{
	static char stack[65536] __attribute__((aligned(16)));
	int listener = listening(names[0], 0);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = next_conn(listener);

		if (clone(attend_and_return, stack + sizeof(stack), SIGCHLD, &fd) < 0)
			err(1, "clone");
		close(fd);
	}
}

/* The child gets the connection as its standard input and output, as inetd's do. */
static void run_child(int fd, char *const *environment)
{
	char *const argv[] = {(char *)"unaware", (char *)"inetd", NULL};

	dup2(fd, 0);
	dup2(fd, 1);
	close(fd);
	execve(own_path, argv, environment);
	_exit(1);
}

void habit_execs(char **names)
{
	char *const empty[] = {NULL};
	int listener = listening(names[0], SOCK_CLOEXEC);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = next_conn(listener);

		if (!vfork())
			run_child(fd, empty);
		close(fd);
	}
}

static int see_library(struct dl_phdr_info *info, size_t size, void *argument)
{
	return strstr(info->dlpi_name, "dispatcher-preload") != NULL;
}

void habit_inetd(char **names)
{
	attend(0, dl_iterate_phdr(see_library, NULL) ? "preloaded" : "alone");
	exit(0);
}

/* 0 when a child that is made in this way sees nothing of ours in its environment. */
static int exec_shell(char *const *argv)
{
	int status = -1;

	if (!fork()) {
		execl(argv[0], argv[0], argv[1], argv[2], NULL);
		_exit(9);
	}
	wait(&status);
	return status;
}

static int spawn_shell(char *const *argv)
{
	int status = -1;
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
		return -1;
	waitpid(pid, &status, 0);
	return status;
}

static void read_shell(char *text, size_t size)
{
	FILE *shell = popen("echo ${LD_PRELOAD-none},${DISPATCHER_ADAPTER-none}", "r");

	if (!fgets(text, (int)size, shell))
		warn("popen");
	pclose(shell);
	text[strcspn(text, "\n")] = '\0';
}

/* Children that keep nothing: they must not count, and not see our environment. */
void habit_shells(char **names)
{
	char *const argv[] = {(char *)"/bin/sh", (char *)"-c",
		(char *)"test -z \"$LD_PRELOAD$DISPATCHER_ADAPTER\" &&"
			"! grep -q dispatcher-preload /proc/$$/maps",
		NULL};
	int listener = listening(names[0], SOCK_CLOEXEC);

	for (;;) {
		int fd = accepted(listener, SOCK_CLOEXEC);
		char text[256] = {0};

		read_shell(text, sizeof(text) - 20);
		if (exec_shell(argv) || spawn_shell(argv))
			strcat(text, ",visible");
		attend(fd, text);
		close(fd);
	}
}

static void send_conn(int to, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (char *)"x", .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(to, &m, 0) < 0)
		err(1, "sendmsg");
}

static int receive_conn(int from)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(from, &m, 0) <= 0)
		_exit(0);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/* One process accepts, another serves. */
void habit_passes(char **names)
{
	int listener, pair[2];

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	if (!fork()) {
		close(pair[0]);
		for (;;) {
			int fd = receive_conn(pair[1]);

			attend(fd, "receiver");
			close(fd);
		}
	}
	close(pair[1]);
	listener = listening(names[0], 0);
	for (;;) {
		int fd = next_conn(listener);

		send_conn(pair[0], fd);
		close(fd);
	}
}

static void accept_one(int listener, const char *label)
{
	int fd = accepted(listener, 0);

	if (fd < 0)
		return;
	attend(fd, label);
	close(fd);
}

static const char *const labels[] = {"first", "second"};

static void accept_by_poll(const int *listeners)
{
	struct pollfd fds[] = {
		{.fd = listeners[0], .events = POLLIN}, {.fd = listeners[1], .events = POLLIN}};

	while (poll(fds, 2, -1) > 0 || errno == EINTR)
		for (unsigned i = 0; i < 2; i++)
			if (fds[i].revents)
				accept_one(fds[i].fd, labels[i]);
}

/* Each process waits for both listeners, and wants to be the only one that is woken. */
static void accept_exclusively(const int *listeners)
{
	int epoll_fd = epoll_create1(0);
	struct epoll_event event;

	for (uint32_t i = 0; i < 2; i++) {
		event = (struct epoll_event){.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u32 = i};
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listeners[i], &event);
	}
	while (epoll_wait(epoll_fd, &event, 1, -1) > 0 || errno == EINTR)
		accept_one(listeners[event.data.u32], labels[event.data.u32]);
}

/* Four children that accept on two listeners; who dies is replaced. */
static void run_children(char **names, void (*accept_any)(const int *listeners))
{
	int listeners[2];

	for (unsigned i = 0; i < 2; i++)
		listeners[i] = listening(names[i], SOCK_NONBLOCK);
	for (unsigned children = 0;; children++) {
		if (children >= 4)
			wait(NULL);
		if (!fork())
			accept_any(listeners);
	}
}

void habit_preforks(char **names)
{
	run_children(names, accept_by_poll);
}

void habit_exclusive(char **names)
{
	run_children(names, accept_exclusively);
}

/* Executes this program with another habit, an empty environment, and a descriptor as its argument.
 */
static void execute(const char *habit, int fd)
{
	char number[16];
	char *const argv[] = {(char *)"unaware", (char *)habit, number, NULL}, *const empty[] = {
										       NULL};

	snprintf(number, sizeof(number), "%d", fd);
	if (fork())
		return;
	execve(own_path, argv, empty);
	_exit(1);
}

/* The listener goes to a program that is executed with an empty environment. */
void habit_hands_on(char **names)
{
	char number[16];
	char *const argv[] = {(char *)"unaware", (char *)"accepts", number, NULL}, *const empty[] =
											   {NULL};
	int listener = listening(names[0], 0);

	snprintf(number, sizeof(number), "%d", listener);
	if (!fork()) {
		execve(own_path, argv, empty);
		_exit(1);
	}
	close(listener);
	for (;;)
		pause();
}

void habit_accepts(char **names)
{
	for (;;) {
		int fd = next_conn(atoi(names[0]));

		attend(fd, "executed");
		close(fd);
	}
}

/* Passes its connections to a program that it executes when it listens already. */
void habit_passes_to_other(char **names)
{
	int listener = listening(names[0], SOCK_CLOEXEC), pair[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	execute("receives", pair[1]);
	close(pair[1]);
	for (;;) {
		int fd = accepted(listener, SOCK_CLOEXEC);

		send_conn(pair[0], fd);
		close(fd);
	}
}

void habit_receives(char **names)
{
	for (;;) {
		int fd = receive_conn(atoi(names[0]));

		attend(fd, "other");
		close(fd);
	}
}

/* Binds, and lets another program listen. */
void habit_gives(char **names)
{
	int listener = bound(names[0], SOCK_CLOEXEC), pair[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	execute("takes", pair[1]);
	send_conn(pair[0], listener);
	close(listener);
	for (;;)
		pause();
}

void habit_takes(char **names)
{
	int listener = receive_conn(atoi(names[0]));

	if (listen(listener, 5) < 0)
		err(1, "listen");
	for (;;) {
		int fd = next_conn(listener);

		attend(fd, "taker");
		close(fd);
	}
}
