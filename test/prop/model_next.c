/* The decisions of the naive model: see model.h. Each rule walks over all workers, again for each
 * decision. */
#include "test/prop/model_inner.h"

#include "common/base.h"

static bool is_idle_long(const struct model *m, const struct model_worker *w)
{
	return !w->load && m->now_ms >= model_after(w->idle_ms, m->limits.max_idle_ms);
}

static bool decide(
	struct pool_decision *ret, enum pool_verb verb, uint32_t slot, enum pool_reason reason)
{
	*ret = (struct pool_decision){verb, slot, reason};
	return true;
}

static bool retire(
	struct model *m, uint32_t slot, enum pool_reason reason, struct pool_decision *ret)
{
	struct model_worker *w = &m->worker[slot];

	model_forget_heir(m, w);
	w->state = POOL_RETIRING;
	w->reason = reason;
	w->retired_ms = m->now_ms;
	w->owed = POOL_NO_REASON;
	w->leaving = w->replaced = false;
	return decide(ret, POOL_RETIRE, slot, reason);
}

static bool kill_it(
	struct model *m, uint32_t slot, enum pool_reason reason, struct pool_decision *ret)
{
	struct model_worker *w = &m->worker[slot];

	model_forget_heir(m, w);
	if (w->state != POOL_RETIRING || reason == POOL_HUNG)
		w->reason = reason;
	w->failed |= reason == POOL_NOT_READY;
	w->state = POOL_KILLED;
	w->owed = POOL_NO_REASON;
	w->leaving = w->replaced = false;
	return decide(ret, POOL_KILL, slot, reason);
}

static bool next_owed(struct model *m, struct pool_decision *ret)
{
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->owed)
			return w->owed_kill ? kill_it(m, i, w->owed, ret)
					    : retire(m, i, w->owed, ret);
	}
	return false;
}

/* Has an operator's deadline passed? */
static bool is_overdue(const struct model *m, const struct model_worker *w)
{
	return w->stale && w->drain_ms != POOL_NEVER && m->now_ms >= w->retired_ms + w->drain_ms &&
	       m->now_ms >= w->stale_ms + w->drain_ms;
}

/* A retiring worker's TERM or KILL, when one is due. */
static bool next_farewell(struct model *m, uint32_t slot, struct pool_decision *ret)
{
	const struct pool_limits *l = &m->limits;
	struct model_worker *w = &m->worker[slot];
	enum pool_reason cut = m->now_ms < m->close_ms ? POOL_DRAINED : POOL_CLOSED;
	enum pool_reason reason = w->load ? cut : w->reason;
	uint64_t now_ms = m->now_ms;

	if (w->reason == POOL_FALSE_REPORT && now_ms >= model_after(w->retired_ms, l->kill_ms))
		return kill_it(m, slot, POOL_FALSE_REPORT, ret);
	if (w->termed)
		return now_ms >= model_after(w->termed_ms, l->kill_ms) &&
		       kill_it(m, slot, reason, ret);
	if (now_ms < model_after(w->retired_ms, l->drain_ms) && now_ms < m->close_ms &&
		!is_overdue(m, w) &&
		(w->load || now_ms < model_after(MAX(w->retired_ms, w->idle_ms), l->kill_ms)))
		return false;
	w->termed = true;
	w->termed_ms = now_ms;
	return decide(ret, POOL_TERM, slot, reason);
}

static bool next_deadline(struct model *m, struct pool_decision *ret)
{
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->state == POOL_STARTING &&
			m->now_ms >= model_after(w->created_ms, m->limits.start_ms))
			return kill_it(m, i, POOL_NOT_READY, ret);
		if (w->state == POOL_SUSPECT &&
			m->now_ms >= model_after(w->suspect_ms, m->limits.start_ms)) {
			w->failed |= m->now_ms < w->ready_ms + MODEL_PROVEN_MS;
			return kill_it(m, i, POOL_HUNG, ret);
		}
		if (w->state == POOL_RETIRING && next_farewell(m, i, ret))
			return true;
	}
	return false;
}

static void prove(struct model *m)
{
	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (w->state != POOL_SERVING && w->state != POOL_SUSPECT)
			continue;
		if (w->proven || m->now_ms < w->ready_ms + MODEL_PROVEN_MS)
			continue;
		w->proven = true;
		m->backoff_ms = m->backoff_until_ms = 0;
	}
}

