/* Facts: what has happened to a pool.
 *
 * Whatever only time changes (too old, idle for long, offers unread for too long) is a mark in the
 * slot that pool_next.c sets when it looks at the clock; a fact says with pool_look_at() by when it
 * must. The three facts of every connection (given, taken, done) say the exact moment; a rare fact
 * just has the clock looked at now. */
#include "dispatcher/policy/pool_inner.h"

#include "common/base.h"

#define ASK_AGAIN_MS   100 /* after a theft from a dead worker that brought nothing */
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 60000

/* Takes the slot out of the sums for a change by a fact of this moment. */
static struct pool_slot *begin(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = &p->slot[slot];

	ASSERT(slot < p->slots && s->w.state != POOL_FREE);
	p->now_ms = now_ms;
	pool_change(p, s);
	return s;
}

/* As begin(), for the three facts of every connection. */
static struct pool_slot *begin_load(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = &p->slot[slot];

	ASSERT(slot < p->slots && s->w.state != POOL_FREE);
	p->now_ms = now_ms;
	pool_change_load(p, s);
	return s;
}

/* As begin() when slot is in one of the states (bits), else NULL: the fact comes too late to
 * matter. */
static struct pool_slot *begin_if(struct pool *p, uint32_t slot, unsigned states, uint64_t now_ms)
{
	ASSERT(slot < p->slots);
	return states & BIT(p->slot[slot].w.state) ? begin(p, slot, now_ms) : NULL;
}

static bool is_live(const struct pool_slot *s)
{
	return s->w.state != POOL_FREE && s->w.state != POOL_EXITED;
}

/* Says what is unread since when, and takes the mark off a worker that has caught up. Only the
 * clock (pool_next.c) puts it on the living. */
static void note_unread(struct pool *p, struct pool_slot *s, uint64_t now_ms)
{
	uint64_t due_ms = POOL_NEVER;

	s->w.unread_since_ms = 0;
	if (s->w.unread) {
		s->w.unread_since_ms = offered_oldest_ms(&s->offered);
		due_ms = pool_after(s->w.unread_since_ms, p->limits.handoff_ms);
		pool_look_at(p, due_ms);
	}
	if (is_live(s))
		s->stranded = s->stranded && due_ms <= now_ms;
	else
		s->stranded = s->w.unread > 0;
	if (s->stranded)
		pool_look_at(p, now_ms);
	s->askable = s->askable && s->stranded;
}

static void suspect(struct pool_slot *s, uint64_t now_ms)
{
	pool_set_state(s, POOL_SUSPECT);
	s->suspect_ms = now_ms;
}

static void owe(struct pool_slot *s, bool kill, enum pool_reason reason)
{
	s->owed = reason;
	s->owed_kill = kill;
}

/* The end of s before it is proven, or just now, is a failure of the service. */
static bool is_early(const struct pool_slot *s, uint64_t now_ms)
{
	return s->w.state == POOL_STARTING || now_ms < s->w.ready_ms + POOL_PROVEN_MS;
}

void pool_adopted(struct pool *p, uint32_t slot, enum pool_state state, enum pool_reason reason,
	uint64_t life, uint32_t load, uint32_t unread, uint64_t created_ms, uint64_t now_ms)
{
	struct pool_slot *s = &p->slot[slot];

	ASSERT(slot < p->slots && s->w.state == POOL_FREE && unread <= load);
	p->now_ms = now_ms;
	pool_change(p, s);
	pool_set_state(s, state);
	s->w.reason = reason;
	s->w.life = life;
	s->w.load = s->w.peak = load;
	s->w.unread = unread;
	s->w.created_ms = s->w.ready_ms = created_ms;
	s->w.idle_since_ms = s->suspect_ms = now_ms;
	s->w.retired_ms = state == POOL_RETIRING || state == POOL_KILLED ? now_ms : 0;
	offered_made(&s->offered, unread, now_ms);
	note_unread(p, s, now_ms);
	if (state == POOL_KILLED)
		owe(s, true, reason ? reason : POOL_HUNG);
	else if (p->closed && state != POOL_RETIRING)
		owe(s, false, POOL_CLOSED);
	pool_changed(p, s);
	pool_look_at(p, now_ms);
}

void pool_retired_since(struct pool *p, uint32_t slot, uint64_t retired_ms, uint64_t now_ms)
{
	struct pool_slot *s = begin_if(p, slot, BIT(POOL_RETIRING), now_ms);

	if (!s)
		return;
	s->w.retired_ms = MIN(retired_ms, now_ms);
	pool_changed(p, s);
}

