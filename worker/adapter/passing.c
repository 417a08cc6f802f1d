/* Connections that one process of the program passes to another over a unix socket.
 *
 * The one who sends notes the socket's cookie beside the connection and leaves it one reference,
 * which is on its way; the one who receives looks for the cookie of each socket that came, and
 * takes the reference over. What is received by a program that is no part of the worker keeps the
 * reference, until the kernel says that the socket is gone. */
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return REAL(getsockopt)(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

/* Calls act for every descriptor in the control messages. */
static void each_descriptor(const struct msghdr *m, void (*act)(int fd))
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		size_t count =
			c->cmsg_len < CMSG_LEN(0) ? 0 : (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			act(fd);
		}
	}
}

static void sending(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);

	if (fd_kind(word) == FD_CONN && tally_refer(&shim.tally, fd_value(word)))
		tally_pass(&shim.tally, fd_value(word), cookie_of(fd));
}

static void not_sent(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);
	uint32_t tag;

	if (fd_kind(word) == FD_CONN && tally_find(&shim.tally, cookie_of(fd), &tag))
		conns_release(tag);
}

static void received(int fd)
{
	uint64_t cookie = cookie_of(fd);
	uint32_t tag;

	if (cookie && !fds_get(&shim.fds, fd) && tally_find(&shim.tally, cookie, &tag))
		fds_set(&shim.fds, fd, fd_word(FD_CONN, 0, tag));
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t sent;
	int before;

	if (!m || !m->msg_controllen || !m->msg_control || !atomic_load(&shim.fds.words))
		return REAL(sendmsg)(fd, m, flags);
	each_descriptor(m, sending);
	sent = REAL(sendmsg)(fd, m, flags);
	before = errno;
	if (sent < 0)
		each_descriptor(m, not_sent);
	errno = before;
	return sent;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t got = REAL(recvmsg)(fd, m, flags);
	int before = errno;

	if (got < 0 || !m->msg_controllen || (flags & MSG_PEEK) || !atomic_load(&shim.fds.words) ||
		!atomic_load(&shim.tally.area->passing))
		return got;
	each_descriptor(m, received);
	errno = before;
	return got;
}
