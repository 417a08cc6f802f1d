/* Facts and questions of the naive model: see model.h. What is due by the clock is computed from
 * times whenever it is asked. */
#include "test/prop/model_inner.h"

#include "common/base.h"

#include <string.h>

uint64_t model_after(uint64_t at_ms, uint64_t span_ms)
{
	return span_ms ? at_ms + span_ms : POOL_NEVER;
}

bool model_is_live(const struct model_worker *w)
{
	return w->state != POOL_FREE && w->state != POOL_EXITED;
}

bool model_is_stranded(const struct model *m, const struct model_worker *w)
{
	if (!w->unread)
		return false;
	return !model_is_live(w) ||
	       m->now_ms >= model_after(w->offered_ms[0], m->limits.handoff_ms);
}

bool model_takes(const struct model *m, const struct model_worker *w)
{
	return w->state == POOL_SERVING && !model_is_stranded(m, w) && !w->robbing && !w->owed;
}

bool model_is_spent(const struct model *m, const struct model_worker *w)
{
	return m->limits.max_life_conns && w->life >= m->limits.max_life_conns;
}

bool model_has_room(const struct model *m, const struct model_worker *w)
{
	return model_takes(m, w) && w->load < m->limits.max_conns &&
	       w->unread < m->limits.max_handoffs;
}

enum model_stage model_stage(const struct model *m, const struct model_worker *w)
{
	const struct pool_limits *l = &m->limits;
	uint64_t margin_ms =
		l->start_ms ? MIN(l->start_ms, l->max_life_ms / 10) : l->max_life_ms / 10;
	uint64_t margin = MIN((uint64_t)l->min_conns, l->max_life_conns / 2);

	if (w->stale || model_is_spent(m, w) || (l->max_life_ms && m->now_ms >= w->created_ms + l->max_life_ms))
		return MODEL_LIMIT;
	if (l->max_life_conns && (w->hasty || w->life >= l->max_life_conns - margin))
		return MODEL_NEAR;
	if (l->max_life_ms && m->now_ms >= w->created_ms + l->max_life_ms - margin_ms)
		return MODEL_NEAR;
	return MODEL_FRESH;
}

uint32_t model_count(const struct model *m, enum pool_state state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->slots; i++)
		count += m->worker[i].state == state;
	return count;
}

/* Whoever can take again, or was used, stands first among his equals; the new stand last. */
static void note_use(struct model *m, struct model_worker *w, bool used)
{
	bool can_take = model_has_room(m, w);

	if (can_take && (used || !w->could_take || w->load != w->used_load)) {
		w->used = w->life ? ++m->last_use : --m->first_use;
		w->used_load = w->load;
	}
	w->could_take = can_take;
}

void model_forget_heir(struct model *m, struct model_worker *w)
{
	if (w->heir != MODEL_NOBODY)
		m->worker[w->heir].heir_of = MODEL_NOBODY;
	if (w->heir_of != MODEL_NOBODY)
		m->worker[w->heir_of].heir = MODEL_NOBODY;
	w->heir = w->heir_of = MODEL_NOBODY;
}

/* A worker that is leaving and no longer takes, or has life before it again, is not leaving. */
void model_drop_leavers(struct model *m)
{
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->leaving && (!model_takes(m, w) || model_stage(m, w) == MODEL_FRESH)) {
			w->leaving = w->replaced = false;
			model_forget_heir(m, w);
		}
		note_use(m, w, false);
	}
}

static void clear(struct model_worker *w)
{
	*w = (struct model_worker){.heir = MODEL_NOBODY, .heir_of = MODEL_NOBODY};
}

void model_init(struct model *m, const struct pool_limits *limits)
{
	*m = (struct model){.limits = *limits,
		.slots = pool_slots(limits),
		.close_ms = POOL_NEVER};
	ASSERT(m->slots <= MODEL_SLOTS);
	for (uint32_t i = 0; i < m->slots; i++)
		clear(&m->worker[i]);
}

/* --- facts --- */

static void add_offers(struct model *m, struct model_worker *w, uint32_t count)
{
	ASSERT(w->unread + count <= MODEL_OFFERS);
	while (count--)
		w->offered_ms[w->unread++] = m->now_ms;
}

static void drop_offers(struct model_worker *w, uint32_t count)
{
	w->unread -= count;
	memmove(w->offered_ms, w->offered_ms + count, w->unread * sizeof(*w->offered_ms));
}

void model_adopted(struct model *m, uint32_t slot, enum pool_state state, enum pool_reason reason,
	uint64_t life, uint32_t load, uint32_t unread, uint64_t created_ms)
{
	struct model_worker *w = &m->worker[slot];

	w->state = state;
	w->reason = reason;
	w->life = life;
	w->load = w->peak = load;
	w->created_ms = w->ready_ms = created_ms;
	w->idle_ms = w->retired_ms = w->suspect_ms = m->now_ms;
	add_offers(m, w, unread);
	if (state == POOL_KILLED) {
		w->owed = reason ? reason : POOL_HUNG;
		w->owed_kill = true;
	}
	note_use(m, w, true);
}

