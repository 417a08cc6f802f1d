/* Open addressing with linear probing, at most half full, with entries moved back on removal, so
 * that no tombstone ever slows it. The hash has a secret key: who connects chooses the addresses,
 * and must not be able to choose them all into one place. */
#include "dispatcher/policy/sources.h"

#include "common/base.h"
#include "dispatcher/policy/siphash.h"

#include <string.h>

#define LOG_ENTRIES  64
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
	uint8_t key[16];
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

/* --- the table --- */

static uint32_t place_of(const struct sources *s, const struct source *source)
{
	return (uint32_t)siphash(s->key, source, sizeof(*source), 1, 3) & s->mask;
}

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
