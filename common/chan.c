/* sendmsg and recvmsg with SCM_RIGHTS, the one place that knows their traps: ETOOMANYREFS is
 * back-pressure (unix(7)), a truncated control message closes what did not fit, and a receiver that
 * died with unread records shows as ECONNRESET once and as EPIPE from then on. */
#include "common/chan.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * CHAN_MAX_FDS)];
};

int chan_pair(int ret_ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends) < 0)
		return -errno;
	return 0;
}

/* The kernel doubles what is asked for, as it counts its own structures, too (socket(7)). */
size_t chan_make_room(int end, size_t bytes)
{
	int value = (int)(bytes / 2), has = 0;
	socklen_t len = sizeof(has);

	if (setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &value, sizeof(value)) < 0)
		setsockopt(end, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	getsockopt(end, SOL_SOCKET, SO_SNDBUF, &has, &len);
	return (size_t)has;
}

static void put_fds(struct msghdr *m, union control *control, const int *fds, unsigned count)
{
	struct cmsghdr *c;

	if (!count)
		return;
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
}

int chan_send(int fd, const void *buf, size_t len_bytes, const int *fds, unsigned fd_count)
{
	union control control;
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len_bytes};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	ASSERT(fd_count <= CHAN_MAX_FDS);
	put_fds(&m, &control, fds, fd_count);
	while (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		switch (errno) {
		case EINTR:
			continue;
		case EAGAIN:
		case ENOBUFS:
		case ETOOMANYREFS: /* too many descriptors in flight for this user */
			return CHAN_FULL;
		case EPIPE:
		case ECONNRESET:
			return CHAN_GONE;
		default:
			return -errno;
		}
	}
	return 0;
}

static unsigned take_fds(struct msghdr *m, int *ret_fds, unsigned max_fds, bool *ret_over)
{
	unsigned kept = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (unsigned i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (kept < max_fds) {
				ret_fds[kept++] = fd;
			} else {
				close(fd);
				*ret_over = true;
			}
		}
	}
	return kept;
}

static int receive(int fd, void *buf, size_t size, int flags, size_t *ret_len, int *ret_fds,
	unsigned max_fds, unsigned *ret_count)
{
	union control control;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	bool over = false;
	unsigned count;
	ssize_t got;

	while ((got = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags)) < 0) {
		if (errno == EINTR || errno == ECONNRESET)
			continue; /* told once, before what is still in the queue */
		if (errno == EAGAIN)
			return CHAN_EMPTY;
		return -errno;
	}
	count = take_fds(&m, ret_fds, max_fds, &over);
	over = over || m.msg_flags & (MSG_CTRUNC | MSG_TRUNC);
	while ((over || !got) && count)
		close(ret_fds[--count]);
	if (over)
		return -EMSGSIZE;
	if (!got)
		return CHAN_GONE;
	*ret_len = (size_t)got;
	*ret_count = count;
	return 0;
}

int chan_recv(int fd, void *buf, size_t size, size_t *ret_len, int *ret_fds, unsigned max_fds,
	unsigned *ret_count)
{
	return receive(fd, buf, size, 0, ret_len, ret_fds, max_fds, ret_count);
}

int chan_peek(int fd, void *buf, size_t size, size_t *ret_len, int *ret_fds, unsigned max_fds,
	unsigned *ret_count)
{
	return receive(fd, buf, size, MSG_PEEK, ret_len, ret_fds, max_fds, ret_count);
}
