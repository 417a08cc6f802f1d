/* What the kernel says of TCP sockets (sock_diag(7)): which have ended, and how those are that have not. */
#ifndef ACCEPTOR_SOCKDIAG_H
#define ACCEPTOR_SOCKDIAG_H

#include <stdbool.h>
#include <stdint.h>

#define SOCKDIAG_PORTS 256

struct sockdiag_ports {
	uint16_t list[SOCKDIAG_PORTS];
	unsigned count;
};

void sockdiag_add_port(struct sockdiag_ports *ports, uint16_t port); /* once each; beyond its room: not */

/* Where the kernel tells of each TCP socket with one of these local ports that nobody has any more. A
 * descriptor or -errno. */
int sockdiag_open_ends(const struct sockdiag_ports *ports);

/* 1: *ret_cookie has ended; 0: nothing is there yet; -ENOBUFS: some were lost; another -errno. */
int sockdiag_next_end(int fd, uint64_t *ret_cookie);

struct sockdiag_socket {
	uint64_t cookie;
	uint32_t unread_bytes, unsent_bytes;
	bool is_open; /* some process has it */
};

int sockdiag_open(void); /* for asking; a descriptor or -errno */

/* Tells of each TCP socket with one of these local ports, but listening ones. 0 or -errno. */
int sockdiag_each(int fd, const struct sockdiag_ports *ports,
	void (*each)(void *user, const struct sockdiag_socket *one), void *user);

#endif
