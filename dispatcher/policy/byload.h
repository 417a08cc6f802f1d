/* Workers that may be given a connection, by load: the least loaded in a constant number of steps. */
#ifndef POLICY_BYLOAD_H
#define POLICY_BYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BYLOAD_NONE UINT32_MAX

struct byload_link {
	uint32_t prev, next;
};

/* Embedded in the pool; private to byload.c. */
struct byload {
	uint64_t *used;		   /* bit per bucket that holds somebody */
	uint64_t *top;		   /* bit per word of used that is not 0 */
	struct byload_link *links; /* of the slots, then one ring head per bucket */
	uint32_t *bucket_of;	   /* per slot */
	uint32_t slots, tops;
};

size_t byload_bytes(uint32_t slots, uint32_t buckets);
/* memory: byload_bytes() bytes, aligned to 8; the caller keeps it. */
void byload_init(struct byload *b, void *memory, uint32_t slots, uint32_t buckets);

/* Puts slot into bucket, out of the one where it was: as its first, or as its last. */
void byload_put(struct byload *b, uint32_t slot, uint32_t bucket, bool first);
void byload_drop(struct byload *b, uint32_t slot); /* not an error when it is in none */

/* The first slot of the lowest bucket that holds anybody, or BYLOAD_NONE. */
uint32_t byload_first(const struct byload *b);

/* BYLOAD_NONE: in none. */
static inline uint32_t byload_bucket(const struct byload *b, uint32_t slot)
{
	return b->bucket_of[slot];
}

#endif
