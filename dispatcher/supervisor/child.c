/* A pidfd tells which child ended without asking all of them, and a signal sent through it cannot hit
 * a stranger. The sweep looks with WNOWAIT before it reaps, so that the status of a known child goes
 * to who waits for it. Where no pidfd is to be had (EMFILE) the sweep alone does the work. */
#include "dispatcher/supervisor/child.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct child {
	struct child *next, *prev;
	struct children *all;
	pid_t pid;
	int pidfd;
	struct watch *watch;
	child_fn *call;
	void *user;
};

struct children {
	struct uv_loop_s *loop;
	struct child head; /* of a ring */
};

int children_new(struct uv_loop_s *loop, struct children **ret_children)
{
	struct children *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->loop = loop;
	all->head.next = all->head.prev = &all->head;
	*ret_children = all;
	return 0;
}

static void forget(struct child *c)
{
	c->next->prev = c->prev;
	c->prev->next = c->next;
	watch_free(c->watch);
	base_close(&c->pidfd);
	free(c);
}

struct children *children_free(struct children *all)
{
	if (!all)
		return NULL;
	while (all->head.next != &all->head)
		forget(all->head.next);
	free(all);
	return NULL;
}

static int wait_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return W_EXITCODE(info->si_status, 0);
	case CLD_DUMPED:
		return info->si_status | WCOREFLAG;
	default:
		return info->si_status;
	}
}

static void reap(struct child *c)
{
	child_fn *call = c->call;
	void *user = c->user;
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	forget(c);
	call(user, wait_status(&info));
}

static void on_pidfd(void *user, unsigned events)
{
	reap(user);
}

int child_watch(struct children *all, pid_t pid, child_fn *call, void *user,
	struct child **ret_child)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct child){.all = all, .pid = pid, .call = call, .user = user, .prev = &all->head};
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd >= 0 && watch_new(all->loop, c->pidfd, WATCH_READ, on_pidfd, c, &c->watch))
		base_close(&c->pidfd);
	c->next = all->head.next;
	c->next->prev = c;
	all->head.next = c;
	*ret_child = c;
	return 0;
}

void child_forget(struct child *c)
{
	forget(c);
}

void child_signal(const struct child *c, int number)
{
	if (c->pidfd < 0 || syscall(SYS_pidfd_send_signal, c->pidfd, number, NULL, 0) < 0)
		kill(c->pid, number); /* ours and not reaped: the pid is still its own */
}

void child_signal_group(const struct child *c, int number)
{
	kill(-c->pid, number);
	child_signal(c, number);
}

static int wait_and_take(int pidfd, int in, uint64_t patience_ms, child_take_fn *take, void *user)
{
	uint64_t now = clock_mono_ms(), deadline = now + patience_ms;
	struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = in, .events = POLLIN}};

	for (; now < deadline; now = clock_mono_ms()) {
		int answer = 0;

		if (poll(fds, ARRAY_LEN(fds), (int)(deadline - now)) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			answer = take(user);
		if (answer < 0)
			return answer;
		if (answer)
			fds[1].fd = -1;
	}
	return -ETIMEDOUT;
}

int child_await(
	pid_t pid, int in, uint64_t patience_ms, child_take_fn *take, void *user, int *ret_status)
{
	OWNS_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int bad = pidfd < 0 ? -errno : wait_and_take(pidfd, in, patience_ms, take, user);

	if (bad)
		kill(pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return bad;
}

static struct child *find(const struct children *all, pid_t pid)
{
	for (struct child *c = all->head.next; c != &all->head; c = c->next)
		if (c->pid == pid)
			return c;
	return NULL;
}

bool children_know(const struct children *all, pid_t pid)
{
	return find(all, pid);
}

void children_sweep(struct children *all)
{
	for (;;) {
		siginfo_t info = {0};
		struct child *c;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
			return;
		c = find(all, info.si_pid);
		if (c)
			reap(c);
		else
			waitpid(info.si_pid, NULL, WNOHANG);
	}
}
