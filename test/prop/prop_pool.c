/* Random lives of random pools: the real pool and the naive model hear the same facts and must make
 * the same decisions, field by field; and, apart from any model, the laws hold:
 *
 *   no connection is lost or invented;
 *   nobody waits while there is room, and at the end everybody has been served;
 *   never above max_conns, max_handoffs, max_shutdown, max_procs + max_shutdown (but for those that
 * drain for an operator, up to max_procs of them);
 *   never below min_procs but for the back-off or that last cap, and no retirement takes the pool
 * there; after the last decision nothing is due, and nothing becomes due before pool_deadline();
 *   who shall be replaced does not leave before somebody younger is there, and at the end is gone.
 *
 * prop_pool [SEED [WORLDS]]: the worlds from SEED on. A failure names its seed; it alone repeats
 * it. */
#include "test/prop/laws.h"
#include "test/prop/random.h"

#include <inttypes.h>
#include <string.h>

#define STEPS  2000
#define WORLDS 200

static uint32_t below(struct world *w, uint32_t limit)
{
	return random_below(&w->random, limit);
}

/* A slot in one of the states (bits), at random; MODEL_NOBODY when there is none. */
static uint32_t any(struct world *w, unsigned states)
{
	uint32_t start = below(w, w->model.slots);

	for (uint32_t i = 0; i < w->model.slots; i++) {
		uint32_t slot = (start + i) % w->model.slots;

		if (states & BIT(w->model.worker[slot].state))
			return slot;
	}
	return MODEL_NOBODY;
}

/* Pulls all decisions from both. Returns how many. */
static unsigned settle(struct world *w)
{
	struct pool_decision real, model;
	unsigned count = 0;

	while (pool_next(w->pool, w->model.now_ms, &real)) {
		LAW(w, ++count < 1000);
		laws_check_decision(w, &real);
		LAW(w, model_next(&w->model, &model));
		LAW(w, real.verb == model.verb);
		LAW(w, real.slot == model.slot);
		LAW(w, real.reason == model.reason);
	}
	LAW(w, !model_next(&w->model, &model));
	LAW(w, pool_deadline(w->pool) > w->model.now_ms);
	laws_check(w);
	w->checks++;
	return count;
}

/* --- what may happen --- */

static void give(struct world *w, uint32_t slot, uint32_t count)
{
	pool_given(w->pool, slot, count, w->model.now_ms);
	model_given(&w->model, slot, count);
	w->open += count;
}

static void tell_waiting(struct world *w)
{
	pool_waiting(w->pool, w->waiting, w->model.now_ms);
	w->model.waiting = w->waiting;
}

/* Gives to workers as long as any has room, as the acceptor does. */
static void feed(struct world *w)
{
	uint32_t slot, count;

	while (w->waiting && (count = pool_pick(w->pool, w->waiting, &slot)) > 0) {
		LAW(w, count <= w->waiting);
		w->waiting -= count;
		give(w, slot, count);
		settle(w);
	}
	tell_waiting(w);
}

static void arrive(struct world *w)
{
	uint32_t count = 1 + below(w, below(w, 8) ? 3 : 60);

	w->arrived += count;
	w->waiting += count;
	if (below(w, 4))
		feed(w);
	else
		tell_waiting(w);
}

static void take(struct world *w, uint32_t slot, uint32_t count)
{
	pool_taken(w->pool, slot, count, w->model.now_ms);
	model_taken(&w->model, slot, count);
}

static void finish(struct world *w, uint32_t slot, uint32_t count)
{
	pool_done(w->pool, slot, count, w->model.now_ms);
	model_done(&w->model, slot, count);
	w->open -= count;
	w->done += count;
}

static void some_worker_reads(struct world *w)
{
	uint32_t slot = any(w, LIVE);
	uint32_t unread = slot == MODEL_NOBODY ? 0 : w->model.worker[slot].unread;

	if (unread)
		take(w, slot, 1 + below(w, unread));
}

static void some_worker_finishes(struct world *w)
{
	uint32_t slot = any(w, LIVE);
	uint32_t taken = slot == MODEL_NOBODY
				 ? 0
				 : w->model.worker[slot].load - w->model.worker[slot].unread;

	if (taken)
		finish(w, slot, 1 + below(w, taken));
}

