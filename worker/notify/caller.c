/* seccomp_unotify(2) and its races. A thread is named by a pidfd that was opened while its call
 * waited, so that a number which is used again does no harm where descriptors are concerned. Memory
 * is read by number, as there is no other way, and looked at only after caller_waits(). It is
 * written right after the same question: in the moment between, a thread that is interrupted could
 * find a peer's address in the buffer that it gave for it. */
#include "worker/notify/caller.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD of Linux 6.9 */

void callers_init(struct callers *all, int listener)
{
	struct rlimit r = {.rlim_cur = 0};

	getrlimit(RLIMIT_NOFILE, &r);
	*all = (struct callers){
		.listener = listener, .room = (unsigned)MIN(r.rlim_cur / 4 + 1, CALLER_KNOWN)};
	for (unsigned i = 0; i < CALLER_KNOWN; i++)
		all->known[i].pidfd = -1;
}

void caller_init(struct caller *c, struct callers *all, const struct seccomp_notif *call)
{
	*c = (struct caller){
		.all = all, .id = call->id, .thread = (pid_t)call->pid, .number = call->data.nr};
	for (unsigned i = 0; i < ARRAY_LEN(c->args); i++)
		c->args[i] = call->data.args[i];
}

bool caller_waits(const struct caller *c)
{
	return seccomp_notify_id_valid(c->all->listener, c->id) == 0;
}

static int open_pidfd(pid_t id, unsigned flags)
{
	int fd = (int)syscall(SYS_pidfd_open, id, flags);

	return fd < 0 ? -errno : fd;
}

/* The process of a thread, where pidfds of threads are unknown. 0: gone. */
static pid_t process_of(pid_t thread)
{
	char path[40], line[80];
	OWNS_FILE FILE *status = NULL;
	int process = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	return process;
}

/* Opened while the call waits, so it is this thread and no other. */
static int remember(const struct caller *c)
{
	unsigned at = (unsigned)c->thread % c->all->room;
	int pidfd = open_pidfd(c->thread, PIDFD_OF_THREAD);

	if (pidfd == -EINVAL) /* an older kernel: of first threads only, by their process */
		pidfd = open_pidfd(c->thread, 0);
	if (pidfd >= 0 && !caller_waits(c))
		base_close(&pidfd);
	base_close(&c->all->known[at].pidfd);
	c->all->known[at].pidfd = pidfd < 0 ? -1 : pidfd;
	c->all->known[at].thread = c->thread;
	return pidfd;
}

/* A pidfd of the process says nothing of the thread, and is not remembered. */
static int dup_by_process(const struct caller *c, int fd)
{
	OWNS_FD int pidfd = open_pidfd(process_of(c->thread), 0);

	if (pidfd < 0)
		pidfd = -1;
	return pidfd >= 0 && caller_waits(c) ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0) : -1;
}

int caller_dup(const struct caller *c, int fd)
{
	unsigned at = (unsigned)c->thread % c->all->room;
	int pidfd = c->all->known[at].pidfd, ours = -1;

	if (pidfd >= 0 && c->all->known[at].thread == c->thread) {
		ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
		if (ours >= 0 || errno != ESRCH)
			return ours;
	}
	pidfd = remember(c);
	if (pidfd == -EINVAL || pidfd == -ENOENT) /* which of the two depends on the kernel */
		return dup_by_process(c, fd);
	return pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

int caller_read(const struct caller *c, uint64_t at, void *ret_buf, size_t len)
{
	struct iovec here = {ret_buf, len}, there = {(void *)(uintptr_t)at, len};
	ssize_t got = process_vm_readv(c->thread, &here, 1, &there, 1, 0);

	if (got < 0)
		return -errno;
	return (size_t)got == len ? 0 : -EFAULT;
}

int caller_write(const struct caller *c, uint64_t at, const void *buf, size_t len)
{
	struct iovec here = {(void *)buf, len}, there = {(void *)(uintptr_t)at, len};
	ssize_t put = process_vm_writev(c->thread, &here, 1, &there, 1, 0);

	if (put < 0)
		return -errno;
	return (size_t)put == len ? 0 : -EFAULT;
}

bool caller_closes_on_exec(const struct caller *c, int fd)
{
	char path[60], line[80];
	OWNS_FILE FILE *info = NULL;
	unsigned flags = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)c->thread, fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	return flags & O_CLOEXEC;
}

static int add(const struct caller *c, uint32_t flags, int fd, int ours, bool cloexec)
{
	struct seccomp_notif_addfd add = {.id = c->id,
		.flags = flags,
		.srcfd = (uint32_t)ours,
		.newfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0};
	int r;

	do
		r = ioctl(c->all->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int caller_replace(const struct caller *c, int fd, int ours, bool cloexec)
{
	return add(c, SECCOMP_ADDFD_FLAG_SETFD, fd, ours, cloexec);
}

int caller_give(const struct caller *c, int ours, bool cloexec)
{
	return add(c, SECCOMP_ADDFD_FLAG_SEND, 0, ours, cloexec);
}

static void respond(const struct caller *c, int64_t value, uint32_t flags)
{
	struct seccomp_notif_resp answer = {.id = c->id,
		.val = value < 0 ? 0 : value,
		.error = value < 0 ? (int32_t)value : 0,
		.flags = flags};

	seccomp_notify_respond(c->all->listener, &answer); /* fails when the call is gone */
}

void caller_answer(const struct caller *c, int64_t value)
{
	respond(c, value, 0);
}

void caller_continue(const struct caller *c)
{
	respond(c, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}