void model_retired_since(struct model *m, uint32_t slot, uint64_t retired_ms)
{
	if (m->worker[slot].state == POOL_RETIRING)
		m->worker[slot].retired_ms = retired_ms;
}

void model_stale(struct model *m, uint32_t slot, enum pool_reason reason, uint64_t drain_ms,
	uint64_t since_ms)
{
	struct model_worker *w = &m->worker[slot];

	if (!model_is_live(w) || w->state == POOL_KILLED || (reason == POOL_MEMORY && w->stale))
		return;
	w->stale = reason;
	w->drain_ms = drain_ms;
	w->stale_ms = since_ms;
	if (w->state == POOL_STARTING && reason != POOL_MEMORY && !w->owed) {
		w->owed = reason;
		w->owed_kill = false;
	}
	model_drop_leavers(m);
}

bool model_is_ordered(const struct model_worker *w)
{
	return w->stale && w->stale != POOL_MEMORY;
}

void model_ready(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];

	if (w->state != POOL_STARTING)
		return;
	w->state = POOL_SERVING;
	w->ready_ms = w->idle_ms = w->alive_ms = m->now_ms;
	m->start_took_ms = MAX(w->ready_ms - w->created_ms, m->start_took_ms * 3 / 4);
	if (w->heir_of != MODEL_NOBODY)
		m->worker[w->heir_of].replaced = true;
	model_forget_heir(m, w);
	note_use(m, w, true);
}

/* Will it be spent, at its pace, in less than twice the time that a start takes? */
static bool is_hasty(const struct model *m, const struct model_worker *w)
{
	double limit = (double)m->limits.max_life_conns, life = (double)w->life;
	double lived_ms = (double)(m->now_ms - w->ready_ms + 1);
	double pace = life / lived_ms;

	if (w->life < m->limits.max_life_conns / 4 || life >= limit)
		return false;
	return pace * 2 * (double)m->start_took_ms > limit - life - 1e-9;
}

void model_given(struct model *m, uint32_t slot, uint32_t count)
{
	struct model_worker *w = &m->worker[slot];

	add_offers(m, w, count);
	w->load += count;
	w->life += count;
	w->peak = MAX(w->peak, w->load);
	w->hasty |= is_hasty(m, w);
	note_use(m, w, true);
}

void model_taken(struct model *m, uint32_t slot, uint32_t count)
{
	drop_offers(&m->worker[slot], count);
	m->worker[slot].alive_ms = m->now_ms;
	model_drop_leavers(m);
}

void model_done(struct model *m, uint32_t slot, uint32_t count)
{
	struct model_worker *w = &m->worker[slot];

	w->load -= count;
	w->alive_ms = m->now_ms;
	if (!w->load)
		w->idle_ms = m->now_ms;
	note_use(m, w, true);
}

void model_robbed(struct model *m, uint32_t slot, uint32_t count)
{
	struct model_worker *w = &m->worker[slot];

	drop_offers(w, count);
	w->load -= count;
	w->life -= MIN(w->life, count);
	w->hasty &= count == 0;
	w->robbing = false;
	w->ask_ms = count ? m->now_ms : m->now_ms + (model_is_live(w) ? m->limits.handoff_ms : 100);
	if (count && !w->load)
		w->idle_ms = m->now_ms;
	if (count && w->state == POOL_SERVING) {
		w->state = POOL_SUSPECT;
		w->suspect_ms = m->now_ms;
	}
	model_drop_leavers(m);
}

void model_silent(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];

	if (w->state != POOL_SERVING)
		return;
	w->state = POOL_SUSPECT;
	w->suspect_ms = m->now_ms;
	w->ask_ms = POOL_NEVER;
	model_drop_leavers(m);
}

void model_answered(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];

	if (w->state != POOL_SUSPECT)
		return;
	w->state = POOL_SERVING;
	w->alive_ms = m->now_ms;
	w->ask_ms = MIN(w->ask_ms, m->now_ms);
	if (!w->load)
		w->idle_ms = m->now_ms;
	note_use(m, w, true);
}

static bool is_early(const struct model *m, const struct model_worker *w)
{
	if (w->state == POOL_STARTING)
		return true;
	return (w->state == POOL_SERVING || w->state == POOL_SUSPECT) &&
	       m->now_ms < w->ready_ms + MODEL_PROVEN_MS;
}

void model_lied(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];

	if (w->state == POOL_RETIRING && w->reason != POOL_FALSE_REPORT) {
		w->reason = POOL_FALSE_REPORT;
		w->retired_ms = m->now_ms;
	}
	if (w->state == POOL_STARTING || w->state == POOL_SERVING || w->state == POOL_SUSPECT) {
		w->failed |= is_early(m, w);
		w->owed = POOL_FALSE_REPORT;
		w->owed_kill = false;
	}
	model_drop_leavers(m);
}

