/* Decisions, in the order of their urgency: orders that a fact made due, then what the clock makes
 * due, then thefts, spawns, retirements.
 *
 * On the way of a connection nothing here walks over the slots: the sums say whether a walk would
 * find something, and look_ms whether the clock could have changed anything. So each `if` that
 * guards a walk must hold only if the walk succeeds. */
#include "dispatcher/policy/pool_inner.h"

#include "common/base.h"

static uint32_t slot_of(const struct pool *p, const struct pool_slot *s)
{
	return (uint32_t)(s - p->slot);
}

/* The slot with the lowest score, among equals the lowest slot; NULL when all scores are
 * POOL_NEVER. */
static struct pool_slot *lowest(struct pool *p, uint64_t (*score)(const struct pool_slot *s))
{
	struct pool_slot *best = NULL;
	uint64_t best_score = POOL_NEVER;

	for (uint32_t i = 0; i < p->slots; i++) {
		uint64_t its = score(&p->slot[i]);

		if (its < best_score) {
			best_score = its;
			best = &p->slot[i];
		}
	}
	return best;
}

/* --- orders --- */

static bool retire(struct pool *p, struct pool_slot *s, enum pool_reason reason, uint64_t now_ms,
	struct pool_decision *ret)
{
	pool_change(p, s);
	pool_set_state(s, POOL_RETIRING);
	s->w.reason = reason;
	s->w.retired_ms = now_ms;
	s->owed = POOL_NO_REASON;
	pool_forget_heir(p, s);
	pool_changed(p, s);
	*ret = (struct pool_decision){POOL_RETIRE, slot_of(p, s), reason};
	return true;
}

/* reason is told; what stays in the slot is why it was retired, if it was. */
static bool kill_group(
	struct pool *p, struct pool_slot *s, enum pool_reason reason, struct pool_decision *ret)
{
	pool_change(p, s);
	if (s->w.state != POOL_RETIRING || reason == POOL_HUNG)
		s->w.reason = reason;
	if (s->w.state != POOL_KILLED)
		pool_set_state(s, POOL_KILLED);
	s->failed = s->failed || reason == POOL_NOT_READY;
	s->owed = POOL_NO_REASON;
	s->askable = false; /* a thief might wait for a lock that it holds: robbed once it is dead */
	pool_forget_heir(p, s);
	pool_changed(p, s);
	*ret = (struct pool_decision){POOL_KILL, slot_of(p, s), reason};
	return true;
}

static uint64_t owed_score(const struct pool_slot *s)
{
	return s->owed ? 0 : POOL_NEVER;
}

static bool next_owed(struct pool *p, uint64_t now_ms, struct pool_decision *ret)
{
	struct pool_slot *s;

	if (!p->sums.owed)
		return false;
	s = lowest(p, owed_score);
	return s->owed_kill ? kill_group(p, s, s->owed, ret) : retire(p, s, s->owed, now_ms, ret);
}

/* --- the clock --- */

/* A replacement must be ready when the old one goes: order it this long before. */
static uint64_t near_margin_ms(const struct pool_limits *l)
{
	uint64_t tenth = l->max_life_ms / 10;

	return l->start_ms ? MIN(l->start_ms, tenth) : tenth;
}

/* When the worker's age becomes `stage`. */
static uint64_t age_at(const struct pool *p, const struct pool_slot *s, enum pool_stage stage)
{
	uint64_t limit_ms = pool_after(s->w.created_ms, p->limits.max_life_ms);

	if (limit_ms == POOL_NEVER || stage == POOL_LIMIT)
		return limit_ms;
	return limit_ms - near_margin_ms(&p->limits);
}

static void mark_serving(struct pool *p, struct pool_slot *s, uint64_t now_ms)
{
	uint64_t idle_ms = pool_after(s->w.idle_since_ms, p->limits.max_idle_ms);

	if (now_ms >= age_at(p, s, POOL_LIMIT))
		s->age = POOL_LIMIT;
	else if (now_ms >= age_at(p, s, POOL_NEAR))
		s->age = POOL_NEAR;
	if (!s->w.load && now_ms >= idle_ms)
		s->idle_long = true;
}

/* The service works after all. */
static void mark_proven(struct pool *p, struct pool_slot *s, uint64_t now_ms)
{
	if (s->proven || now_ms < s->w.ready_ms + POOL_PROVEN_MS)
		return;
	s->proven = true;
	p->backoff_ms = 0;
	p->backoff_until_ms = 0;
}

