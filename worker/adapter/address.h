/* Socket addresses as the program wants to see them. */
#ifndef WORKER_ADAPTER_ADDRESS_H
#define WORKER_ADAPTER_ADDRESS_H

#include "common/addr.h"

#include <sys/un.h>

#define ADDRESS_PATH_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) + 1)

/* As the kernel does it: at most *len bytes are copied, *len becomes the whole length. `to` may be
 * NULL. */
void address_put(const struct sockaddr_storage *from, socklen_t from_len, struct sockaddr *to,
	socklen_t *len);

/* The path of a unix address as text; false: it is none, or one that the kernel would refuse. */
bool address_path(const struct sockaddr *sa, socklen_t len, char ret_path[ADDRESS_PATH_BYTES]);

#endif