void model_hung(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];

	if (!model_is_live(w) || w->state == POOL_KILLED)
		return;
	w->failed |= is_early(m, w);
	w->owed = POOL_HUNG;
	w->owed_kill = true;
	model_drop_leavers(m);
}

static void fail(struct model *m)
{
	if (m->closed || m->now_ms < m->backoff_until_ms)
		return;
	m->backoff_ms = m->backoff_ms ? MIN(2 * m->backoff_ms, 60000) : 1000;
	m->backoff_until_ms = m->now_ms + m->backoff_ms;
}

void model_exited(struct model *m, uint32_t slot)
{
	struct model_worker *w = &m->worker[slot];
	bool failed = w->failed || is_early(m, w);

	model_forget_heir(m, w);
	w->state = POOL_EXITED;
	w->owed = POOL_NO_REASON;
	w->robbing = w->leaving = w->replaced = false;
	w->load = w->unread;
	w->ask_ms = m->now_ms;
	if (failed)
		fail(m);
}

void model_released(struct model *m, uint32_t slot)
{
	clear(&m->worker[slot]);
}

void model_spawn_failed(struct model *m, uint32_t slot)
{
	model_forget_heir(m, &m->worker[slot]);
	clear(&m->worker[slot]);
	fail(m);
}

void model_close(struct model *m, uint64_t deadline_ms)
{
	m->closed = true;
	m->close_ms = deadline_ms;
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->owed || !model_is_live(w) || w->state == POOL_RETIRING ||
			w->state == POOL_KILLED)
			continue;
		w->owed = POOL_CLOSED;
		w->owed_kill = false;
	}
	model_drop_leavers(m);
}

/* Who retires already goes on within the deadline that counts for it now, and beside the others. */
static void let_go(const struct model *m, struct model_worker *w)
{
	uint64_t until_ms = m->close_ms;

	if (model_is_ordered(w) && w->drain_ms != POOL_NEVER)
		until_ms = MIN(until_ms, MAX(w->retired_ms, w->stale_ms) + w->drain_ms);
	w->stale = POOL_RESTARTED;
	w->stale_ms = w->retired_ms;
	w->drain_ms = POOL_NEVER;
	if (until_ms != POOL_NEVER)
		w->drain_ms = until_ms > w->retired_ms ? until_ms - w->retired_ms : 0;
}

void model_reopened(struct model *m)
{
	if (!m->closed)
		return;
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->state == POOL_RETIRING)
			let_go(m, w);
		else if (w->owed == POOL_CLOSED && !w->owed_kill)
			w->owed = POOL_NO_REASON;
	}
	m->closed = false;
	m->close_ms = POOL_NEVER;
	model_drop_leavers(m);
}

void model_try_now(struct model *m)
{
	m->backoff_until_ms = 0;
}

/* --- questions --- */

static bool is_better(
	const struct model *m, const struct model_worker *a, const struct model_worker *b)
{
	if (model_is_spent(m, a) != model_is_spent(m, b))
		return model_is_spent(m, b);
	return a->load != b->load ? a->load < b->load : a->used > b->used;
}

uint32_t model_pick(const struct model *m, uint32_t waiting, uint32_t *ret_slot)
{
	const struct pool_limits *l = &m->limits;
	const struct model_worker *best = NULL;
	uint32_t count, corpses = 0;

	for (uint32_t i = 0; i < m->slots; i++) {
		const struct model_worker *w = &m->worker[i];

		corpses += w->state == POOL_EXITED && w->unread;
		if (model_has_room(m, w) && (!best || is_better(m, w, best)))
			best = w;
	}
	if (!best || corpses >= l->max_procs)
		return 0;
	*ret_slot = (uint32_t)(best - m->worker);
	for (count = 0; count < MIN(waiting, l->burst); count++) {
		bool is_first = count == 0;

		if (best->load + count >= l->min_conns && !is_first)
			break;
		if (best->load + count >= l->max_conns || best->unread + count >= l->max_handoffs)
			break;
		if (l->max_life_conns && !model_is_spent(m, best) &&
			best->life + count >= l->max_life_conns)
			break;
	}
	return count;
}

uint32_t model_room_for_loot(const struct model *m, uint32_t slot, bool only_lively)
{
	const struct pool_limits *l = &m->limits;
	const struct model_worker *w = &m->worker[slot];
	uint64_t room = MIN(l->max_conns - w->load, l->max_handoffs - w->unread);

	if (!model_has_room(m, w))
		return 0;
	if (w->unread && l->handoff_ms >= 8 && m->now_ms >= w->offered_ms[0] + l->handoff_ms / 8)
		return 0;
	if (only_lively && l->handoff_ms >= 8 && m->now_ms >= w->alive_ms + l->handoff_ms / 8)
		return 0;
	if (l->max_life_conns && !model_is_spent(m, w))
		room = MIN(room, l->max_life_conns - w->life);
	return (uint32_t)room;
}

uint32_t model_room_of(const struct model *m, uint32_t slot)
{
	return model_room_for_loot(m, slot, m->only_lively);
}
