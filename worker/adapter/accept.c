/* accept() reads an offer from the channel.
 *
 * A receiver without a free descriptor would lose the socket (recvmsg(2) closes what does not fit),
 * so one is made sure of first. With several listeners the offer in front may be another one's: it
 * is looked at and then read under a lock in the shared area, which is taken over from an owner
 * that died. */
#include "common/base.h"
#include "common/msg.h"
#include "worker/adapter/address.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/epoll.h"
#include "worker/adapter/listeners.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define ROOM_MARGIN  64   /* descriptors that a program may open between two looks */
#define LONGEST_WAIT 2000 /* turns to yield before somebody who waits looks again */

enum offer_answer { OFFER_TAKEN, OFFER_AGAIN, OFFER_FAILED };

struct offer {
	struct msg_conn conn;
	int fd;
	bool has_waited; /* for it, in this call of accept() */
};

static bool has_room(void)
{
	int last = atomic_load_explicit(&shim.last_received, memory_order_relaxed), fd;
	struct rlimit limit;

	if (last + ROOM_MARGIN < atomic_load_explicit(&shim.room_until, memory_order_relaxed))
		return true;
	if (!getrlimit(RLIMIT_NOFILE, &limit))
		atomic_store(&shim.room_until, (int)MIN(limit.rlim_cur, (rlim_t)INT_MAX));
	fd = REAL(fcntl)(atomic_load(&shim.own[OWN_CHANNEL]), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return false;
	REAL(close)(fd);
	atomic_store(&shim.last_received, fd);
	return true;
}

static int descriptor_of(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		c->cmsg_len < CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

/* The dispatcher is gone, or wants no more of this worker. */
static enum offer_answer ended(void)
{
	int bad;

	if (shim.config.head.ends_by_eof) {
		errno = EINVAL;
		return OFFER_FAILED;
	}
	atomic_store(&shim.tally.area->gone, 1);
	bad = listeners_silence();
	conns_end_if_idle();
	errno = -bad;
	return bad ? OFFER_FAILED : OFFER_AGAIN;
}

static enum offer_answer understand(struct msghdr *m, size_t len, struct offer *ret)
{
	unsigned count;

	ret->fd = descriptor_of(m);
	if (msg_read_offer(m->msg_iov->iov_base, len, &ret->conn, 1, &count) < 0) {
		if (ret->fd >= 0)
			REAL(close)(ret->fd);
		return OFFER_AGAIN;
	}
	tally_take(&shim.tally, ret->conn.slot);
	if (ret->fd >= 0)
		return OFFER_TAKEN;
	conns_release(ret->conn.slot);
	errno = EMFILE;
	return OFFER_FAILED;
}

/* Who has just been told that its listener is readable does not expect to wait in accept(), and may hold
 * what its own end needs (libmilter does): it fails once, as when a client has left. */
static enum offer_answer ended_at_once(int fd, const struct offer *o)
{
	enum offer_answer answer = ended();

	if (answer != OFFER_AGAIN || o->has_waited || (REAL(fcntl)(fd, F_GETFL) & O_NONBLOCK))
		return answer;
	errno = ECONNABORTED;
	return OFFER_FAILED;
}

static enum offer_answer receive(int fd, int flags, struct offer *ret)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t buf[MSG_OFFER_BYTES];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t len = REAL(recvmsg)(fd, &m, flags | MSG_DONTWAIT);

	if (!len)
		return ended_at_once(fd, ret);
	if (len < 0 && errno == EAGAIN && !(flags & MSG_DONTWAIT)) {
		ret->has_waited = true;
		len = REAL(recvmsg)(fd, &m, flags);
	}
	if (len < 0)
		return errno == ECONNRESET ? OFFER_AGAIN : OFFER_FAILED;
	if (!len)
		return ended();
	return understand(&m, (size_t)len, ret);
}

static bool is_alive(uint32_t thread)
{
	return syscall(SYS_tkill, thread, 0) == 0 || errno != ESRCH;
}

/* False: somebody else has it for longer than it takes. */
static bool take_turn(uint32_t me)
{
	_Atomic uint32_t *turn = &shim.tally.area->turn;

	for (unsigned i = 0; i < LONGEST_WAIT; i++) {
		uint32_t owner = 0;

		if (atomic_compare_exchange_strong(turn, &owner, me) || owner == me)
			return true;
		if (i % 64 == 63 && !is_alive(owner))
			atomic_compare_exchange_strong(turn, &owner, 0);
		sched_yield();
	}
	return false;
}

static void end_turn(uint32_t me)
{
	atomic_compare_exchange_strong(&shim.tally.area->turn, &me, 0);
}

/* Whose offer is first: the index of its listener; -EAGAIN, or what it is that receive() has to
 * see. */
static int peek(int fd)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t len = REAL(recvmsg)(fd, &m, MSG_PEEK | MSG_DONTWAIT);
	struct msg_conn conn;
	unsigned count;

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (len <= 0 || msg_read_offer(buf, (size_t)len, &conn, 1, &count) < 0)
		return -EBADMSG;
	return (int)MIN(conn.listener, ADAPTER_MAX_LISTENERS - 1u);
}

/* Those who wait for an edge saw one for each offer that came, but some left theirs where it was.
 */
