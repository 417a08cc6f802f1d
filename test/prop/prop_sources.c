/* Random connections from few sources: the table of sources against a plain list of them.
 *
 * prop_sources [SEED [WORLDS]], as prop_pool. */
#include "dispatcher/policy/sources.h"
#include "test/prop/random.h"

#include "common/base.h"

#include <inttypes.h>
#include <string.h>

#define SOURCES 300 /* that may connect */
#define STEPS   3000
#define WORLDS  300

struct world {
	uint64_t seed, random;
	unsigned step;
	struct sources *real;
	uint32_t max_open, sources;
	uint32_t count[SOURCES];
};

#define LAW(w, claim)                                                                              \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fprintf(stderr,                                                            \
				"prop_sources: seed %" PRIu64 ", step %u: broken law: %s\n",       \
				(w)->seed, (w)->step, #claim);                                     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Neighbours, as in a network. */
static struct source source(uint32_t number)
{
	struct source s = {
		.ip = {192, 168, (uint8_t)(number / 2 / 100), (uint8_t)(number / 2 % 100)},
		.family = number % 2 ? 4 : 6};

	return s;
}

static void open_one(struct world *w, uint32_t number, uint32_t limit)
{
	struct source s = source(number);
	bool is_allowed = (!limit || w->count[number] < limit) &&
			  (w->count[number] || w->sources < w->max_open);

	LAW(w, sources_opened(w->real, &s, limit) == is_allowed);
	if (!is_allowed)
		return;
	w->sources += w->count[number] == 0;
	w->count[number]++;
}

static void close_one(struct world *w, uint32_t number)
{
	struct source s = source(number);

	if (!w->count[number])
		return;
	sources_closed(w->real, &s);
	w->count[number]--;
	w->sources -= w->count[number] == 0;
}

static void check(const struct world *w, uint32_t from, uint32_t count)
{
	for (uint32_t i = from; i < from + count; i++) {
		struct source s = source(i % SOURCES);

		LAW(w, sources_count(w->real, &s) == w->count[i % SOURCES]);
	}
}

static void live_through(uint64_t seed)
{
	struct world w = {.seed = seed, .random = seed};
	uint64_t key[2] = {random_next(&w.random), random_next(&w.random)};
	uint32_t limit = random_below(&w.random, 4), filling = 1 + random_below(&w.random, 9);

	w.max_open = 1 + random_below(&w.random, SOURCES);
	w.real = sources_init(malloc(sources_bytes(w.max_open)), w.max_open, (const uint8_t *)key);
	for (w.step = 1; w.step <= STEPS; w.step++) {
		uint32_t number = random_below(&w.random, SOURCES);

		if (random_below(&w.random, 10) < filling)
			open_one(&w, number, limit);
		else
			close_one(&w, number);
		check(&w, number, 5);
		if (w.step % 500 == 0)
			check(&w, 0, SOURCES);
	}
	free(w.real);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t worlds = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : WORLDS;

	for (uint64_t i = 0; i < worlds; i++)
		live_through(seed + i);
	printf("prop_sources: %" PRIu64 " worlds of %d steps from seed %" PRIu64 "\n", worlds,
		STEPS, seed);
	return 0;
}
