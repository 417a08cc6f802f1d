/* Socket addresses in the program's memory, by the rules of accept(2) and getsockname(2): a buffer
 * that is too short gets what fits and learns the whole length. */
#include "worker/notify/notify.h"
#include "common/base.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static int read_len(const struct caller *c, uint64_t len_at, int *ret_len)
{
	int bad = caller_read(c, len_at, ret_len, sizeof(*ret_len));

	if (bad)
		return bad;
	return *ret_len < 0 ? -EINVAL : 0;
}

int addresses_check(const struct caller *c, uint64_t len_at)
{
	int len;

	return read_len(c, len_at, &len);
}

int addresses_put(const struct caller *c, uint64_t at, uint64_t len_at,
	const struct sockaddr_storage *name, socklen_t name_len)
{
	int len, whole = (int)name_len;
	int bad = read_len(c, len_at, &len);

	if (!bad && len)
		bad = caller_write(c, at, name, (size_t)MIN(len, whole));
	if (!bad && len != whole)
		bad = caller_write(c, len_at, &whole, sizeof(whole));
	return bad;
}

static socklen_t mapped(const struct addr *peer, struct sockaddr_storage *ret_name)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(peer->port)};

	six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
	memcpy(six.sin6_addr.s6_addr + 12, peer->ip, 4);
	memcpy(ret_name, &six, sizeof(six));
	return sizeof(six);
}

socklen_t addresses_of_peer(const struct addr *peer, int domain, struct sockaddr_storage *ret_name)
{
	if (peer->family == AF_INET && domain == AF_INET6)
		return mapped(peer, ret_name);
	return addr_to_sockaddr(peer, ret_name);
}
