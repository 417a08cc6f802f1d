/* Connections that one process of the program passes to another over a unix socket.
 *
 * The one who sends notes the socket's cookie beside the connection and leaves it one reference,
 * which is on its way; the one who receives looks for the cookie of each socket that came, and
 * takes the reference over. What is received by a program that is no part of the worker keeps the
 * reference, until the kernel says that the socket is gone. */
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/listeners.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"
#include "worker/adapter/sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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

/* All listeners that stand for the channel have its cookie; the one that was passed last is meant.
 */
static void sending_listener(struct adapter_bound *bound, uint64_t cookie)
{
	struct adapter_area *area = shim.tally.area;

	for (unsigned i = 0; i < ADAPTER_MAX_BOUND; i++)
		if (atomic_load(&area->bound[i].cookie) == cookie)
			atomic_store(&area->bound[i].cookie, 0);
	atomic_store(&bound->cookie, cookie);
	atomic_fetch_add(&area->passed, 1);
}

static void sending(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);
	struct adapter_bound *bound = listeners_bound(word);

	if (bound)
		sending_listener(bound, socket_cookie(fd));
	if (fd_kind(word) == FD_CONN && tally_refer(&shim.tally, fd_value(word)))
		tally_pass(&shim.tally, fd_value(word), socket_cookie(fd));
}

static void not_sent(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);
	uint32_t tag;

	if (fd_kind(word) == FD_CONN && tally_find(&shim.tally, socket_cookie(fd), &tag))
		conns_release(tag);
}

static bool received_listener(int fd, uint64_t cookie)
{
	struct adapter_area *area = shim.tally.area;

	for (uint32_t i = 0; atomic_load(&area->passed) && i < ADAPTER_MAX_BOUND; i++) {
		if (atomic_load(&area->bound[i].cookie) != cookie)
			continue;
		if (socket_number(fd, SOL_SOCKET, SO_TYPE) == SOCK_SEQPACKET)
			conns_set(fd, fd_word(FD_LISTENER, 0, i));
		else
			conns_set(fd, fd_word(FD_BOUND, 0, i));
		return true;
	}
	return false;
}

static void received(int fd)
{
	uint64_t cookie = socket_cookie(fd);
	uint32_t tag;

	if (!cookie || received_listener(fd, cookie))
		return;
	if (tally_find(&shim.tally, cookie, &tag))
		conns_set(fd, fd_word(FD_CONN, 0, tag));
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

	if (got < 0 || !m->msg_controllen || (flags & MSG_PEEK) || !atomic_load(&shim.fds.words))
		return got;
	if (!atomic_load(&shim.tally.area->passing) && !atomic_load(&shim.tally.area->passed))
		return got;
	each_descriptor(m, received);
	errno = before;
	return got;
}