static void some_worker_is_ready(struct world *w)
{
	uint32_t slot = any(w, BIT(POOL_STARTING));

	if (slot == MODEL_NOBODY)
		return;
	pool_ready(w->pool, slot, w->model.now_ms);
	model_ready(&w->model, slot);
}

static void release(struct world *w, uint32_t slot)
{
	w->lost += w->model.worker[slot].unread;
	w->open -= w->model.worker[slot].unread;
	pool_released(w->pool, slot, w->model.now_ms);
	model_released(&w->model, slot);
}

static void leave(struct world *w, uint32_t slot)
{
	uint32_t cut = w->model.worker[slot].load - w->model.worker[slot].unread;

	w->open -= cut;
	w->lost += cut;
	pool_exited(w->pool, slot, w->model.now_ms);
	model_exited(&w->model, slot);
}

static void some_worker_exits(struct world *w)
{
	uint32_t slot = any(w, below(w, 3) ? BIT(POOL_RETIRING) | BIT(POOL_KILLED) : LIVE);

	if (slot != MODEL_NOBODY)
		leave(w, slot);
}

static void some_corpse_is_released(struct world *w)
{
	uint32_t slot = any(w, BIT(POOL_EXITED));

	if (slot != MODEL_NOBODY && (!w->model.worker[slot].unread || !below(w, 10)))
		release(w, slot);
}

static void some_spawn_fails(struct world *w)
{
	uint32_t slot = any(w, BIT(POOL_STARTING));

	if (slot == MODEL_NOBODY)
		return;
	pool_spawn_failed(w->pool, slot, w->model.now_ms);
	model_spawn_failed(&w->model, slot);
}

/* A theft brings up to count, as many as there is room for with others. */
static void rob(struct world *w, uint32_t slot, uint32_t count)
{
	uint32_t rooms[MODEL_SLOTS], sum = 0;

	for (uint32_t i = 0; i < w->model.slots; i++)
		sum += rooms[i] = pool_room_of(w->pool, i);
	count = MIN(MIN(count, sum), w->model.worker[slot].unread);
	pool_robbed(w->pool, slot, count, w->model.now_ms);
	model_robbed(&w->model, slot, count);
	w->open -= count;
	for (uint32_t i = 0; count; i++) {
		uint32_t part = MIN(count, rooms[i]);

		if (part)
			give(w, i, part);
		count -= part;
	}
}

/* A theft ends; mostly it brought all. */
static void some_theft_ends(struct world *w)
{
	uint32_t slot = any(w, LIVE | BIT(POOL_EXITED));

	if (slot == MODEL_NOBODY || !w->model.worker[slot].robbing)
		return;
	rob(w, slot, below(w, 4) ? MODEL_OFFERS : below(w, w->model.worker[slot].unread + 1));
}

static void some_worker_reports(struct world *w)
{
	uint32_t slot = any(w, below(w, 2) ? BIT(POOL_SUSPECT) : LIVE);

	if (slot == MODEL_NOBODY)
		return;
	pool_answered(w->pool, slot, w->model.now_ms);
	model_answered(&w->model, slot);
}

static void make_stale(struct world *w, uint32_t slot, enum pool_reason reason)
{
	static const uint64_t drains_ms[] = {POOL_NEVER, POOL_NEVER, 0, 3000, 30000};
	uint64_t drain_ms = drains_ms[below(w, ARRAY_LEN(drains_ms))];
	uint64_t since_ms = w->model.now_ms - below(w, 3);

	pool_stale(w->pool, slot, reason, drain_ms, since_ms, w->model.now_ms);
	model_stale(&w->model, slot, reason, drain_ms, since_ms);
}

/* As an operator who restarts one worker, or one that grew too large. */
static void some_worker_is_stale(struct world *w)
{
	uint32_t slot = any(w, LIVE | BIT(POOL_EXITED));

	if (slot != MODEL_NOBODY)
		make_stale(w, slot, POOL_RESTARTED + below(w, 3));
}

static void all_workers_are_stale(struct world *w)
{
	enum pool_reason reason = below(w, 2) ? POOL_RESTARTED : POOL_CHANGED;

	for (uint32_t i = 0; i < w->model.slots; i++) {
		if (BIT(w->model.worker[i].state) & LIVE)
			make_stale(w, i, reason);
		if (!below(w, 8))
			settle(w);
	}
}

