/* A ring of slots per bucket and a two-level bit map of the buckets that are not empty. The pool
 * has one bucket per load, and once more as many for spent workers, so that "least loaded, spent
 * ones last" is simply the lowest bucket. */
#include "dispatcher/policy/byload.h"

#include "common/base.h"

#include <string.h>

static uint32_t words(uint32_t bits)
{
	return (bits + 63) / 64;
}

size_t byload_bytes(uint32_t slots, uint32_t buckets)
{
	size_t maps = (words(buckets) + words(words(buckets))) * sizeof(uint64_t);
	size_t links = ((size_t)slots + buckets) * sizeof(struct byload_link);

	return (maps + links + slots * sizeof(uint32_t) + 7) & ~(size_t)7;
}

void byload_init(struct byload *b, void *memory, uint32_t slots, uint32_t buckets)
{
	memset(memory, 0, byload_bytes(slots, buckets));
	b->used = memory;
	b->top = b->used + words(buckets);
	b->tops = words(words(buckets));
	b->links = (struct byload_link *)(b->top + b->tops);
	b->bucket_of = (uint32_t *)(b->links + slots + buckets);
	b->slots = slots;
	for (uint32_t i = 0; i < slots; i++)
		b->bucket_of[i] = BYLOAD_NONE;
	for (uint32_t i = slots; i < slots + buckets; i++)
		b->links[i] = (struct byload_link){i, i};
}

static inline void drop(struct byload *b, uint32_t slot)
{
	uint32_t bucket = b->bucket_of[slot];
	struct byload_link *link = &b->links[slot];

	if (bucket == BYLOAD_NONE)
		return;
	b->links[link->prev].next = link->next;
	b->links[link->next].prev = link->prev;
	b->bucket_of[slot] = BYLOAD_NONE;
	if (link->prev != link->next)
		return; /* somebody stays: a ring of one has its head on both sides */
	b->used[bucket / 64] &= ~(1ull << bucket % 64);
	if (!b->used[bucket / 64])
		b->top[bucket / 4096] &= ~(1ull << bucket / 64 % 64);
}

void byload_drop(struct byload *b, uint32_t slot)
{
	drop(b, slot);
}

void byload_put(struct byload *b, uint32_t slot, uint32_t bucket, bool first)
{
	uint32_t head = b->slots + bucket;
	uint32_t prev;

	drop(b, slot);
	prev = first ? head : b->links[head].prev;
	b->links[slot] = (struct byload_link){prev, b->links[prev].next};
	b->links[b->links[slot].next].prev = slot;
	b->links[prev].next = slot;
	b->bucket_of[slot] = bucket;
	b->used[bucket / 64] |= 1ull << bucket % 64;
	b->top[bucket / 4096] |= 1ull << bucket / 64 % 64;
}

uint32_t byload_first(const struct byload *b)
{
	for (uint32_t i = 0; i < b->tops; i++) {
		uint32_t word;

		if (!b->top[i])
			continue;
		word = i * 64 + (uint32_t)__builtin_ctzll(b->top[i]);
		return b->links[b->slots + word * 64 + (uint32_t)__builtin_ctzll(b->used[word])]
			.next;
	}
	return BYLOAD_NONE;
}
