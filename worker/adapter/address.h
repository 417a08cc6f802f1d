/* Socket addresses as the program wants to see them. */
#ifndef WORKER_ADAPTER_ADDRESS_H
#define WORKER_ADAPTER_ADDRESS_H

#include "common/addr.h"

/* As the kernel does it: at most *len bytes are copied, *len becomes the whole length. `to` may be
 * NULL. */
void address_put(const struct sockaddr_storage *from, socklen_t from_len, struct sockaddr *to,
	socklen_t *len);

/* An address for a socket of `domain`: an IPv4 one becomes ::ffff:a.b.c.d where that is AF_INET6.
 * Its length; 0: none. */
socklen_t address_for(const struct addr *addr, int domain, struct sockaddr_storage *ret_sa);

#endif