static void some_worker_misbehaves(struct world *w)
{
	uint32_t slot = any(w, LIVE | BIT(POOL_EXITED));

	if (slot == MODEL_NOBODY)
		return;
	switch (below(w, 3)) {
	case 0:
		pool_lied(w->pool, slot, w->model.now_ms);
		model_lied(&w->model, slot);
		break;
	case 1:
		pool_silent(w->pool, slot, w->model.now_ms);
		model_silent(&w->model, slot);
		break;
	default:
		pool_hung(w->pool, slot, w->model.now_ms);
		model_hung(&w->model, slot);
	}
}

/* Nothing may be due before the deadline that the pool named, whatever the model thinks. */
static void the_deadline_comes(struct world *w)
{
	uint64_t deadline_ms = pool_deadline(w->pool);

	if (deadline_ms == POOL_NEVER) {
		w->model.now_ms += 100000000;
		LAW(w, settle(w) == 0);
		return;
	}
	w->model.now_ms = deadline_ms - 1;
	LAW(w, settle(w) == 0);
	w->model.now_ms = deadline_ms;
}

static void time_passes(struct world *w)
{
	static const uint32_t spans_ms[] = {2, 10, 100, 1000, 10000, 100000};

	w->model.now_ms += below(w, spans_ms[below(w, ARRAY_LEN(spans_ms))]);
}

static void close_it(struct world *w)
{
	uint64_t deadline_ms = below(w, 2) ? POOL_NEVER : w->model.now_ms + below(w, 60000);

	pool_close(w->pool, deadline_ms, w->model.now_ms);
	model_close(&w->model, deadline_ms);
}

static void an_operator_closes(struct world *w)
{
	if (!w->model.closed)
		close_it(w);
	if (below(w, 2)) /* or else nobody has been told to retire yet */
		settle(w);
}

static void an_operator_opens(struct world *w)
{
	pool_reopened(w->pool, w->model.now_ms);
	model_reopened(&w->model);
}

static void an_operator_is_impatient(struct world *w)
{
	pool_try_now(w->pool, w->model.now_ms);
	model_try_now(&w->model);
}

static void closes_and_opens(struct world *w)
{
	an_operator_closes(w);
	if (below(w, 2))
		an_operator_opens(w);
}

/* What happens, and how often. */
static const struct {
	void (*happens)(struct world *w);
	uint32_t weight;
} events[] = {
	{arrive, 20},
	{some_worker_reads, 25},
	{some_worker_finishes, 25},
	{some_worker_is_ready, 12},
	{some_worker_exits, 4},
	{some_corpse_is_released, 5},
	{some_spawn_fails, 1},
	{some_theft_ends, 10},
	{some_worker_reports, 4},
	{some_worker_misbehaves, 1},
	{some_worker_is_stale, 1},
	{all_workers_are_stale, 1},
	{closes_and_opens, 1},
	{an_operator_opens, 2},
	{an_operator_is_impatient, 1},
	{the_deadline_comes, 5},
	{time_passes, 10},
	{feed, 5},
};

static void something_happens(struct world *w)
{
	uint32_t sum = 0, at;

	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		sum += events[i].weight;
	at = below(w, sum);
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (at < events[i].weight) {
			events[i].happens(w);
			break;
		}
		at -= events[i].weight;
	}
	settle(w);
}

/* --- beginning and end of a world --- */

static uint64_t sometimes(struct world *w, uint32_t upto)
{
	return below(w, 3) ? 1 + below(w, upto) : 0;
}

static struct pool_limits random_limits(struct world *w)
{
	struct pool_limits l = {.max_procs = 1 + below(w, 7)};

	l.min_procs = below(w, l.max_procs + 1);
	l.max_conns = 1 + below(w, below(w, 2) ? 4 : 80);
	l.min_conns = below(w, l.max_conns + 1);
	l.max_shutdown = below(w, 4);
	l.max_handoffs = 1 + below(w, 12);
	l.max_life_conns = sometimes(w, below(w, 2) ? 5 : 60);
	l.max_life_ms = sometimes(w, 200000);
	l.max_idle_ms = sometimes(w, 20000);
	l.start_ms = sometimes(w, 30000);
	l.handoff_ms = sometimes(w, 2000);
	l.drain_ms = sometimes(w, 60000);
	l.kill_ms = sometimes(w, 20000);
	l.burst = below(w, 2) ? POOL_BURST : 1;
	l.slots = sometimes(w, MODEL_SLOTS);
	return l;
}

