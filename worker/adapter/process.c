/* Birth and end of processes, and system calls that a program makes by number.
 *
 * vfork() becomes fork(): its child would count in its parent's memory. */
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <linux/sched.h>
#include <pty.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

int close_range(unsigned first, unsigned last, int flags);

static void after_fork(struct conns_fork *f, long child)
{
	if (!child)
		conns_born(f);
	else
		conns_forked(f, child < 0 ? -1 : 1);
}

static pid_t counted_fork(pid_t (*real)(void))
{
	struct conns_fork f;
	pid_t child;

	if (!shim_is_on())
		return real();
	conns_prepare_fork(&f);
	child = real();
	after_fork(&f, child);
	return child;
}

pid_t fork(void)
{
	return counted_fork(REAL(fork));
}

pid_t _Fork(void)
{
	return counted_fork(REAL(_Fork));
}

pid_t forkpty(
	int *ret_fd, char *ret_name, const struct termios *termios, const struct winsize *size)
{
	struct conns_fork f;
	pid_t child;

	if (!shim_is_on())
		return REAL(forkpty)(ret_fd, ret_name, termios, size);
	conns_prepare_fork(&f);
	child = REAL(forkpty)(ret_fd, ret_name, termios, size);
	after_fork(&f, child);
	return child;
}

pid_t vfork(void)
{
	return fork();
}

_Noreturn void _exit(int status)
{
	if (shim_is_on())
		conns_release_all();
	REAL(_exit)(status);
	__builtin_unreachable();
}

_Noreturn void quick_exit(int status)
{
	if (shim_is_on())
		conns_release_all();
	REAL(quick_exit)(status);
	__builtin_unreachable();
}

_Noreturn void _Exit(int status)
{
	_exit(status);
}

/* What a process made by clone() runs, with memory of its own. */
struct start {
	struct conns_fork fork;
	int (*run)(void *);
	void *argument;
};

static int run_start(void *argument)
{
	struct start *start = argument;
	int status;

	conns_born(&start->fork);
	status = start->run(start->argument);
	conns_release_all();
	return status;
}

int clone(int (*run)(void *), void *stack, int flags, void *argument, ...)
{
	struct start start = {.run = run, .argument = argument};
	void *more[3];
	va_list args;
	int child;

	va_start(args, argument);
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		more[i] = va_arg(args, void *);
	va_end(args);
	if (!shim_is_on() || (flags & CLONE_VM))
		return REAL(clone)(run, stack, flags, argument, more[0], more[1], more[2]);
	conns_prepare_fork(&start.fork);
	child = REAL(clone)(run_start, stack, flags, &start, more[0], more[1], more[2]);
	conns_forked(&start.fork, child);
	return child;
}

static long raw(long number, const long *a)
{
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* clone(2) and clone3(2) of a process with memory of its own. */
static long raw_fork(long number, const long *a)
{
	struct conns_fork f;
	long child;

	conns_prepare_fork(&f);
	child = raw(number, a);
	after_fork(&f, child);
	return child;
}

static bool shares_memory(long number, const long *a)
{
	if (number == SYS_clone3)
		return ((const struct clone_args *)a[0])->flags & CLONE_VM;
	return a[0] & CLONE_VM;
}

/* Calls that are made by number to the functions of ours. */
static long by_number(long number, const long *a)
{
	switch (number) {
	case SYS_close:
		return close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
	case SYS_dup:
		return dup((int)a[0]);
#ifdef SYS_dup2 /* new architectures are without the older forms */
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
#endif
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
	case SYS_bind:
		return bind((int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
	case SYS_listen:
		return listen((int)a[0], (int)a[1]);
#ifdef SYS_accept
	case SYS_accept:
		return accept((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
#endif
	case SYS_accept4:
		return accept4((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2], (int)a[3]);
	case SYS_epoll_ctl:
		return epoll_ctl((int)a[0], (int)a[1], (int)a[2], (struct epoll_event *)a[3]);
#ifdef SYS_fork
	case SYS_fork:
	case SYS_vfork:
		return fork();
#endif
	case SYS_clone:
	case SYS_clone3:
		return shares_memory(number, a) ? raw(number, a) : raw_fork(number, a);
	case SYS_exit_group:
		_exit((int)a[0]);
	default:
		return raw(number, a);
	}
}

long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (unsigned i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return shim_is_on() ? by_number(number, a) : raw(number, a);
}
