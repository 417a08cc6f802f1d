/* Offers of one millisecond are one batch. A worker's window bounds the batches; only a take-over with
 * a smaller window can fill the ring, and then the last batch takes the rest. */
#include "dispatcher/policy/offered.h"

#include "common/base.h"

void offered_init(struct offered *o, struct offered_batch *ring, uint32_t size)
{
	*o = (struct offered){.ring = ring, .size = size};
}

static struct offered_batch *batch(const struct offered *o, uint32_t nth)
{
	uint32_t at = o->head + nth;

	return &o->ring[at < o->size ? at : at - o->size];
}

void offered_made(struct offered *o, uint32_t count, uint64_t at_ms)
{
	struct offered_batch *last = o->batches ? batch(o, o->batches - 1) : NULL;

	if (!count)
		return;
	if (last && (last->at_ms >= at_ms || o->batches == o->size))
		last->count += count;
	else
		*batch(o, o->batches++) = (struct offered_batch){at_ms, count};
}

void offered_gone(struct offered *o, uint32_t count)
{
	while (count) {
		struct offered_batch *first = batch(o, 0);
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

uint64_t offered_oldest_ms(const struct offered *o)
{
	return o->batches ? batch(o, 0)->at_ms : UINT64_MAX;
}
