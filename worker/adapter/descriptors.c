/* Closing and copying of descriptors: what is referred to changes, and our own are kept from the
 * program.
 *
 * A word is taken out before the real close(), since a moment later the number may be another
 * thread's; what was connected with it is done after it. */
#undef _FILE_OFFSET_BITS /* fcntl() and fcntl64() are two symbols here */
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/epoll.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <sys/resource.h>

int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);

/* Before the descriptor is closed. */
static uint64_t going(int fd, uint64_t word)
{
	if (fd_kind(word) == FD_LISTENER || fd_kind(word) == FD_BOUND)
		epoll_forget(fd);
	if (fd_kind(word) == FD_EPOLL)
		epoll_closed(fd);
	return fds_take(&shim.fds, fd);
}

/* After it. */
static void gone(uint64_t word)
{
	int before = errno;

	if (fd_kind(word) == FD_CONN)
		conns_release(fd_value(word));
	errno = before;
}

static int refuse(void)
{
	errno = EBADF;
	return -1;
}

int close(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);
	int r;

	if (!word)
		return REAL(close)(fd);
	if (fd_kind(word) == FD_OURS)
		return refuse();
	word = going(fd, word);
	r = REAL(close)(fd);
	gone(word);
	return r;
}

int fclose(FILE *file)
{
	int before = errno, fd = atomic_load(&shim.fds.words) ? fileno(file) : -1, r;
	uint64_t word = fd < 0 ? 0 : fds_get(&shim.fds, fd);

	errno = before;
	if (!word)
		return REAL(fclose)(file);
	word = going(fd, word);
	r = REAL(fclose)(file);
	gone(word);
	return r;
}

/* `to` is a new descriptor of the same file. */
static int copied(uint64_t word, int to)
{
	if (to < 0 || !word || fd_kind(word) == FD_EPOLL)
		return to;
	if (fd_kind(word) == FD_CONN && !tally_refer(&shim.tally, fd_value(word)))
		return to;
	conns_set(to, word);
	return to;
}

int dup(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);

	if (fd_kind(word) == FD_OURS)
		return refuse();
	return copied(word, REAL(dup)(fd));
}

/* Replaces `to` by `from` through one of the real functions. */
static int replace(int from, int to, int flags, bool has_flags)
{
	uint64_t word = fds_get(&shim.fds, from), former = fds_get(&shim.fds, to);
	int r;

	if (fd_kind(word) == FD_OURS)
		return refuse();
	if (fd_kind(former) == FD_OURS) {
		if (!shim_move_own(to))
			return -1;
		former = 0;
	}
	if (former && (from == to || REAL(fcntl)(from, F_GETFD) < 0))
		return has_flags ? REAL(dup3)(from, to, flags) : REAL(dup2)(from, to);
	if (former)
		former = going(to, former);
	r = has_flags ? REAL(dup3)(from, to, flags) : REAL(dup2)(from, to);
	gone(former);
	return from == to ? r : copied(word, r);
}

int dup2(int from, int to)
{
	if (!fds_get(&shim.fds, from) && !fds_get(&shim.fds, to))
		return REAL(dup2)(from, to);
	return replace(from, to, 0, false);
}

int dup3(int from, int to, int flags)
{
	if (!fds_get(&shim.fds, from) && !fds_get(&shim.fds, to))
		return REAL(dup3)(from, to, flags);
	return replace(from, to, flags, true);
}

static int control(int fd, int command, void *argument)
{
	uint64_t word = fds_get(&shim.fds, fd);

	if (fd_kind(word) == FD_OURS)
		return refuse();
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(word, REAL(fcntl)(fd, command, argument));
	return REAL(fcntl)(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	return control(fd, command, argument);
}

/* Both take a file of any size, which control() only passes on. */
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* The first of our own descriptors from `first` on, or beyond `last`. */
static uint64_t next_own(uint64_t first, uint64_t last)
{
	for (int fd = fds_next(&shim.fds, (int)first); fd >= 0 && (uint64_t)fd <= last;
		fd = fds_next(&shim.fds, fd + 1))
		if (fd_kind(fds_get(&shim.fds, fd)) == FD_OURS)
			return (uint64_t)fd;
	return last + 1;
}

/* Closes what stands between our own descriptors. */
static int close_around(uint64_t first, uint64_t last, int flags)
{
	int r = 0;

	for (uint64_t own; !r && first <= last; first = own + 1) {
		own = first < FDS_MAX ? next_own(first, last) : last + 1;
		if (own > first)
			r = REAL(close_range)((unsigned)first, (unsigned)(own - 1), flags);
		flags &= ~(int)CLOSE_RANGE_UNSHARE;
	}
	return r;
}

int close_range(unsigned first, unsigned last, int flags)
{
	bool closes = !(flags & CLOSE_RANGE_CLOEXEC);

	if (!atomic_load(&shim.fds.words) || first > last || first >= FDS_MAX)
		return REAL(close_range)(first, last, flags);
	for (int fd = fds_next(&shim.fds, (int)first); closes && fd >= 0 && (unsigned)fd <= last;
		fd = fds_next(&shim.fds, fd + 1))
		if (fd_kind(fds_get(&shim.fds, fd)) != FD_OURS)
			close(fd);
	return close_around(first, last, flags);
}

/* How many descriptors there may be is remembered by accept(); it has to look again. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	atomic_store(&shim.room_until, 0);
	return REAL(setrlimit)(resource, limit);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	atomic_store(&shim.room_until, 0);
	return REAL(setrlimit64)(resource, limit);
}

void closefrom(int first)
{
	close_range((unsigned)MAX(first, 0), UINT_MAX, 0);
}
