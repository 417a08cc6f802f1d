/* Copying of addresses with the kernel's rule of truncation. */
#include "worker/adapter/address.h"
#include "common/base.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

void address_put(const struct sockaddr_storage *from, socklen_t from_len, struct sockaddr *to,
	socklen_t *len)
{
	if (!to || !len)
		return;
	memcpy(to, from, MIN(*len, from_len));
	*len = from_len;
}

bool address_path(const struct sockaddr *sa, socklen_t len, char ret_path[ADDRESS_PATH_BYTES])
{
	const size_t from = offsetof(struct sockaddr_un, sun_path);

	if (!sa || len <= from || len > sizeof(struct sockaddr_un) || sa->sa_family != AF_UNIX)
		return false;
	memset(ret_path, 0, ADDRESS_PATH_BYTES);
	memcpy(ret_path, (const char *)sa + from, len - from);
	return *ret_path;
}

socklen_t address_for(const struct addr *addr, int domain, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};

	if (addr->family != AF_INET || domain != AF_INET6)
		return addr_to_sockaddr(addr, ret_sa);
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(mapped.sin6_addr.s6_addr + 12, addr->ip, 4);
	memset(ret_sa, 0, sizeof(*ret_sa));
	memcpy(ret_sa, &mapped, sizeof(mapped));
	return sizeof(mapped);
}
