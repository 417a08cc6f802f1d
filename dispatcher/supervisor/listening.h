/* What a descriptor that came from elsewhere listens on, as the kernel tells it. */
#ifndef SUPERVISOR_LISTENING_H
#define SUPERVISOR_LISTENING_H

#include "common/addr.h"

#include <stdbool.h>
#include <sys/un.h>

#define LISTENING_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct listening {
	struct addr addr;
	char path[LISTENING_PATH_BYTES + 1]; /* of a unix socket, as it was bound */
	bool takes_ipv4;                     /* an IPv6 socket that IPv4 clients reach, too */
};

enum listening_answer {
	LISTENING_NOT = 1, /* no listening stream socket of TCP or at a path */
};

/* Safe with any descriptor. 0, LISTENING_NOT or -errno. */
int listening_look(int fd, struct listening *ret_listening);

/* Whether it is what is to be opened at addr, or (AF_UNIX) at path. */
bool listening_is(const struct listening *l, const struct addr *addr, const char *path);

/* Whether the path leads to this very unix socket, and not to one that took its place. False, too,
 * where the kernel cannot tell (sock_diag(7)). */
bool listening_stands_at(int fd, const char *path);

/* "0.0.0.0:25", "[::]:25", "unix:/run/x". */
#define LISTENING_TEXT_BYTES (LISTENING_PATH_BYTES + ADDR_TEXT_BYTES)
const char *listening_format(const struct listening *l, char ret_text[LISTENING_TEXT_BYTES]);

#endif