static bool next_theft(struct model *m, struct pool_decision *ret)
{
	struct model_worker *victim = NULL;
	bool is_room = false, is_lively = false;

	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		is_room |= model_room_for_loot(m, i, false) > 0;
		is_lively |= model_room_for_loot(m, i, true) > 0;
		if (!model_is_stranded(m, w) || w->robbing || m->now_ms < w->ask_ms ||
			w->state == POOL_KILLED)
			continue;
		if (!victim || w->offered_ms[0] < victim->offered_ms[0])
			victim = w;
	}
	if (!victim || !is_room)
		return false;
	victim->robbing = true;
	m->only_lively = is_lively;
	return decide(ret, POOL_STEAL, (uint32_t)(victim - m->worker), POOL_NO_REASON);
}

/* What the rules of spawning look at. */
struct census {
	uint32_t soon, procs, live, nobody, retiring, beside, leaving, taking, starting;
	bool unproven;
	uint64_t spare, waiting, demand;
};

/* Does anybody take connections who was started since, and shall stay? */
static bool is_proven(const struct model *m, uint64_t since_ms)
{
	for (uint32_t i = 0; i < m->slots; i++)
		if (model_takes(m, &m->worker[i]) && !m->worker[i].stale &&
			m->worker[i].created_ms >= since_ms)
			return true;
	return false;
}

static struct census take_census(const struct model *m)
{
	struct census c = {.waiting = m->waiting};

	for (uint32_t i = 0; i < m->slots; i++) {
		const struct model_worker *w = &m->worker[i];
		bool counts = model_takes(m, w) && !w->leaving;
		uint32_t min_conns = m->limits.min_conns;

		c.live += model_is_live(w);
		c.retiring += w->state == POOL_RETIRING && !model_is_ordered(w);
		c.beside += model_is_ordered(w) && (w->state == POOL_RETIRING || (model_takes(m, w) && w->leaving));
		c.starting += w->state == POOL_STARTING;
		c.unproven |= model_takes(m, w) && w->leaving && model_is_ordered(w) &&
			      !is_proven(m, w->stale_ms);
		c.taking += model_takes(m, w);
		c.leaving += model_takes(m, w) && w->leaving;
		c.soon += w->state == POOL_STARTING || counts;
		c.procs += w->state == POOL_STARTING || w->state == POOL_SUSPECT ||
			   (w->state == POOL_SERVING && !w->leaving);
		if (w->state == POOL_STARTING || counts)
			c.spare += w->load < min_conns ? min_conns - w->load : 0;
		if (w->state == POOL_SERVING || w->state == POOL_SUSPECT)
			c.demand += w->load;
		if (model_is_stranded(m, w))
			c.waiting += w->unread;
	}
	c.demand += c.waiting;
	c.nobody = c.taking + c.starting == 0;
	return c;
}

/* Would the pool want one more, if it were as the census says? */
static bool wants(const struct model *m, const struct census *c)
{
	if (m->closed)
		return false;
	if (c->soon < m->limits.min_procs || (c->nobody && c->waiting) ||
		(c->unproven && !c->starting))
		return true;
	return c->demand && c->spare <= c->waiting && c->procs < m->limits.max_procs;
}

/* The taking worker for which test holds, that was created first. */
static struct model_worker *oldest(
	struct model *m, bool is_leaving, enum model_stage stage, bool needs_heir)
{
	struct model_worker *found = NULL;

	for (uint32_t i = 0; i < m->slots; i++) {
		struct model_worker *w = &m->worker[i];

		if (!model_takes(m, w) || w->leaving != is_leaving || model_stage(m, w) != stage)
			continue;
		if (needs_heir && (w->replaced || w->heir != MODEL_NOBODY))
			continue;
		if (!found || w->created_ms < found->created_ms)
			found = w;
	}
	return found;
}

