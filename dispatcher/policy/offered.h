/* When the offers that a worker has not read were made: a ring in memory of fixed size. */
#ifndef POLICY_OFFERED_H
#define POLICY_OFFERED_H

#include <stdint.h>

struct offered_batch {
	uint64_t at_ms;
	uint32_t count;
};

/* Embedded; private to offered.c. */
struct offered {
	struct offered_batch *ring;
	uint32_t size, head, batches;
};

/* ring: size batches (at least 1), kept by the caller. With more offers unread than size, the time of
 * some is said too early. */
void offered_init(struct offered *o, struct offered_batch *ring, uint32_t size);
void offered_made(struct offered *o, uint32_t count, uint64_t at_ms);
void offered_gone(struct offered *o, uint32_t count); /* the oldest; no more than there are */
uint64_t offered_oldest_ms(const struct offered *o);  /* UINT64_MAX: there is none */

#endif
