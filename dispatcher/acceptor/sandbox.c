/* A seccomp allow-list. A call that is missing here fails with EPERM instead of killing the process:
 * a surprise of a newer libc must not take every port down. What matters most cannot be had at all: no
 * exec, no new process, no ptrace, no connection to anywhere, no file opened for writing. */
#include "dispatcher/acceptor/sandbox.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/prctl.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static const int allowed[] = {
	SCMP_SYS(accept4), SCMP_SYS(brk), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(fcntl), SCMP_SYS(fstat),
	SCMP_SYS(futex), SCMP_SYS(getdents64), SCMP_SYS(getpid), SCMP_SYS(getrandom), SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(ioctl), SCMP_SYS(lseek),
	SCMP_SYS(madvise), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(newfstatat),
	SCMP_SYS(poll), SCMP_SYS(pread64), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown), SCMP_SYS(stat), SCMP_SYS(statx), SCMP_SYS(tgkill), SCMP_SYS(write),
	SCMP_SYS(writev),
};

/* Who waits for the acceptor's end and then sends descriptors into a channel. */
static const int allowed_keeper[] = {
	SCMP_SYS(clock_nanosleep), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(fcntl),
	SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(nanosleep), SCMP_SYS(poll),
	SCMP_SYS(recvfrom), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn), SCMP_SYS(sendmsg),
};

static int add_rules(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return error;
}

/* Time zone and group files, for reading. */
static int add_reading(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDONLY));
}

static int enter(const int *calls, size_t count, bool reads_files)
{
	scmp_filter_ctx filter;
	int error;

#ifdef SANITIZED
	return 0;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return -ENOMEM;
	error = add_rules(filter, calls, count);
	if (!error && reads_files)
		error = add_reading(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int sandbox_enter(void)
{
	return enter(allowed, ARRAY_LEN(allowed), true);
}

int sandbox_enter_keeper(void)
{
	return enter(allowed_keeper, ARRAY_LEN(allowed_keeper), false);
}
