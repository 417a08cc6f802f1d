/* When the offers that a worker has not read were made: a ring in memory of fixed size.
 *
 * Offers of one millisecond are one batch. A worker's window bounds the batches; only a take-over with
 * a smaller window can fill the ring: then the last batch takes the rest, and says too early a time.
 * Inline, as every connection passes here. */
#ifndef POLICY_OFFERED_H
#define POLICY_OFFERED_H

#include "common/base.h"

struct offered_batch {
	uint64_t at_ms;
	uint32_t count;
};

/* Embedded; zeroed but for ring and size (at least 1), which the caller keeps. */
struct offered {
	struct offered_batch *ring;
	uint32_t size, head, batches;
};

static inline struct offered_batch *offered_batch(const struct offered *o, uint32_t nth)
{
	uint32_t at = o->head + nth;

	return &o->ring[at < o->size ? at : at - o->size];
}

static inline void offered_made(struct offered *o, uint32_t count, uint64_t at_ms)
{
	struct offered_batch *last = o->batches ? offered_batch(o, o->batches - 1) : NULL;

	if (!count)
		return;
	if (last && (last->at_ms >= at_ms || o->batches == o->size))
		last->count += count;
	else
		*offered_batch(o, o->batches++) = (struct offered_batch){at_ms, count};
}

/* The oldest count are gone. */
static inline void offered_gone(struct offered *o, uint32_t count)
{
	while (count) {
		struct offered_batch *first = &o->ring[o->head];
		uint32_t part = MIN(count, first->count);

		ASSERT(o->batches);
		count -= part;
		first->count -= part;
		if (first->count)
			return;
		o->head = o->head + 1 < o->size ? o->head + 1 : 0;
		o->batches--;
	}
}

/* UINT64_MAX: there is none. */
static inline uint64_t offered_oldest_ms(const struct offered *o)
{
	return o->batches ? o->ring[o->head].at_ms : UINT64_MAX;
}

#endif
