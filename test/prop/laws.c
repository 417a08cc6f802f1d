/* See laws.h. */
#include "test/prop/laws.h"

#include <inttypes.h>

void laws_broken(const struct world *w, const char *claim, int line)
{
	fprintf(stderr, "prop_pool: seed %" PRIu64 ", step %u: broken law (line %d): %s\n", w->seed,
		w->step, line, claim);
	abort();
}

static void check_worker(const struct world *w, uint32_t slot)
{
	const struct pool_worker *real = pool_worker(w->pool, slot);
	const struct model_worker *m = &w->model.worker[slot];
	bool rests = m->state == POOL_SERVING && model_stage(&w->model, m) == MODEL_LIMIT;

	LAW(w, real->state == m->state);
	LAW(w, real->load == m->load);
	LAW(w, real->unread == m->unread);
	LAW(w, real->life == m->life);
	LAW(w, real->peak == m->peak);
	LAW(w, real->reason == m->reason);
	LAW(w, real->unread_since_ms == (m->unread ? m->offered_ms[0] : 0));
	LAW(w, real->stale == m->stale);
	LAW(w, pool_room_of(w->pool, slot) == model_room_of(&w->model, slot));
	LAW(w, real->wants_rest == rests);
	LAW(w, (real->wants_reason != POOL_NO_REASON) == rests);
	if (w->has_adopted)
		return;
	LAW(w, real->load <= w->model.limits.max_conns);
	LAW(w, real->unread <= w->model.limits.max_handoffs);
}

static void check_pick(const struct world *w, uint32_t waiting)
{
	uint32_t real_slot = MODEL_NOBODY, model_slot = MODEL_NOBODY;

	LAW(w, pool_pick(w->pool, waiting, &real_slot) ==
			model_pick(&w->model, waiting, &model_slot));
	LAW(w, real_slot == model_slot);
}

static bool drains_beside(const struct world *w, uint32_t slot)
{
	const struct model_worker *m = &w->model.worker[slot];

	return model_is_ordered(m) && m->state == POOL_RETIRING;
}

static bool leaves_beside(const struct world *w, uint32_t slot)
{
	const struct model_worker *m = &w->model.worker[slot];

	return model_is_ordered(m) && model_takes(&w->model, m) && m->leaving;
}

static void check_min_procs(const struct world *w)
{
	const struct pool_limits *l = &w->model.limits;
	uint32_t taking = 0, live = 0, beside = 0, most;

	for (uint32_t i = 0; i < w->model.slots; i++) {
		enum pool_state state = pool_worker(w->pool, i)->state;

		taking += state == POOL_STARTING || model_takes(&w->model, &w->model.worker[i]);
		live += state != POOL_FREE && state != POOL_EXITED;
		beside += drains_beside(w, i) || leaves_beside(w, i);
	}
	most = l->max_procs + l->max_shutdown + MIN(beside, l->max_procs);
	LAW(w, live <= 2 * l->max_procs + l->max_shutdown || w->has_adopted);
	LAW(w, taking >= l->min_procs || w->model.closed || pool_backoff_until(w->pool) ||
			live >= most || !pool_count(w->pool, POOL_FREE));
}

void laws_check(const struct world *w)
{
	uint32_t load = 0;

	for (uint32_t i = 0; i < w->model.slots; i++) {
		check_worker(w, i);
		load += w->model.worker[i].load;
	}
	for (enum pool_state state = 0; state < POOL_STATES; state++)
		LAW(w, pool_count(w->pool, state) == model_count(&w->model, state));
	LAW(w, load == w->open && pool_load(w->pool) == w->open);
	LAW(w, w->arrived == w->waiting + w->open + w->done + w->lost);
	LAW(w, pool_backoff_until(w->pool) == (w->model.now_ms < w->model.backoff_until_ms
							      ? w->model.backoff_until_ms
							      : 0));
	check_pick(w, 1);
	check_pick(w, 3);
	check_pick(w, 100);
	check_min_procs(w);
}

/* Of a worker that serves; the pool has decided, the model has not. */
static void check_retirement(const struct world *w, uint32_t slot)
{
	const struct pool_limits *l = &w->model.limits;
	const struct model_worker *leaver = &w->model.worker[slot];
	uint32_t holding = pool_count(w->pool, POOL_RETIRING);
	uint64_t newest_ms = 0;

	LAW(w, leaver->state == POOL_SERVING);
	LAW(w, pool_count(w->pool, POOL_SERVING) >= l->min_procs);
	for (uint32_t i = 0; i < w->model.slots; i++) {
		const struct model_worker *m = &w->model.worker[i];

		holding -= drains_beside(w, i);
		if (m->state == POOL_SERVING && !m->stale)
			newest_ms = MAX(newest_ms, m->created_ms);
	}
	LAW(w, holding <= l->max_shutdown + model_is_ordered(leaver));
	if (model_is_ordered(leaver) && pool_worker(w->pool, slot)->reason == leaver->stale)
		LAW(w, newest_ms >= leaver->stale_ms);
}

/* At this moment only; one that drained beside and is then killed counts again until it is gone. */
static void check_spawn(const struct world *w, const struct model_worker *before)
{
	const struct pool_limits *l = &w->model.limits;
	uint32_t live = 1, beside = 0, leaving = 0;

	for (uint32_t i = 0; i < w->model.slots; i++) {
		live += (BIT(w->model.worker[i].state) & LIVE) != 0;
		beside += drains_beside(w, i);
		leaving += model_is_ordered(&w->model.worker[i]) && !drains_beside(w, i);
	}
	beside += MIN(leaving, l->max_shutdown);
	LAW(w, live <= l->max_procs + l->max_shutdown + MIN(beside, l->max_procs));
	LAW(w, before->state == POOL_FREE && !pool_backoff_until(w->pool) && !w->model.closed);
}

void laws_check_decision(const struct world *w, const struct pool_decision *d)
{
	const struct pool_limits *l = &w->model.limits;
	const struct model_worker *before = &w->model.worker[d->slot];
	uint64_t now_ms = w->model.now_ms;

	if (d->verb == POOL_SPAWN)
		check_spawn(w, before);
	if (d->verb == POOL_STEAL)
		LAW(w, before->unread > 0 && !before->robbing);
	if (d->verb == POOL_TERM)
		LAW(w, before->state == POOL_RETIRING);
	if (d->verb != POOL_RETIRE || d->reason == POOL_FALSE_REPORT || d->reason == POOL_CLOSED)
		return;
	if (before->state == POOL_STARTING)
		LAW(w, model_is_ordered(before));
	else
		check_retirement(w, d->slot);
	LAW(w, d->reason != POOL_SPENT || before->life >= l->max_life_conns);
	LAW(w, d->reason != POOL_OLD || now_ms >= before->created_ms + l->max_life_ms);
	LAW(w, d->reason != POOL_IDLE ||
			(!before->load && now_ms >= before->idle_ms + l->max_idle_ms));
	LAW(w, d->reason < POOL_RESTARTED || before->stale == d->reason);
}
