/* See world.h. */
#include "test/unit/policy/world.h"

#include "common/base.h"

void world_start_limits(struct world *w, const struct pool_limits *limits)
{
	*w = (struct world){.limits = *limits, .now_ms = WORLD_START_MS};
	w->pool = pool_init(malloc(pool_bytes(limits)), limits, w->now_ms);
}

void world_end(struct world *w)
{
	free(w->pool);
}

static void pull(struct world *w)
{
	struct pool_decision d;

	while (pool_next(w->pool, w->now_ms, &d)) {
		assert_true(w->count < WORLD_DECISIONS);
		w->decisions[w->count++] = d;
	}
	assert_true(pool_deadline(w->pool) > w->now_ms);
}

unsigned world_settle(struct world *w)
{
	w->count = 0;
	pull(w);
	return w->count;
}

unsigned world_pass(struct world *w, uint64_t ms)
{
	uint64_t end_ms = w->now_ms + ms;

	w->count = 0;
	while (pool_deadline(w->pool) <= end_ms) {
		w->now_ms = MAX(w->now_ms, pool_deadline(w->pool));
		pull(w);
	}
	w->now_ms = end_ms;
	pull(w);
	return w->count;
}

void world_settle_ready(struct world *w)
{
	bool is_new;

	do {
		is_new = false;
		world_settle(w);
		for (uint32_t i = 0; i < pool_slots(&w->limits); i++) {
			if (world_state(w, i) != POOL_STARTING)
				continue;
			pool_ready(w->pool, i, w->now_ms);
			is_new = true;
		}
	} while (is_new);
}

unsigned world_said(const struct world *w, enum pool_verb verb)
{
	unsigned count = 0;

	for (unsigned i = 0; i < w->count; i++)
		count += w->decisions[i].verb == verb;
	return count;
}

static const struct pool_decision *first(const struct world *w, enum pool_verb verb)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (w->decisions[i].verb == verb)
			return &w->decisions[i];
	}
	return NULL;
}

uint32_t world_first(const struct world *w, enum pool_verb verb)
{
	return first(w, verb) ? first(w, verb)->slot : UINT32_MAX;
}

enum pool_reason world_reason(const struct world *w, enum pool_verb verb)
{
	return first(w, verb) ? first(w, verb)->reason : POOL_NO_REASON;
}

uint32_t world_offer(struct world *w)
{
	uint32_t slot;

	if (!pool_pick(w->pool, 1, &slot))
		return UINT32_MAX;
	pool_given(w->pool, slot, 1, w->now_ms);
	return slot;
}

uint32_t world_open(struct world *w)
{
	uint32_t slot = world_offer(w);

	if (slot != UINT32_MAX)
		pool_taken(w->pool, slot, 1, w->now_ms);
	return slot;
}

void world_close(struct world *w, uint32_t slot)
{
	pool_done(w->pool, slot, 1, w->now_ms);
}

void world_exit(struct world *w, uint32_t slot)
{
	pool_exited(w->pool, slot, w->now_ms);
	if (!pool_worker(w->pool, slot)->unread)
		pool_released(w->pool, slot, w->now_ms);
}

uint32_t world_load(const struct world *w, uint32_t slot)
{
	return pool_worker(w->pool, slot)->load;
}

enum pool_state world_state(const struct world *w, uint32_t slot)
{
	return pool_worker(w->pool, slot)->state;
}

unsigned world_count(const struct world *w, enum pool_state state)
{
	return pool_count(w->pool, state);
}