/* Puts the marks on a slot that are due by now. */
static void mark(struct pool *p, struct pool_slot *s, uint64_t now_ms)
{
	bool is_live = s->w.state != POOL_EXITED;

	pool_change(p, s);
	if (s->w.state == POOL_SERVING)
		mark_serving(p, s, now_ms);
	if (s->w.state == POOL_SERVING || s->w.state == POOL_SUSPECT)
		mark_proven(p, s, now_ms);
	if (is_live && s->w.unread)
		s->stranded = now_ms >= pool_after(s->w.unread_since_ms, p->limits.handoff_ms);
	s->askable = s->stranded && !s->robbing && s->w.state != POOL_KILLED && now_ms >= s->ask_ms;
	pool_changed(p, s);
}

/* When the clock will have something to say about a slot whose marks are right. */
static uint64_t due_ms(const struct pool *p, const struct pool_slot *s)
{
	uint64_t at_ms = s->w.deadline_ms;

	if (s->stranded && !s->robbing && !s->askable && s->w.state != POOL_KILLED)
		at_ms = MIN(at_ms, s->ask_ms);
	if (s->w.unread && !s->stranded)
		at_ms = MIN(at_ms, pool_after(s->w.unread_since_ms, p->limits.handoff_ms));
	if (!s->proven && (s->w.state == POOL_SERVING || s->w.state == POOL_SUSPECT))
		at_ms = MIN(at_ms, s->w.ready_ms + POOL_PROVEN_MS);
	if (s->w.state != POOL_SERVING)
		return at_ms;
	if (!s->w.load && !s->idle_long)
		at_ms = MIN(at_ms, pool_after(s->w.idle_since_ms, p->limits.max_idle_ms));
	if (s->age != POOL_LIMIT)
		at_ms = MIN(at_ms, age_at(p, s, s->age + 1));
	return at_ms;
}

static bool deadline_passed(
	struct pool *p, struct pool_slot *s, uint64_t now_ms, struct pool_decision *ret)
{
	enum pool_reason cut = now_ms < p->close_ms ? POOL_DRAINED : POOL_CLOSED;
	enum pool_reason reason = s->w.load ? cut : s->w.reason;

	if (s->w.state == POOL_STARTING)
		return kill_group(p, s, POOL_NOT_READY, ret);
	if (s->w.state == POOL_SUSPECT) {
		s->failed = s->failed || now_ms < s->w.ready_ms + POOL_PROVEN_MS;
		return kill_group(p, s, POOL_HUNG, ret);
	}
	if (s->w.reason == POOL_FALSE_REPORT &&
		now_ms >= pool_after(s->w.retired_ms, p->limits.kill_ms))
		return kill_group(p, s, POOL_FALSE_REPORT, ret);
	if (s->termed)
		return kill_group(p, s, reason, ret);
	pool_change(p, s);
	s->termed = true;
	s->termed_ms = now_ms;
	pool_changed(p, s);
	*ret = (struct pool_decision){POOL_TERM, slot_of(p, s), reason};
	return true;
}

static bool next_by_clock(struct pool *p, uint64_t now_ms, struct pool_decision *ret)
{
	uint64_t next_ms = POOL_NEVER;

	if (now_ms < p->look_ms)
		return false;
	for (uint32_t i = 0; i < p->slots; i++) {
		struct pool_slot *s = &p->slot[i];

		if (s->w.state == POOL_FREE)
			continue;
		if (now_ms >= s->w.deadline_ms)
			return deadline_passed(p, s, now_ms, ret); /* look_ms stays: look again */
		mark(p, s, now_ms);
		next_ms = MIN(next_ms, due_ms(p, s));
	}
	if (now_ms < p->backoff_until_ms)
		next_ms = MIN(next_ms, p->backoff_until_ms);
	p->look_ms = next_ms;
	return false;
}

/* --- thefts --- */

static uint64_t theft_score(const struct pool_slot *s)
{
	return s->askable ? s->w.unread_since_ms : POOL_NEVER;
}

static bool is_room_for_loot(const struct pool *p, bool only_lively)
{
	for (uint32_t i = 0; i < p->slots; i++) {
		if (pool_room_for_loot(p, &p->slot[i], only_lively))
			return true;
	}
	return false;
}

/* What is stolen goes to workers that were alive lately, if any has room: one that is idle may have
 * been stopped together with the one that is robbed. */
static bool next_theft(struct pool *p, struct pool_decision *ret)
{
	struct pool_slot *s;

	if (!p->sums.askable || byload_first(&p->byload) == BYLOAD_NONE ||
		!is_room_for_loot(p, false))
		return false;
	p->only_lively = is_room_for_loot(p, true);
	s = lowest(p, theft_score);
	pool_change(p, s);
	s->robbing = true;
	s->askable = false;
	pool_changed(p, s);
	*ret = (struct pool_decision){POOL_STEAL, slot_of(p, s), POOL_NO_REASON};
	return true;
}