static void wake_others(int fd, uint64_t mask)
{
	int first = peek(fd);

	if (first < 0 || (mask & (UINT64_C(1) << first)))
		return;
	for (int other = fds_next(&shim.fds, 0); other >= 0;
		other = fds_next(&shim.fds, other + 1)) {
		const struct adapter_bound *bound = listeners_bound(fds_get(&shim.fds, other));

		if (bound && (bound->mask & (UINT64_C(1) << first)))
			epoll_wake(other);
	}
}

static bool is_listened_here(int listener)
{
	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1)) {
		const struct adapter_bound *bound = listeners_bound(fds_get(&shim.fds, fd));

		if (bound && (bound->mask & (UINT64_C(1) << listener)))
			return true;
	}
	return false;
}

static int nap(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	return ppoll(NULL, 0, &moment, NULL);
}

static enum offer_answer receive_own(int fd, int flags, uint64_t mask, struct offer *ret)
{
	uint32_t me = (uint32_t)syscall(SYS_gettid);
	enum offer_answer answer = OFFER_FAILED;
	int first;

	errno = EAGAIN;
	if (!take_turn(me))
		return answer;
	first = peek(fd);
	if (first == -EBADMSG || (first >= 0 && (mask & (UINT64_C(1) << first))))
		answer = receive(fd, flags | MSG_DONTWAIT, ret);
	else
		errno = EAGAIN;
	end_turn(me);
	if (answer == OFFER_FAILED && first >= 0 && !is_listened_here(first)) {
		nap(); /* another process has to take it, and this one would be woken until it has
			*/
		errno = EAGAIN;
	}
	if (answer == OFFER_TAKEN && epoll_wants_edges())
		wake_others(fd, mask);
	return answer;
}

/* One of several listeners. A blocking one waits for a message and looks whose it is; while it is
 * another one's, there is nothing to wait for but time. */
static enum offer_answer receive_shared(int fd, int flags, uint64_t mask, struct offer *ret)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	enum offer_answer answer = receive_own(fd, flags, mask, ret);

	if (answer != OFFER_FAILED || errno != EAGAIN || (REAL(fcntl)(fd, F_GETFL) & O_NONBLOCK))
		return answer;
	ret->has_waited = true;
	if (peek(fd) != -EAGAIN)
		return nap() < 0 ? OFFER_FAILED : OFFER_AGAIN;
	return poll(&readable, 1, -1) < 0 ? OFFER_FAILED : OFFER_AGAIN;
}

static bool is_only_listener(const struct adapter_bound *bound)
{
	return !(atomic_load_explicit(&shim.tally.area->covered, memory_order_relaxed) &
		 ~bound->mask);
}

/* The new descriptor as accept4() would have made it. */
static int arrived(const struct offer *o, const struct adapter_bound *bound, int flags)
{
	bool is_mapped = bound->domain == AF_INET6 && o->conn.peer.family == AF_INET;
	int none = 0;

	conns_set(o->fd, fd_word(FD_CONN, is_mapped ? FD_MAPPED : 0, o->conn.slot));
	atomic_store_explicit(&shim.last_received, o->fd, memory_order_relaxed);
	if (!(flags & SOCK_NONBLOCK))
		ioctl(o->fd, FIONBIO, &none);
	if (atomic_load_explicit(&bound->option_count, memory_order_relaxed))
		listeners_inherit(bound, o->fd);
	return o->fd;
}

static void put_peer(const struct offer *o, int domain, struct sockaddr *name, socklen_t *len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len;

	if (!name || !len)
		return;
	sa_len = addr_to_sockaddr_for(&o->conn.peer, domain, &sa);
	if (sa_len)
		address_put(&sa, sa_len, name, len);
	else
		REAL(getpeername)(o->fd, name, len);
}

static int accept_offer(
	int fd, const struct adapter_bound *bound, struct sockaddr *name, socklen_t *len, int flags)
{
	int receive_flags = flags & SOCK_CLOEXEC ? MSG_CMSG_CLOEXEC : 0, before = errno;
	struct offer offer = {.fd = -1};
	enum offer_answer answer;

	do {
		if (!has_room())
			return -1;
		if (is_only_listener(bound))
			answer = receive(fd, receive_flags, &offer);
		else
			answer = receive_shared(fd, receive_flags, bound->mask, &offer);
	} while (answer == OFFER_AGAIN);
	if (answer == OFFER_FAILED)
		return -1;
	errno = before;
	put_peer(&offer, bound->domain, name, len);
	return arrived(&offer, bound, flags);
}

int accept4(int fd, __SOCKADDR_ARG name, socklen_t *restrict len, int flags)
{
	uint64_t word = fds_get(&shim.fds, fd);

	if (fd_kind(word) != FD_LISTENER)
		return REAL(accept4)(fd, name, len, flags);
	return accept_offer(fd, listeners_bound(word), name.__sockaddr__, len, flags);
}

int accept(int fd, __SOCKADDR_ARG name, socklen_t *restrict len)
{
	uint64_t word = fds_get(&shim.fds, fd);

	if (fd_kind(word) != FD_LISTENER)
		return REAL(accept)(fd, name, len);
	return accept_offer(fd, listeners_bound(word), name.__sockaddr__, len, 0);
}
