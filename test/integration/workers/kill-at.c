/* Kills an acceptor at a chosen moment of its work: kill-at PID POINT [COUNT]
 *
 *     accepted   the COUNT-th time that accept4() has returned a connection
 *     offering   ... that it is about to send descriptors
 *     offered    ... that it has sent them
 *     closing    ... that it has closed the first of its copies of them
 *     peeked     ... that it has a copy of the client who waits first in a queue
 *     taken      ... that it has taken that client out
 *
 * It follows the system calls (ptrace(2)) and kills at one: no other moment is of interest to a client, as
 * between two calls only memory changes. Exit status 0: killed there; 1: it could not; 2: it ended by itself. */
#include "common/base.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct target {
	pid_t pid;
	struct __ptrace_syscall_info call; /* that it is in */
	bool has_rights;		 /* it sends descriptors */
	bool has_sent;			 /* it has sent some, and closed none since */
	bool has_peeked;		 /* it has looked at a message that stayed */
};

static bool sends_rights(const struct target *t)
{
	struct msghdr m = {0};
	struct iovec ours = {.iov_base = &m, .iov_len = sizeof(m)};
	struct iovec theirs = {.iov_base = (void *)(uintptr_t)t->call.entry.args[1], .iov_len = sizeof(m)};

	return t->call.entry.nr == SYS_sendmsg &&
		process_vm_readv(t->pid, &ours, 1, &theirs, 1, 0) == sizeof(m) && m.msg_controllen;
}

static bool is_accepted(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return now->op == PTRACE_SYSCALL_INFO_EXIT && t->call.entry.nr == SYS_accept4 && now->exit.rval >= 0;
}

static bool is_offering(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return now->op == PTRACE_SYSCALL_INFO_ENTRY && t->has_rights;
}

static bool is_offered(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return now->op == PTRACE_SYSCALL_INFO_EXIT && t->has_rights && now->exit.rval > 0;
}

static bool is_closing(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return now->op == PTRACE_SYSCALL_INFO_EXIT && t->has_sent && t->call.entry.nr == SYS_close;
}

static bool is_received(const struct target *t, const struct __ptrace_syscall_info *now, bool stays)
{
	return now->op == PTRACE_SYSCALL_INFO_EXIT && t->call.entry.nr == SYS_recvmsg && now->exit.rval > 0 &&
		!(t->call.entry.args[2] & MSG_PEEK) == !stays;
}

static bool is_peeked(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return is_received(t, now, true);
}

static bool is_taken(const struct target *t, const struct __ptrace_syscall_info *now)
{
	return is_received(t, now, false) && t->has_peeked;
}

static const struct {
	const char *name;
	bool (*is)(const struct target *t, const struct __ptrace_syscall_info *now);
} points[] = {
	{"accepted", is_accepted},
	{"offering", is_offering},
	{"offered", is_offered},
	{"closing", is_closing},
	{"peeked", is_peeked},
	{"taken", is_taken},
};

static void seize(struct target *t)
{
	if (ptrace(PTRACE_SEIZE, t->pid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
		ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL) < 0)
		err(1, "ptrace");
}

/* Waits until it enters or leaves a call; other stops are let pass. */
static void next_call(struct target *t, struct __ptrace_syscall_info *ret_now)
{
	for (;;) {
		int status;

		if (waitpid(t->pid, &status, 0) < 0 || !WIFSTOPPED(status))
			exit(2);
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
			ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(*ret_now), ret_now) > 0)
			return;
		if (ptrace(PTRACE_SYSCALL, t->pid, NULL, NULL) < 0)
			exit(2);
	}
}

static void follow(struct target *t, const struct __ptrace_syscall_info *now)
{
	if (now->op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->call = *now;
		t->has_rights = sends_rights(t);
	} else if (t->has_rights) {
		t->has_sent = now->exit.rval > 0;
	} else if (t->call.entry.nr == SYS_recvmsg) {
		t->has_peeked = is_peeked(t, now);
	}
}

static int kill_at(struct target *t, size_t point, unsigned long count)
{
	struct __ptrace_syscall_info now;

	for (;;) {
		next_call(t, &now);
		if (now.op == PTRACE_SYSCALL_INFO_ENTRY)
			follow(t, &now);
		if (points[point].is(t, &now) && !--count)
			return kill(t->pid, SIGKILL);
		if (now.op == PTRACE_SYSCALL_INFO_EXIT)
			follow(t, &now);
		if (ptrace(PTRACE_SYSCALL, t->pid, NULL, NULL) < 0)
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct target t = {.pid = argc > 1 ? atoi(argv[1]) : 0};

	for (size_t i = 0; argc > 2 && i < ARRAY_LEN(points); i++) {
		if (strcmp(argv[2], points[i].name))
			continue;
		seize(&t);
		printf("ready\n");
		fflush(stdout);
		return kill_at(&t, i, argc > 3 ? strtoul(argv[3], NULL, 10) : 1) ? 1 : 0;
	}
	errx(1, "usage: kill-at PID accepted|offering|offered|closing|peeked|taken [COUNT]");
}