/* As a new acceptor finds them. */
static void adopt_some(struct world *w)
{
	static const enum pool_state states[] = {POOL_STARTING, POOL_SERVING, POOL_SERVING,
		POOL_SUSPECT, POOL_RETIRING, POOL_KILLED};
	uint64_t now_ms = w->model.now_ms;

	w->has_adopted = true;
	for (uint32_t i = 0; i < w->model.slots; i++) {
		enum pool_state state = states[below(w, ARRAY_LEN(states))];
		enum pool_reason reason =
			state > POOL_SUSPECT ? below(w, POOL_ORDERED) : POOL_NO_REASON;
		uint32_t load = state == POOL_STARTING ? 0 : below(w, 10);
		uint32_t unread = below(w, MIN(load, w->model.limits.max_handoffs) + 1);
		uint64_t life = load + below(w, 50), created_ms = now_ms - below(w, 100000);

		if (below(w, 2))
			continue;
		pool_adopted(w->pool, i, state, reason, life, load, unread, created_ms, now_ms);
		model_adopted(&w->model, i, state, reason, life, load, unread, created_ms);
		w->open += load;
		w->arrived += load;
		if (below(w, 2)) {
			uint64_t retired_ms = now_ms - below(w, 50000);

			pool_retired_since(w->pool, i, retired_ms, now_ms);
			model_retired_since(&w->model, i, retired_ms);
		}
		if (!below(w, 4))
			make_stale(w, i, POOL_RESTARTED + below(w, 3));
	}
}

/* From now on everybody does what he should, at once. */
static void one_slot_behaves(struct world *w, uint32_t slot)
{
	const struct model_worker *m = &w->model.worker[slot];

	if (m->robbing)
		rob(w, slot, m->unread);
	pool_answered(w->pool, slot, w->model.now_ms);
	model_answered(&w->model, slot);
	pool_ready(w->pool, slot, w->model.now_ms);
	model_ready(&w->model, slot);
	if (BIT(m->state) & LIVE && m->unread)
		take(w, slot, m->unread);
	if (BIT(m->state) & LIVE && m->load)
		finish(w, slot, m->load);
	if (m->state == POOL_RETIRING || m->state == POOL_KILLED)
		leave(w, slot);
	if (m->state == POOL_EXITED && (!m->unread || w->model.closed))
		release(w, slot);
}

static bool is_any_stale(const struct world *w)
{
	for (uint32_t i = 0; i < w->model.slots; i++)
		if (model_is_ordered(&w->model.worker[i]))
			return true;
	return false;
}

static void all_ends_well(struct world *w)
{
	/* Longer than the longest back-off, and than one place for all who may wait. */
	for (unsigned round = 0; round < 20000 && (w->waiting || w->open || is_any_stale(w) || round < 10);
		round++) {
		for (uint32_t i = 0; i < 2 * w->model.slots; i++) {
			one_slot_behaves(w, i % w->model.slots);
			settle(w);
			if (!w->model.closed && i < w->model.slots)
				feed(w);
		}
		w->model.now_ms += 7000;
		settle(w);
	}
	LAW(w, w->open == 0);
	LAW(w, w->waiting == 0 || w->model.closed);
	LAW(w, !is_any_stale(w) || !w->model.limits.max_shutdown);
	LAW(w, !w->model.closed || pool_is_closed(w->pool));
}

/* Returns how often everything was checked. */
static uint64_t live_through(uint64_t seed)
{
	struct world w = {.seed = seed, .random = seed};
	struct pool_limits limits = random_limits(&w);
	size_t bytes = pool_bytes(&limits);
	void *memory = malloc(bytes);

	ASSERT(memory);
	memset(memory, 0xa5, bytes);
	w.pool = pool_init(memory, &limits, 1000000);
	model_init(&w.model, &limits);
	w.model.now_ms = 1000000;
	if (!below(&w, 3))
		adopt_some(&w);
	settle(&w);
	for (w.step = 1; w.step <= STEPS; w.step++)
		something_happens(&w);
	if (!below(&w, 3)) {
		close_it(&w);
		settle(&w);
	}
	all_ends_well(&w);
	free(memory);
	return w.checks;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t worlds = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : WORLDS;

	uint64_t checks = 0;

	for (uint64_t i = 0; i < worlds; i++)
		checks += live_through(seed + i);
	printf("prop_pool: %" PRIu64 " worlds from seed %" PRIu64 ", %" PRIu64
	       " times in agreement\n",
		worlds, seed, checks);
	return 0;
}