/* --- spawns --- */

static uint32_t taking_soon(const struct pool *p)
{
	return p->sums.count[POOL_STARTING] + p->sums.taking - p->sums.leaving;
}

/* All are busy enough, and would be with `fewer` idle workers less. */
static inline bool is_busy(const struct pool *p, uint32_t fewer)
{
	const struct pool_sums *sums = &p->sums;
	uint64_t starting = sums->count[POOL_STARTING], min_conns = p->limits.min_conns;
	uint64_t waiting = (uint64_t)p->waiting + sums->stranded;
	uint64_t procs;

	if (sums->spare + starting * min_conns > waiting + fewer * min_conns ||
		waiting + sums->active == 0)
		return false;
	procs = starting + sums->count[POOL_SERVING] + sums->count[POOL_SUSPECT] - sums->leaving;
	return procs < (uint64_t)p->limits.max_procs + fewer;
}

/* Before a worker leaves because somebody wants another in its place, one that was started since must
 * have become ready: a program that cannot start any more never takes the place of one that serves. */
static bool awaits_proof(const struct pool *p)
{
	uint64_t newest_ms = 0, since_ms = 0;

	if (!p->sums.stale_leaving)
		return false;
	for (uint32_t i = 0; i < p->slots; i++) {
		const struct pool_slot *s = &p->slot[i];

		if (pool_takes(s) && !s->w.stale)
			newest_ms = MAX(newest_ms, s->w.created_ms);
		if (pool_takes(s) && s->leaving && pool_is_ordered(s))
			since_ms = MAX(since_ms, s->w.stale_ms);
	}
	return newest_ms < since_ms;
}

/* Beyond max_procs only when nobody else is there for clients who wait, so all of it is suspect. */
static bool wants_spawn(const struct pool *p)
{
	bool nobody = p->sums.count[POOL_STARTING] + p->sums.taking == 0;

	if (p->closed)
		return false;
	if (taking_soon(p) < p->limits.min_procs || is_busy(p, 0))
		return true;
	if (!p->sums.count[POOL_STARTING] && awaits_proof(p))
		return true;
	return nobody && (p->waiting || p->sums.stranded);
}

static uint64_t free_score(const struct pool_slot *s)
{
	return s->w.state == POOL_FREE ? 0 : POOL_NEVER;
}

/* Who needs a replacement: first those at their limit, the oldest first. */
static uint64_t heirless_score(const struct pool_slot *s)
{
	if (!pool_takes(s) || !s->leaving || s->replaced || s->heir != POOL_NOBODY)
		return POOL_NEVER;
	return s->w.created_ms + (s->stage == POOL_LIMIT ? 0 : UINT64_MAX / 2);
}

/* Those that go for an operator stand beside the pool, up to max_procs of them. */
static bool may_spawn(const struct pool *p, uint64_t now_ms)
{
	const uint32_t *count = p->sums.count;
	uint32_t live = p->slots - count[POOL_FREE] - count[POOL_EXITED];
	uint32_t most = p->limits.max_procs + p->limits.max_shutdown;
	uint32_t beside = p->sums.beside + p->sums.stale_leaving;

	return now_ms >= p->backoff_until_ms && count[POOL_FREE] &&
	       live < most + MIN(beside, p->limits.max_procs);
}

static bool next_spawn(struct pool *p, uint64_t now_ms, struct pool_decision *ret)
{
	struct pool_slot *s, *leaver;

	if (!wants_spawn(p) || !may_spawn(p, now_ms))
		return false;
	s = lowest(p, free_score);
	leaver = p->sums.leaving ? lowest(p, heirless_score) : NULL;
	pool_change(p, s);
	pool_set_state(s, POOL_STARTING);
	s->w.created_ms = now_ms;
	s->heir_of = leaver ? slot_of(p, leaver) : POOL_NOBODY;
	pool_changed(p, s);
	if (leaver) {
		pool_change(p, leaver);
		leaver->heir = slot_of(p, s);
		pool_changed(p, leaver);
	}
	*ret = (struct pool_decision){POOL_SPAWN, slot_of(p, s), POOL_NO_REASON};
	return true;
}

/* --- retirements --- */

static uint64_t limit_score(const struct pool_slot *s)
{
	return pool_takes(s) && !s->leaving && s->stage == POOL_LIMIT ? s->w.created_ms
								      : POOL_NEVER;
}

static uint64_t near_score(const struct pool_slot *s)
{
	return pool_takes(s) && !s->leaving && s->stage == POOL_NEAR ? s->w.created_ms : POOL_NEVER;
}

static uint64_t leaving_near_score(const struct pool_slot *s)
{
	return pool_takes(s) && s->leaving && s->stage == POOL_NEAR ? s->w.created_ms : POOL_NEVER;
}

