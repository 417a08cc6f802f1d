/* Memory, sums and questions of a pool; facts are pool_facts.c's, decisions pool_next.c's.
 *
 * Every change of a slot stands between pool_change() and pool_changed(), which take the slot out
 * of all sums and put it back, so that no sum can be forgotten and no question needs a walk. */
#include "dispatcher/policy/pool_inner.h"

#include "common/base.h"

#include <string.h>

static const unsigned may_follow[POOL_STATES] = {
	[POOL_FREE] = BIT(POOL_STARTING) | BIT(POOL_SERVING) | BIT(POOL_SUSPECT) |
		      BIT(POOL_RETIRING) | BIT(POOL_KILLED), /* all but STARTING: adopted */
	[POOL_STARTING] = BIT(POOL_SERVING) | BIT(POOL_RETIRING) | BIT(POOL_KILLED) |
			  BIT(POOL_EXITED) | BIT(POOL_FREE),
	[POOL_SERVING] =
		BIT(POOL_SUSPECT) | BIT(POOL_RETIRING) | BIT(POOL_KILLED) | BIT(POOL_EXITED),
	[POOL_SUSPECT] =
		BIT(POOL_SERVING) | BIT(POOL_RETIRING) | BIT(POOL_KILLED) | BIT(POOL_EXITED),
	[POOL_RETIRING] = BIT(POOL_KILLED) | BIT(POOL_EXITED),
	[POOL_KILLED] = BIT(POOL_EXITED),
	[POOL_EXITED] = BIT(POOL_FREE),
};

void pool_set_state(struct pool_slot *s, enum pool_state state)
{
	ASSERT(may_follow[s->w.state] & BIT(state));
	s->w.state = state;
}

/* --- memory --- */

uint32_t pool_slots(const struct pool_limits *limits)
{
	return MAX(limits->slots, 3 * limits->max_procs + limits->max_shutdown);
}

static size_t aligned(size_t bytes)
{
	return (bytes + 15) & ~(size_t)15;
}

/* The limits, with what makes no sense moved to the nearest that does. */
static struct pool_limits sane(const struct pool_limits *limits)
{
	struct pool_limits l = *limits;

	ASSERT(l.max_procs > 0);
	l.min_procs = MIN(l.min_procs, l.max_procs);
	l.max_conns = MAX(l.max_conns, 1u);
	l.min_conns = MIN(l.min_conns, l.max_conns);
	l.max_handoffs = MAX(l.max_handoffs, 1u);
	l.burst = MAX(l.burst, 1u);
	return l;
}

size_t pool_bytes(const struct pool_limits *limits)
{
	struct pool_limits l = sane(limits);
	size_t slots = pool_slots(limits);

	return aligned(sizeof(struct pool)) + aligned(slots * sizeof(struct pool_slot)) +
	       aligned(byload_bytes((uint32_t)slots, 2 * l.max_conns)) +
	       slots * l.max_handoffs * sizeof(struct offered_batch);
}

void pool_forget_slot(struct pool *p, struct pool_slot *s)
{
	struct offered_batch *ring = s->offered.ring;

	*s = (struct pool_slot){.heir = POOL_NOBODY, .heir_of = POOL_NOBODY};
	s->w.deadline_ms = POOL_NEVER;
	s->offered = (struct offered){.ring = ring, .size = p->limits.max_handoffs};
}

/* With so many connections a worker is near the end of its life. */
static uint64_t near_life(const struct pool_limits *l)
{
	uint64_t limit = l->max_life_conns;

	return limit ? limit - MIN(l->min_conns, limit / 2) : POOL_NEVER;
}

struct pool *pool_init(void *memory, const struct pool_limits *limits, uint64_t now_ms)
{
	struct pool *p = memory;
	char *at = (char *)memory + aligned(sizeof(*p));
	struct offered_batch *ring;

	*p = (struct pool){.limits = sane(limits),
		.slots = pool_slots(limits),
		.now_ms = now_ms,
		.look_ms = POOL_NEVER,
		.close_ms = POOL_NEVER};
	p->near_life = near_life(&p->limits);
	p->slot = (struct pool_slot *)at;
	at += aligned(p->slots * sizeof(struct pool_slot));
	byload_init(&p->byload, at, p->slots, 2 * p->limits.max_conns);
	at += aligned(byload_bytes(p->slots, 2 * p->limits.max_conns));
	ring = (struct offered_batch *)at;
	for (uint32_t i = 0; i < p->slots; i++) {
		p->slot[i].offered.ring = ring + (size_t)i * p->limits.max_handoffs;
		pool_forget_slot(p, &p->slot[i]);
	}
	p->sums.count[POOL_FREE] = p->slots;
	return p;
}

/* --- sums --- */

static bool is_spent(const struct pool *p, const struct pool_slot *s)
{
	return p->limits.max_life_conns && s->w.life >= p->limits.max_life_conns;
}

/* Has a worker that takes connections room for one more? */
static bool has_room(const struct pool *p, const struct pool_slot *s)
{
	return s->w.load < p->limits.max_conns && s->w.unread < p->limits.max_handoffs;
}

