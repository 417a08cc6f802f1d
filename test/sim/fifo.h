/* A queue of times that grows as it must. */
#ifndef TEST_SIM_FIFO_H
#define TEST_SIM_FIFO_H

#include "common/base.h"

struct fifo {
	uint64_t *ring;
	uint32_t mask, head, count; /* ring has mask + 1 places; none while ring is NULL */
};

static inline void fifo_push(struct fifo *f, uint64_t value)
{
	uint32_t room = f->ring ? f->mask + 1 : 0;

	if (f->count == room) {
		uint32_t more = MAX(16u, 2 * room);
		uint64_t *ring = malloc(more * sizeof(*ring));

		ASSERT(ring);
		for (uint32_t i = 0; i < f->count; i++)
			ring[i] = f->ring[(f->head + i) & f->mask];
		free(f->ring);
		*f = (struct fifo){ring, more - 1, 0, f->count};
	}
	f->ring[(f->head + f->count++) & f->mask] = value;
}

static inline uint64_t fifo_pop(struct fifo *f)
{
	ASSERT(f->count);
	f->count--;
	return f->ring[f->head++ & f->mask];
}

#endif
