/* Connections of refused clients, which are closed when their clients have read to the end.
 *
 * close(2) with bytes unread, or that come later, resets a TCP connection, and a reset destroys what
 * the client has not read yet (RFC 1122, 4.2.2.13). So each is kept, shut for writing, until its client
 * has closed it too, for two seconds at most. What it sends meanwhile the kernel throws away: no byte of
 * it comes into this process. */
#ifndef ACCEPTOR_ENDINGS_H
#define ACCEPTOR_ENDINGS_H

#include "dispatcher/acceptor/hand.h"

#include <uv.h>

struct endings {
	struct hand *hand; /* its places are ours: the keeper must not take them for new clients */
	uv_timer_t timer;
	uint64_t until_ms[HAND_ENDING];
	uint32_t count;
};

void endings_init(struct endings *e, uv_loop_t *loop, struct hand *hand);

/* A place that is empty: where there was none the one who was refused first has had its time. */
unsigned endings_place(struct endings *e);

/* fd is ours from now on; nothing but a store. */
void endings_put(struct endings *e, unsigned place, int fd);

/* It was told all that it is told. */
void endings_begin(struct endings *e, unsigned place);

/* Descriptors have run out: nobody has any more time. */
void endings_hurry(struct endings *e);

#endif