/* Adds the part of a worker that takes connections, once or (sign = -1) less once. */
static void sum_taking(struct pool *p, const struct pool_slot *s, uint32_t sign)
{
	struct pool_sums *sums = &p->sums;

	sums->taking += sign;
	if (s->leaving) {
		sums->leaving += sign;
		sums->leaving_near += s->stage == POOL_NEAR ? sign : 0;
		sums->leaving_free += s->stage == POOL_LIMIT && s->heir == POOL_NOBODY ? sign : 0;
		sums->idle_leaving += s->idle_long ? sign : 0;
		sums->stale_leaving += pool_is_ordered(s) ? sign : 0;
		return;
	}
	if (s->w.load < p->limits.min_conns)
		sums->spare += sign * (p->limits.min_conns - s->w.load);
	sums->near += s->stage == POOL_NEAR ? sign : 0;
	sums->limit += s->stage == POOL_LIMIT ? sign : 0;
	sums->idle += s->idle_long ? sign : 0;
}

static void sum(struct pool *p, const struct pool_slot *s, uint32_t sign)
{
	struct pool_sums *sums = &p->sums;

	sums->count[s->w.state] += sign;
	sums->load += sign * s->w.load;
	if (s->w.state == POOL_SERVING || s->w.state == POOL_SUSPECT)
		sums->active += sign * s->w.load;
	sums->owed += s->owed ? sign : 0;
	sums->beside += s->w.state == POOL_RETIRING && pool_is_ordered(s) ? sign : 0;
	if (s->stranded) {
		sums->stranded += sign * s->w.unread;
		sums->askable += s->askable ? sign : 0;
		sums->corpses += s->w.state == POOL_EXITED ? sign : 0;
	}
	if (pool_takes(s))
		sum_taking(p, s, sign);
}

/* The part of sum() that changes as long as a worker is plain. */
static void sum_plain(struct pool *p, const struct pool_slot *s, uint32_t sign)
{
	p->sums.load += sign * s->w.load;
	p->sums.active += sign * s->w.load;
	if (s->w.load < p->limits.min_conns)
		p->sums.spare += sign * (p->limits.min_conns - s->w.load);
}

/* A worker that serves, and nothing is special about it: as nearly all are nearly always. */
static bool is_plain(const struct pool *p, const struct pool_slot *s)
{
	return pool_takes(s) && s->w.life < p->near_life && s->age == POOL_FRESH && !s->hasty &&
	       !s->idle_long && !s->w.stale;
}

void pool_change(struct pool *p, struct pool_slot *s)
{
	s->plain = false;
	sum(p, s, (uint32_t)-1);
}

void pool_change_load(struct pool *p, const struct pool_slot *s)
{
	if (s->plain)
		sum_plain(p, s, (uint32_t)-1);
	else
		sum(p, s, (uint32_t)-1);
}

/* Keeps the slot in its bucket, or in none. As a connection given or finished changes the load, it
 * puts the worker first among its new equals; one that merely reads its offers stays where it is.
 * Behind all its equals is a worker that was never used. */
static void place(struct pool *p, const struct pool_slot *s, bool fits, uint32_t bucket)
{
	uint32_t slot = (uint32_t)(s - p->slot);

	if (!fits)
		byload_drop(&p->byload, slot);
	else if (byload_bucket(&p->byload, slot) != bucket)
		byload_put(&p->byload, slot, bucket, s->w.life > 0);
}

void pool_forget_heir(struct pool *p, struct pool_slot *s)
{
	if (s->heir != POOL_NOBODY)
		p->slot[s->heir].heir_of = POOL_NOBODY;
	s->heir = POOL_NOBODY;
	if (s->heir_of != POOL_NOBODY) {
		struct pool_slot *leaver = &p->slot[s->heir_of];

		pool_change(p, leaver);
		leaver->heir = POOL_NOBODY;
		pool_changed(p, leaver);
	}
	s->heir_of = POOL_NOBODY;
}

/* When a worker that says goodbye is told so more plainly: TERM first, but a liar is killed. */
static uint64_t retiring_deadline(const struct pool *p, const struct pool_slot *s)
{
	const struct pool_limits *l = &p->limits;
	uint64_t at_ms = MIN(pool_after(s->w.retired_ms, l->drain_ms), p->close_ms);

	if (s->w.stale && s->w.drain_ms != POOL_NEVER)
		at_ms = MIN(at_ms, MAX(s->w.retired_ms, s->w.stale_ms) + s->w.drain_ms);
	if (!s->w.load)
		at_ms = MIN(
			at_ms, pool_after(MAX(s->w.retired_ms, s->w.idle_since_ms), l->kill_ms));
	if (s->termed)
		at_ms = pool_after(s->termed_ms, l->kill_ms);
	if (s->w.reason == POOL_FALSE_REPORT)
		at_ms = MIN(at_ms, pool_after(s->w.retired_ms, l->kill_ms));
	return at_ms;
}

