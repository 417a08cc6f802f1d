/* From the kernel's name of a socket (SO_COOKIE) to its connection slot, in one service. */
#ifndef ACCEPTOR_COOKIES_H
#define ACCEPTOR_COOKIES_H

#include "dispatcher/acceptor/conns.h"

struct cookies {
	uint32_t *heads; /* NULL: this service needs none */
	uint32_t mask;
};

/* Enters those that the table has open already. 0 or -ENOMEM. */
int cookies_init(struct cookies *k, const struct conns *c);

/* A connection was put into this slot. */
void cookies_enter(struct cookies *k, const struct conns *c, uint32_t slot, uint64_t cookie);

/* The slot of an open connection, or CONNS_NONE. */
uint32_t cookies_find(const struct cookies *k, const struct conns *c, uint64_t cookie);

#endif
