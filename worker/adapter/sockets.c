/* What the program asks of its listeners, and the addresses of IPv4 clients on its IPv6 listeners.
 */
#include "worker/adapter/sockets.h"
#include "common/base.h"
#include "worker/adapter/address.h"
#include "worker/adapter/listeners.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return REAL(getsockopt)(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

int socket_number(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return REAL(getsockopt)(fd, level, name, &value, &len) < 0 ? -1 : value;
}

static int put_bound(const struct adapter_bound *b, struct sockaddr *name, socklen_t *len)
{
	address_put(&b->name, b->name_len, name, len);
	return 0;
}

static bool is_mapped(uint64_t word)
{
	return fd_kind(word) == FD_CONN && (fd_flags(word) & FD_MAPPED);
}

/* Shows the IPv4 address in `real` as an IPv6 socket would. */
static int put_mapped(const struct sockaddr_storage *real, socklen_t real_len,
	struct sockaddr *name, socklen_t *len)
{
	struct sockaddr_storage shown;
	struct addr addr;

	addr_from_sockaddr(&addr, (const void *)real, real_len);
	address_put(&shown, addr_to_sockaddr_for(&addr, AF_INET6, &shown), name, len);
	return 0;
}

int getsockname(int fd, __SOCKADDR_ARG name, socklen_t *restrict len)
{
	uint64_t word = fds_get(&shim.fds, fd);
	const struct adapter_bound *bound = listeners_bound(word);
	struct sockaddr_storage real;
	socklen_t real_len = sizeof(real);

	if (bound)
		return put_bound(bound, name.__sockaddr__, len);
	if (!is_mapped(word))
		return REAL(getsockname)(fd, name, len);
	if (REAL(getsockname)(fd, (struct sockaddr *)&real, &real_len) < 0)
		return -1;
	return put_mapped(&real, real_len, name.__sockaddr__, len);
}

int getpeername(int fd, __SOCKADDR_ARG name, socklen_t *restrict len)
{
	uint64_t word = fds_get(&shim.fds, fd);
	struct sockaddr_storage real;
	socklen_t real_len = sizeof(real);

	if (fd_kind(word) == FD_LISTENER) {
		errno = ENOTCONN;
		return -1;
	}
	if (!is_mapped(word))
		return REAL(getpeername)(fd, name, len);
	if (REAL(getpeername)(fd, (struct sockaddr *)&real, &real_len) < 0)
		return -1;
	return put_mapped(&real, real_len, name.__sockaddr__, len);
}

static int listener_answer(const struct adapter_bound *b, int level, int name)
{
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY)
		return b->is_v6only;
	if (level != SOL_SOCKET)
		return 0;
	switch (name) {
	case SO_ACCEPTCONN:
	case SO_REUSEADDR:
		return 1;
	case SO_TYPE:
		return SOCK_STREAM;
	case SO_DOMAIN:
		return b->domain;
	case SO_PROTOCOL:
		return b->domain == AF_UNIX ? 0 : IPPROTO_TCP;
	default:
		return 0;
	}
}

/* True for what the channel itself can answer or take: sizes and deadlines of its own. */
static bool is_of_channel(int level, int name)
{
	return level == SOL_SOCKET &&
	       (name == SO_RCVTIMEO || name == SO_SNDTIMEO || name == SO_RCVBUF ||
		       name == SO_SNDBUF || name == SO_LINGER);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	uint64_t word = fds_get(&shim.fds, fd);
	const struct adapter_bound *bound = listeners_bound(word);
	int answer;

	if (!bound || fd_kind(word) == FD_BOUND || is_of_channel(level, name))
		return REAL(getsockopt)(fd, level, name, value, len);
	if (!value || !len) {
		errno = EFAULT;
		return -1;
	}
	memset(value, 0, *len);
	answer = listener_answer(bound, level, name);
	memcpy(value, &answer, MIN(*len, sizeof(answer)));
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	uint64_t word = fds_get(&shim.fds, fd);
	struct adapter_bound *bound = listeners_bound(word);

	if (!bound || fd_kind(word) == FD_BOUND)
		return REAL(setsockopt)(fd, level, name, value, len);
	listeners_keep_option(bound, level, name, value, len);
	if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO))
		return REAL(setsockopt)(fd, level, name, value, len);
	return 0;
}

/* The channel belongs to all processes of the worker, and none of them may shut it. */
int shutdown(int fd, int how)
{
	if (fd_kind(fds_get(&shim.fds, fd)) == FD_LISTENER)
		return 0;
	return REAL(shutdown)(fd, how);
}