static uint64_t deadline_of(const struct pool *p, const struct pool_slot *s)
{
	if (s->w.state == POOL_STARTING)
		return pool_after(s->w.created_ms, p->limits.start_ms);
	if (s->w.state == POOL_SUSPECT)
		return pool_after(s->suspect_ms, p->limits.start_ms);
	return s->w.state == POOL_RETIRING ? retiring_deadline(p, s) : POOL_NEVER;
}

static enum pool_stage stage_by_life(const struct pool *p, const struct pool_slot *s)
{
	if (is_spent(p, s))
		return POOL_LIMIT;
	return s->hasty || s->w.life >= p->near_life ? POOL_NEAR : POOL_FRESH;
}

/* What follows from a change for the slot itself. */
static void conclude(struct pool *p, struct pool_slot *s)
{
	enum pool_stage by_life = stage_by_life(p, s);

	s->stage = s->w.stale ? POOL_LIMIT : MAX(by_life, s->age);
	if (s->leaving && (s->stage == POOL_FRESH || !pool_takes(s))) {
		s->leaving = s->replaced = false;
		pool_forget_heir(p, s);
	}
	s->w.wants_rest = s->w.state == POOL_SERVING && s->stage == POOL_LIMIT;
	s->w.has_place = s->leaving;
	s->w.wants_reason = !s->w.wants_rest        ? POOL_NO_REASON
			    : s->w.stale            ? s->w.stale
			    : by_life == POOL_LIMIT ? POOL_SPENT
						    : POOL_OLD;
	s->w.deadline_ms = deadline_of(p, s);
	pool_look_at(p, s->w.deadline_ms);
}

static void changed(struct pool *p, struct pool_slot *s)
{
	conclude(p, s);
	s->plain = is_plain(p, s);
	p->calm = false;
	sum(p, s, 1);
	place(p, s, pool_takes(s) && has_room(p, s),
		s->w.load + (is_spent(p, s) ? p->limits.max_conns : 0));
}

void pool_changed(struct pool *p, struct pool_slot *s)
{
	if (!s->plain) {
		changed(p, s);
	} else if (s->hasty || s->w.life >= p->near_life) {
		p->sums.count[POOL_SERVING]--; /* what pool_change_load() left in */
		p->sums.taking--;
		changed(p, s);
	} else {
		sum_plain(p, s, 1);
		place(p, s, has_room(p, s), s->w.load);
	}
}

/* --- questions --- */

const struct pool_worker *pool_worker(const struct pool *p, uint32_t slot)
{
	ASSERT(slot < p->slots);
	return &p->slot[slot].w;
}

/* How many more it could be given, but not beyond the end of its life. */
static uint32_t room(const struct pool *p, const struct pool_slot *s)
{
	const struct pool_limits *l = &p->limits;
	uint32_t places = MIN(l->max_conns - s->w.load, l->max_handoffs - s->w.unread);

	if (l->max_life_conns && !is_spent(p, s))
		return (uint32_t)MIN(places, l->max_life_conns - s->w.life);
	return places;
}

uint32_t pool_room_for_loot(const struct pool *p, const struct pool_slot *s, bool only_lively)
{
	uint64_t patience_ms = p->limits.handoff_ms / 8;

	if (s->w.unread && p->now_ms >= pool_after(s->w.unread_since_ms, patience_ms))
		return 0;
	if (only_lively && p->now_ms >= pool_after(s->alive_ms, patience_ms))
		return 0;
	return pool_takes(s) && has_room(p, s) ? room(p, s) : 0;
}

uint32_t pool_room_of(const struct pool *p, uint32_t slot)
{
	ASSERT(slot < p->slots);
	return pool_room_for_loot(p, &p->slot[slot], p->only_lively);
}

uint32_t pool_pick(const struct pool *p, uint32_t waiting, uint32_t *ret_slot)
{
	uint32_t slot = byload_first(&p->byload);
	uint32_t load, count;

	if (slot == BYLOAD_NONE || p->sums.corpses >= p->limits.max_procs)
		return 0;
	*ret_slot = slot;
	load = p->slot[slot].w.load;
	if (load >= p->limits.min_conns)
		return 1;
	count = MIN(MAX(waiting, 1u), p->limits.burst);
	count = MIN(count, p->limits.min_conns - load);
	return MIN(count, room(p, &p->slot[slot]));
}

uint64_t pool_deadline(const struct pool *p)
{
	return p->look_ms;
}

uint32_t pool_count(const struct pool *p, enum pool_state state)
{
	return p->sums.count[state];
}

uint32_t pool_load(const struct pool *p)
{
	return p->sums.load;
}

uint64_t pool_backoff_until(const struct pool *p)
{
	return p->now_ms < p->backoff_until_ms ? p->backoff_until_ms : 0;
}

uint32_t pool_backoff_ms(const struct pool *p)
{
	return p->now_ms < p->backoff_until_ms ? p->backoff_ms : 0;
}

bool pool_is_closed(const struct pool *p)
{
	const uint32_t *count = p->sums.count;

	return p->closed && count[POOL_FREE] + count[POOL_EXITED] == p->slots;
}