static void keep_slots(struct model *m)
{
	for (;;) {
		struct census c = take_census(m);
		struct model_worker *at_limit = oldest(m, false, MODEL_LIMIT, false);
		struct model_worker *near = oldest(m, false, MODEL_NEAR, false);
		struct model_worker *gives_way = oldest(m, true, MODEL_NEAR, false);

		if (c.retiring + c.leaving < m->limits.max_shutdown && (at_limit || near)) {
			(at_limit ? at_limit : near)->leaving = true;
			continue;
		}
		if (!at_limit || !gives_way || c.retiring + c.leaving < m->limits.max_shutdown)
			return;
		at_limit->leaving = true;
		at_limit->replaced = gives_way->replaced;
		at_limit->heir = gives_way->heir;
		if (at_limit->heir != MODEL_NOBODY)
			m->worker[at_limit->heir].heir_of = (uint32_t)(at_limit - m->worker);
		gives_way->leaving = gives_way->replaced = false;
		gives_way->heir = MODEL_NOBODY;
	}
}

static bool next_spawn(struct model *m, struct pool_decision *ret)
{
	struct census c = take_census(m);
	struct model_worker *leaver = oldest(m, true, MODEL_LIMIT, true);
	uint32_t slot = 0;

	if (!wants(m, &c) || m->now_ms < m->backoff_until_ms ||
		c.live - c.beside >= m->limits.max_procs + m->limits.max_shutdown ||
		c.live >= 2 * m->limits.max_procs + m->limits.max_shutdown)
		return false;
	while (slot < m->slots && m->worker[slot].state != POOL_FREE)
		slot++;
	if (slot == m->slots)
		return false;
	leaver = leaver ? leaver : oldest(m, true, MODEL_NEAR, true);
	m->worker[slot].state = POOL_STARTING;
	m->worker[slot].created_ms = m->now_ms;
	if (leaver) {
		leaver->heir = slot;
		m->worker[slot].heir_of = (uint32_t)(leaver - m->worker);
	}
	return decide(ret, POOL_SPAWN, slot, POOL_NO_REASON);
}

/* Who may retire, and in which order of kinds: 0 nobody. */
static int retirement_kind(
	const struct model *m, const struct census *c, const struct model_worker *w)
{
	struct census without = *c;
	bool wants_one = wants(m, c);

	if (!model_takes(m, w) || c->retiring >= m->limits.max_shutdown ||
		c->taking - 1 < m->limits.min_procs)
		return 0;
	if (w->leaving && model_stage(m, w) == MODEL_LIMIT && w->heir == MODEL_NOBODY &&
		!wants_one && !c->unproven)
		return 1;
	if (!w->leaving && c->taking - c->leaving > m->limits.max_procs)
		return 2;
	if (!is_idle_long(m, w))
		return 0;
	if (w->leaving)
		return wants_one ? 0 : 4;
	without.soon--;
	without.procs--;
	without.spare -= m->limits.min_conns;
	without.nobody = without.unproven = false;
	return wants(m, &without) ? 0 : 3;
}

static uint64_t retirement_rank(const struct model_worker *w, int kind)
{
	return kind == 1 ? w->created_ms : kind == 2 ? w->load : w->idle_ms;
}

static enum pool_reason limit_reason(const struct model *m, const struct model_worker *w)
{
	if (w->stale)
		return w->stale;
	return model_is_spent(m, w) ? POOL_SPENT : POOL_OLD;
}

static bool next_retirement(struct model *m, struct pool_decision *ret)
{
	struct census c = take_census(m);
	uint32_t found = MODEL_NOBODY;
	int kind = 0;

	for (uint32_t i = 0; i < m->slots; i++) {
		int its = retirement_kind(m, &c, &m->worker[i]);

		if (!its || (kind && its > kind))
			continue;
		if (its == kind && retirement_rank(&m->worker[i], kind) >=
					   retirement_rank(&m->worker[found], kind))
			continue;
		found = i;
		kind = its;
	}
	if (!kind)
		return false;
	if (kind == 1)
		return retire(m, found, limit_reason(m, &m->worker[found]), ret);
	return retire(m, found, kind == 2 ? POOL_SURPLUS : POOL_IDLE, ret);
}

bool model_next(struct model *m, struct pool_decision *ret)
{
	bool is_due = next_owed(m, ret) || next_deadline(m, ret);

	if (!is_due) {
		prove(m);
		is_due = next_theft(m, ret);
	}
	model_drop_leavers(m);
	if (is_due)
		return true;
	keep_slots(m);
	return next_spawn(m, ret) || next_retirement(m, ret);
}
