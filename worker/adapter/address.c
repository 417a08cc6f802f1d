/* Copying of addresses with the kernel's rule of truncation. */
#include "worker/adapter/address.h"
#include "common/base.h"

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