/* One that starts has nothing to lose, and may be the very thing that shall not start any more. */
void pool_stale(struct pool *p, uint32_t slot, enum pool_reason reason, uint64_t drain_ms,
	uint64_t since_ms, uint64_t now_ms)
{
	const unsigned lives = BIT(POOL_STARTING) | BIT(POOL_SERVING) | BIT(POOL_SUSPECT);
	struct pool_slot *s = begin_if(p, slot, lives | BIT(POOL_RETIRING), now_ms);

	if (!s)
		return;
	if (reason != POOL_MEMORY || !s->w.stale) {
		s->w.stale = reason;
		s->w.drain_ms = drain_ms;
		s->w.stale_ms = since_ms;
	}
	if (s->w.state == POOL_STARTING && pool_is_ordered(s) && !s->owed)
		owe(s, false, reason);
	pool_changed(p, s);
	pool_look_at(p, now_ms);
}

void pool_ready(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin_if(p, slot, BIT(POOL_STARTING), now_ms);

	if (!s)
		return;
	pool_set_state(s, POOL_SERVING);
	s->w.ready_ms = s->w.idle_since_ms = s->alive_ms = now_ms;
	p->start_took_ms = MAX(now_ms - s->w.created_ms, p->start_took_ms * 3 / 4);
	if (s->heir_of != POOL_NOBODY)
		p->slot[s->heir_of].replaced = true;
	pool_forget_heir(p, s);
	pool_changed(p, s);
	pool_look_at(p, now_ms);
}

/* min_conns offers before the end may be too late for a busy service to order a replacement: at the
 * worker's pace so far, will it be spent within twice the time that a start takes? */
static bool is_hasty(const struct pool *p, const struct pool_slot *s, uint64_t now_ms)
{
	uint64_t limit = p->limits.max_life_conns, life = s->w.life;

	if (life < limit / 4 || life >= limit)
		return false;
	return life * 2 * p->start_took_ms >= (limit - life) * (now_ms - s->w.ready_ms + 1);
}

void pool_given(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms)
{
	struct pool_slot *s = begin_load(p, slot, now_ms);

	offered_made(&s->offered, count, now_ms);
	s->w.load += count;
	s->w.unread += count;
	s->w.life += count;
	s->w.peak = MAX(s->w.peak, s->w.load);
	s->idle_long = s->idle_long && !count;
	s->hasty = s->hasty || is_hasty(p, s, now_ms);
	note_unread(p, s, now_ms);
	pool_changed(p, s);
}

void pool_taken(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms)
{
	struct pool_slot *s = begin_load(p, slot, now_ms);

	ASSERT(count <= s->w.unread);
	offered_gone(&s->offered, count);
	s->w.unread -= count;
	s->alive_ms = now_ms;
	note_unread(p, s, now_ms);
	pool_changed(p, s);
}

/* Called when the load has fallen. */
static void note_idle(struct pool *p, struct pool_slot *s, uint64_t now_ms)
{
	if (s->w.load)
		return;
	s->w.idle_since_ms = now_ms;
	s->idle_long = false;
	if (s->w.state == POOL_SERVING)
		pool_look_at(p, pool_after(now_ms, p->limits.max_idle_ms));
}

void pool_done(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms)
{
	struct pool_slot *s = begin_load(p, slot, now_ms);

	ASSERT(count <= s->w.load - s->w.unread);
	s->w.load -= count;
	s->alive_ms = now_ms;
	if (count)
		note_idle(p, s, now_ms);
	pool_changed(p, s);
}

void pool_robbed(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms)
{
	struct pool_slot *s = begin(p, slot, now_ms);
	uint64_t pause_ms = is_live(s) ? p->limits.handoff_ms : ASK_AGAIN_MS;

	ASSERT(count <= s->w.unread);
	offered_gone(&s->offered, count);
	s->w.unread -= count;
	s->w.load -= count;
	s->w.life -= MIN(s->w.life, count);
	s->hasty = s->hasty && !count;
	s->robbing = s->askable = false;
	s->ask_ms = count ? now_ms : now_ms + pause_ms;
	if (count) {
		note_idle(p, s, now_ms);
		if (s->w.state == POOL_SERVING)
			suspect(s, now_ms);
	}
	note_unread(p, s, now_ms);
	pool_changed(p, s);
}

void pool_silent(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin_if(p, slot, BIT(POOL_SERVING), now_ms);

	if (!s)
		return;
	suspect(s, now_ms);
	s->ask_ms = POOL_NEVER;
	s->askable = false;
	pool_changed(p, s);
	pool_look_at(p, now_ms);
}

void pool_lives(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin_if(p, slot, BIT(POOL_SUSPECT), now_ms);

	if (!s)
		return;
	s->suspect_ms = p->now_ms;
	pool_changed(p, s);
}

void pool_answered(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin_if(p, slot, BIT(POOL_SUSPECT), now_ms);

	if (!s)
		return;
	pool_set_state(s, POOL_SERVING);
	s->alive_ms = now_ms;
	s->ask_ms = MIN(s->ask_ms, now_ms);
	note_idle(p, s, now_ms);
	pool_changed(p, s);
	pool_look_at(p, now_ms);
}

