/* The program's sockets on addresses of the service: first bound only, then listened on.
 *
 * Known by the kernel's cookie of the socket behind a descriptor, never by number: what the program
 * dups, inherits, or passes on is the same spot. When the program listens, its socket gives way
 * to one end of a pair. Ours (the bell) makes the program's readable, and tells when the program
 * has closed its last descriptor; then whatever held the socket, such as an epoll set, is rid of
 * it. */
#ifndef WORKER_NOTIFY_SPOTS_H
#define WORKER_NOTIFY_SPOTS_H

#include "common/adapter.h"
#include "worker/notify/options.h"

struct spot {
	struct spot *next;
	uint64_t cookie; /* of the program's socket */
	uint64_t mask;   /* listeners of the service that it stands for, bits by index */
	int domain, protocol;
	socklen_t name_len;
	struct sockaddr_storage name; /* as bound */
	struct options options;       /* for what is accepted */
	int bell;                     /* our end; -1 until the program listens */
	bool rung;                    /* there may be something in it for the program to read */
};

struct spots {
	struct spot *first;
	unsigned count;
};

/* The kernel's cookie of a socket, or 0: it is none. */
uint64_t spots_cookie(int fd);

/* NULL: none of ours. */
struct spot *spots_find(const struct spots *s, uint64_t cookie);
struct spot *spots_of_bell(const struct spots *s, int bell);

/* The last few that were only bound are remembered. NULL: no memory. */
struct spot *spots_add(struct spots *s, uint64_t cookie);
void spots_remove(struct spots *s, struct spot *spot); /* closes its bell */

/* Listeners that the program listens for. */
uint64_t spots_covered(const struct spots *s);

/* Makes the pair. The program's end, or -errno. The spot is then known by the new end. */
int spots_open_bell(struct spot *spot, bool nonblock);

/* Makes the program's end readable, once more; or for ever. */
void spots_ring(struct spot *spot);
void spots_end(struct spot *spot);

/* Empties it; theirs is a duplicate of the program's end. */
void spots_silence(struct spot *spot, int theirs);

#endif