/* How many retiring slots are taken. */
static uint32_t retiring(const struct pool *p)
{
	return p->sums.count[POOL_RETIRING] - p->sums.beside;
}

static void set_leaving(struct pool *p, struct pool_slot *s)
{
	pool_change(p, s);
	s->leaving = true;
	pool_changed(p, s);
}

/* A worker at its limit takes the place, and the replacement, of one that has still a way to go. */
static void take_place(struct pool *p, struct pool_slot *s, struct pool_slot *from)
{
	uint32_t heir = from->heir;
	bool replaced = from->replaced;

	pool_change(p, from);
	pool_change(p, s);
	s->leaving = true;
	s->replaced = replaced;
	s->heir = heir;
	from->leaving = from->replaced = false;
	from->heir = POOL_NOBODY;
	if (heir != POOL_NOBODY)
		p->slot[heir].heir_of = slot_of(p, s);
	pool_changed(p, from);
	pool_changed(p, s);
}

/* Keeps retiring slots for workers near or at their limit, so that the pool counts without them and
 * a replacement is ordered ahead if one is wanted. */
static void keep_slots(struct pool *p)
{
	const struct pool_sums *sums = &p->sums;

	while (sums->limit || sums->near) {
		bool is_free = retiring(p) + sums->leaving < p->limits.max_shutdown;

		if (is_free)
			set_leaving(p, lowest(p, sums->limit ? limit_score : near_score));
		else if (sums->limit && sums->leaving_near)
			take_place(p, lowest(p, limit_score), lowest(p, leaving_near_score));
		else
			return;
	}
}

static uint64_t leaving_free_score(const struct pool_slot *s)
{
	return pool_takes(s) && s->leaving && s->stage == POOL_LIMIT && s->heir == POOL_NOBODY
		       ? s->w.created_ms
		       : POOL_NEVER;
}

static uint64_t idle_score(const struct pool_slot *s)
{
	return pool_takes(s) && s->idle_long && !s->leaving ? s->w.idle_since_ms : POOL_NEVER;
}

static uint64_t idle_leaving_score(const struct pool_slot *s)
{
	return pool_takes(s) && s->idle_long && s->leaving ? s->w.idle_since_ms : POOL_NEVER;
}

static uint64_t surplus_score(const struct pool_slot *s)
{
	return pool_takes(s) && !s->leaving ? s->w.load : POOL_NEVER;
}

static bool next_retirement(struct pool *p, uint64_t now_ms, struct pool_decision *ret)
{
	const struct pool_sums *sums = &p->sums;
	uint32_t min_procs = p->limits.min_procs;
	struct pool_slot *s;

	if (retiring(p) >= p->limits.max_shutdown || sums->taking <= min_procs)
		return false;
	if (sums->leaving_free && !wants_spawn(p) && !awaits_proof(p)) {
		s = lowest(p, leaving_free_score);
		return retire(p, s, s->w.wants_reason, now_ms, ret);
	}
	if (sums->taking - sums->leaving > p->limits.max_procs)
		return retire(p, lowest(p, surplus_score), POOL_SURPLUS, now_ms, ret);
	if (sums->idle && taking_soon(p) > min_procs && !is_busy(p, 1))
		return retire(p, lowest(p, idle_score), POOL_IDLE, now_ms, ret);
	if (sums->idle_leaving && !wants_spawn(p))
		return retire(p, lowest(p, idle_leaving_score), POOL_IDLE, now_ms, ret);
	return false;
}

/* The answer nearly always, on the way of a connection: there was nothing to decide, and since then
 * only the loads of plain workers have changed. That may bring a spawn; it could also allow a theft
 * or a retirement, so while one is held up the pool is not calm. */
static bool is_calm(const struct pool *p, uint64_t now_ms)
{
	return p->calm && now_ms < p->look_ms && !is_busy(p, 0);
}

static void note_calm(struct pool *p)
{
	const struct pool_sums *sums = &p->sums;

	p->calm = sums->taking &&
		  !(sums->askable | sums->leaving_free | sums->idle | sums->idle_leaving);
}

static bool next(struct pool *p, uint64_t now_ms, struct pool_decision *ret)
{
	if (next_owed(p, now_ms, ret) || next_by_clock(p, now_ms, ret) || next_theft(p, ret))
		return true;
	keep_slots(p);
	if (next_spawn(p, now_ms, ret) || next_retirement(p, now_ms, ret))
		return true;
	note_calm(p);
	return false;
}

bool pool_next(struct pool *p, uint64_t now_ms, struct pool_decision *ret_decision)
{
	p->now_ms = now_ms;
	return !is_calm(p, now_ms) && next(p, now_ms, ret_decision);
}