void pool_lied(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	const unsigned lives = BIT(POOL_STARTING) | BIT(POOL_SERVING) | BIT(POOL_SUSPECT);
	struct pool_slot *s = begin_if(p, slot, lives | BIT(POOL_RETIRING), now_ms);

	if (!s)
		return;
	if (s->w.state != POOL_RETIRING) {
		s->failed = s->failed || is_early(s, now_ms);
		owe(s, false, POOL_FALSE_REPORT);
	} else if (s->w.reason != POOL_FALSE_REPORT) {
		s->w.reason = POOL_FALSE_REPORT;
		s->w.retired_ms = now_ms;
	}
	pool_changed(p, s);
}

void pool_hung(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	const unsigned lives = BIT(POOL_STARTING) | BIT(POOL_SERVING) | BIT(POOL_SUSPECT);
	struct pool_slot *s = begin_if(p, slot, lives | BIT(POOL_RETIRING), now_ms);

	if (!s)
		return;
	if (s->w.state != POOL_RETIRING)
		s->failed = s->failed || is_early(s, now_ms);
	owe(s, true, POOL_HUNG);
	pool_changed(p, s);
}

/* Failures while the service backs off anyway are the same failure: they do not double it again. */
static void failed(struct pool *p, uint64_t now_ms)
{
	if (p->closed || now_ms < p->backoff_until_ms)
		return;
	p->backoff_ms = p->backoff_ms ? MIN(p->backoff_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
	p->backoff_until_ms = now_ms + p->backoff_ms;
	pool_look_at(p, p->backoff_until_ms);
}

void pool_exited(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin(p, slot, now_ms);

	if (s->w.state == POOL_STARTING || s->w.state == POOL_SERVING || s->w.state == POOL_SUSPECT)
		s->failed = s->failed || is_early(s, now_ms);
	pool_set_state(s, POOL_EXITED);
	s->owed = POOL_NO_REASON;
	s->robbing = false;
	pool_forget_heir(p, s);
	s->w.load = s->w.unread;
	s->ask_ms = now_ms;
	note_unread(p, s, now_ms);
	pool_changed(p, s);
	if (s->failed)
		failed(p, now_ms);
}

static void set_free(struct pool *p, struct pool_slot *s)
{
	pool_set_state(s, POOL_FREE);
	pool_forget_slot(p, s);
	pool_changed(p, s);
}

void pool_released(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin(p, slot, now_ms);

	ASSERT(s->w.state == POOL_EXITED);
	set_free(p, s);
}

void pool_spawn_failed(struct pool *p, uint32_t slot, uint64_t now_ms)
{
	struct pool_slot *s = begin(p, slot, now_ms);

	ASSERT(s->w.state == POOL_STARTING);
	pool_forget_heir(p, s);
	set_free(p, s);
	failed(p, now_ms);
}

void pool_waiting(struct pool *p, uint32_t count, uint64_t now_ms)
{
	p->now_ms = now_ms;
	p->waiting = count;
}

void pool_close(struct pool *p, uint64_t deadline_ms, uint64_t now_ms)
{
	p->closed = true;
	p->close_ms = deadline_ms;
	p->now_ms = now_ms;
	for (uint32_t i = 0; i < p->slots; i++) {
		struct pool_slot *s = &p->slot[i];

		pool_change(p, s);
		if (!s->owed && (s->w.state == POOL_STARTING || s->w.state == POOL_SERVING ||
					s->w.state == POOL_SUSPECT))
			owe(s, false, POOL_CLOSED);
		pool_changed(p, s);
	}
}

static void stand_beside(struct pool_slot *s, uint64_t close_ms)
{
	uint64_t at_ms = close_ms;

	if (pool_is_ordered(s) && s->w.drain_ms != POOL_NEVER)
		at_ms = MIN(at_ms, MAX(s->w.retired_ms, s->w.stale_ms) + s->w.drain_ms);
	s->w.stale = POOL_RESTARTED;
	s->w.stale_ms = s->w.retired_ms;
	s->w.drain_ms = at_ms == POOL_NEVER ? POOL_NEVER : at_ms - MIN(at_ms, s->w.retired_ms);
}

void pool_reopened(struct pool *p, uint64_t now_ms)
{
	uint64_t close_ms = p->close_ms;

	p->now_ms = now_ms;
	if (!p->closed)
		return;
	p->closed = false;
	p->close_ms = POOL_NEVER;
	for (uint32_t i = 0; i < p->slots; i++) {
		struct pool_slot *s = &p->slot[i];

		pool_change(p, s);
		if (s->w.state == POOL_RETIRING)
			stand_beside(s, close_ms);
		else if (s->owed == POOL_CLOSED && !s->owed_kill)
			s->owed = POOL_NO_REASON;
		pool_changed(p, s);
	}
	pool_look_at(p, now_ms);
}

void pool_try_now(struct pool *p, uint64_t now_ms)
{
	p->now_ms = now_ms;
	p->backoff_until_ms = 0;
	p->calm = false;
	pool_look_at(p, now_ms);
}
