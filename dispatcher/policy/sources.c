/* Open addressing with linear probing, at most half full, with entries moved back on removal, so that
 * no tombstone ever slows it. The hash is SipHash-1-3 under a secret key: who connects chooses the
 * addresses, and must not be able to choose them all into one place. */
#include "dispatcher/policy/sources.h"

#include "common/base.h"

#include <string.h>

#define LOG_ENTRIES 64
#define LOG_PAUSE_MS 60000

struct counted {
	struct source source;
	uint32_t count; /* 0: free */
};

struct logged {
	struct source source;
	bool used;
	uint64_t at_ms;
};

struct sources {
	uint64_t key[2];
	uint32_t mask, max_sources, sources;
	struct logged logged[LOG_ENTRIES];
	struct counted table[];
};

static uint32_t table_size(uint32_t max_open)
{
	ASSERT(max_open <= 1u << 30);
	return base_pow2(2 * MAX(max_open, 1u));
}

size_t sources_bytes(uint32_t max_open)
{
	return sizeof(struct sources) + (size_t)table_size(max_open) * sizeof(struct counted);
}

struct sources *sources_init(void *memory, uint32_t max_open, const uint8_t key[16])
{
	struct sources *s = memory;

	memset(s, 0, sources_bytes(max_open));
	memcpy(s->key, key, sizeof(s->key));
	s->mask = table_size(max_open) - 1;
	s->max_sources = MAX(max_open, 1u);
	return s;
}

/* --- SipHash-1-3 --- */

static uint64_t rotated(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] = rotated(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] = rotated(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

static uint32_t place_of(const struct sources *s, const struct source *source)
{
	uint64_t v[4] = {s->key[0] ^ 0x736f6d6570736575, s->key[1] ^ 0x646f72616e646f6d,
		s->key[0] ^ 0x6c7967656e657261, s->key[1] ^ 0x7465646279746573};
	uint64_t words[2];

	memcpy(words, source->ip, sizeof(words));
	sip_word(v, words[0]);
	sip_word(v, words[1]);
	sip_word(v, (uint64_t)sizeof(*source) << 56 | source->family);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]) & s->mask;
}

/* --- the table --- */

static bool is_same(const struct source *a, const struct source *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Where source stands, or the free place where it would. */
static uint32_t find(const struct sources *s, const struct source *source)
{
	uint32_t at = place_of(s, source);

	while (s->table[at].count && !is_same(&s->table[at].source, source))
		at = (at + 1) & s->mask;
	return at;
}

bool sources_opened(struct sources *s, const struct source *source, uint32_t limit)
{
	struct counted *entry = &s->table[find(s, source)];

	if (limit && entry->count >= limit)
		return false;
	if (!entry->count) {
		if (s->sources == s->max_sources)
			return false;
		s->sources++;
		entry->source = *source;
	}
	entry->count++;
	return true;
}

/* Moves back every entry behind the hole that may stand nearer to its place. */
static void close_hole(struct sources *s, uint32_t hole)
{
	for (uint32_t at = (hole + 1) & s->mask; s->table[at].count; at = (at + 1) & s->mask) {
		uint32_t place = place_of(s, &s->table[at].source);

		if (((at - place) & s->mask) < ((at - hole) & s->mask))
			continue; /* its place is behind the hole */
		s->table[hole] = s->table[at];
		hole = at;
	}
	s->table[hole].count = 0;
}

void sources_closed(struct sources *s, const struct source *source)
{
	uint32_t at = find(s, source);

	if (!s->table[at].count || --s->table[at].count)
		return;
	s->sources--;
	close_hole(s, at);
}

uint32_t sources_count(const struct sources *s, const struct source *source)
{
	return s->table[find(s, source)].count;
}

bool sources_may_log(struct sources *s, const struct source *source, uint64_t now_ms)
{
	struct logged *oldest = &s->logged[0];

	for (int i = 0; i < LOG_ENTRIES; i++) {
		struct logged *l = &s->logged[i];

		if (l->used && is_same(&l->source, source)) {
			if (now_ms - l->at_ms < LOG_PAUSE_MS)
				return false;
			l->at_ms = now_ms;
			return true;
		}
		if (oldest->used && (!l->used || l->at_ms < oldest->at_ms))
			oldest = l;
	}
	*oldest = (struct logged){*source, true, now_ms};
	return true;
}
