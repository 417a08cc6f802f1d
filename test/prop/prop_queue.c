/* Random lives of a queue against a plain list, with the channel that it mirrors: turned round, cut
 * short and found again. No client is lost, served twice, overtaken, or refused without a reason.
 *
 * prop_queue [SEED [WORLDS]], as prop_pool. */
#include "dispatcher/policy/queue.h"
#include "test/prop/random.h"

#include "common/base.h"

#include <inttypes.h>
#include <string.h>

#define STEPS  3000
#define WORLDS 300

struct world {
	uint64_t seed, random, now_ms;
	unsigned step;
	struct queue queue;
	struct queue_entry ring[QUEUE_MOST];
	struct queue_entry list[QUEUE_MOST]; /* oldest first */
	uint32_t count, next_conn, size;
	uint64_t wait_ms, weeded_ms;
	bool weeded;
};

#define LAW(w, claim)                                                                              \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fprintf(stderr,                                                            \
				"prop_queue: seed %" PRIu64 ", step %u: broken law: %s\n",         \
				(w)->seed, (w)->step, #claim);                                     \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void list_drop(struct world *w)
{
	w->count--;
	memmove(w->list, w->list + 1, w->count * sizeof(*w->list));
}

static void arrives(struct world *w)
{
	enum queue_verdict verdict = queue_judge(&w->queue, w->now_ms);
	bool may_weed = !w->weeded || w->now_ms >= w->weeded_ms + QUEUE_WEED_MS;

	LAW(w, (verdict == QUEUE_JOINS) == (w->count < w->size));
	LAW(w, (verdict == QUEUE_CROWDED) == (w->count >= w->size && w->count && w->size && may_weed));
	if (verdict == QUEUE_CROWDED) {
		queue_weeded(&w->queue, w->now_ms);
		w->weeded = true;
		w->weeded_ms = w->now_ms;
		LAW(w, queue_judge(&w->queue, w->now_ms) == QUEUE_FULL);
	}
	if (verdict != QUEUE_JOINS)
		return;
	queue_joined(&w->queue, w->next_conn, w->now_ms);
	w->list[w->count++] = (struct queue_entry){w->next_conn++, w->now_ms};
}

static void has_a_turn(struct world *w, bool room)
{
	enum queue_turn turn = queue_next(&w->queue, room, w->now_ms);
	bool is_late = w->count && w->wait_ms != QUEUE_NEVER &&
		       w->now_ms - w->list[0].since_ms >= w->wait_ms;

	LAW(w, (turn == QUEUE_SERVES) == (room && w->count));
	LAW(w, (turn == QUEUE_LATE) == (!room && is_late));
	LAW(w, is_late == (queue_deadline(&w->queue) <= w->now_ms));
	if (turn == QUEUE_RESTS)
		return;
	LAW(w, queue_left(&w->queue).conn == w->list[0].conn);
	list_drop(w);
}

/* Another acceptor finds the queue turned by so many, and with other limits. */
static void found_again(struct world *w)
{
	struct queue_entry ring[QUEUE_MOST];
	uint32_t by = w->count ? random_below(&w->random, w->count) : 0;

	memcpy(ring, w->list, sizeof(ring));
	w->size = random_below(&w->random, 20);
	w->wait_ms = random_below(&w->random, 5) ? 1 + random_below(&w->random, 300) : QUEUE_NEVER;
	w->weeded = false;
	queue_init(&w->queue, w->ring, w->size, w->wait_ms);
	for (uint32_t i = 0; i < w->count; i++) {
		struct queue_entry e = ring[(by + i) % w->count];

		queue_joined(&w->queue, e.conn, e.since_ms);
	}
	for (uint32_t skew = queue_skew(&w->queue); skew; skew--) {
		struct queue_entry e = queue_left(&w->queue);

		queue_joined(&w->queue, e.conn, e.since_ms);
	}
	LAW(w, !w->count || queue_head(&w->queue).since_ms == w->list[0].since_ms);
	for (uint32_t i = 0; i < w->count; i++) { /* of one moment, in whatever order */
		w->list[i] = queue_left(&w->queue);
		queue_joined(&w->queue, w->list[i].conn, w->list[i].since_ms);
		LAW(w, !i || w->list[i].since_ms >= w->list[i - 1].since_ms);
	}
}

static void live_through(struct world *w)
{
	uint32_t filling = 1 + random_below(&w->random, 9);

	found_again(w);
	for (w->step = 1; w->step <= STEPS; w->step++) {
		w->now_ms += random_below(&w->random, 3) ? 0 : random_below(&w->random, 60);
		if (random_below(&w->random, 300) == 0)
			found_again(w);
		else if (random_below(&w->random, 10) < filling)
			arrives(w);
		else
			has_a_turn(w, random_below(&w->random, 2));
		LAW(w, w->queue.count == w->count);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t worlds = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : WORLDS;
	struct world *w = malloc(sizeof(*w));

	for (uint64_t i = 0; w && i < worlds; i++) {
		*w = (struct world){.seed = seed + i, .random = seed + i};
		live_through(w);
	}
	free(w);
	printf("prop_queue: %" PRIu64 " worlds of %d steps from seed %" PRIu64 "\n", worlds, STEPS, seed);
	return 0;
}
