/* Stealing back: unread offers of a worker that died, was stopped or hangs go to workers that have
 * room. A helper process does it, as receiving from a hostile worker's socket may block for ever.
 *
 * While a theft runs, this service reads no report pages and offers nothing: a target may already
 * report a connection of which only the thief knows. That takes a few milliseconds. A thief that hangs
 * waits for a lock that the victim holds: the supervisor gives it up, and the victim is killed. */
#include "dispatcher/acceptor/theft.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/adapted.h"
#include "dispatcher/acceptor/crew.h"
#include "dispatcher/acceptor/rescue.h"
#include "dispatcher/acceptor/unfit.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* Whether a worker of that kind would know what it is given. */
static bool knows_what(bool is_adapted, uint64_t listeners, const struct slot *victim)
{
	return is_adapted == victim->kind.is_adapted && !(victim->kind.listeners & ~listeners);
}

static uint32_t room_for_loot(const struct service *svc, const struct slot *s, const struct slot *victim)
{
	if (s == victim || !s->serial || s->exited || s->liar || s->unsettled)
		return 0;
	if (!knows_what(s->kind.is_adapted, s->kind.listeners, victim))
		return 0;
	return pool_room_of(svc->pool, s->index);
}

/* Shares the victim's unread offers evenly among those with room. */
static void choose_targets(struct service *svc, const struct slot *victim)
{
	struct theft *t = &svc->theft;
	uint32_t unread = service_pool_worker(victim)->unread, share;

	t->count = 0;
	for (uint32_t i = 0; i < svc->slot_count && t->count < LINK_TARGETS; i++) {
		uint32_t room = room_for_loot(svc, &svc->slots[i], victim);

		if (room)
			t->targets[t->count++] =
				(struct link_target){.slot = svc->slots[i].index, .room = room};
	}
	share = t->count ? (unread + t->count - 1) / t->count : 0;
	for (uint32_t i = 0; i < t->count; i++)
		t->targets[i].room = MIN(t->targets[i].room, share);
}

void theft_found(struct service *svc, const struct link_record *r)
{
	struct theft *t = &svc->theft;

	t->victim = &svc->slots[r->slot];
	t->count = MIN(r->target_count, (uint32_t)LINK_TARGETS);
	for (uint32_t i = 0; i < t->count; i++)
		t->targets[i] = r->targets[i];
}

/* One connection went from the victim to a target, whatever the books of the two say by now. */
static bool move(struct service *svc, struct slot *victim, uint32_t conn, uint32_t target)
{
	uint32_t slot = victim->kind.is_adapted ? conns_tagged(&svc->conns, conn) : conn;
	struct ledger_conn *c = conns_of(&svc->conns, slot, victim->index);
	uint32_t index;

	if (!c || target >= svc->theft.count)
		return false;
	index = svc->theft.targets[target].slot;
	if (index >= svc->slot_count || !svc->slots[index].serial)
		return false;
	c->worker = svc->theft.targets[target].slot;
	c->seq = svc->ledger->next_seq++;
	svc->slots[index].book->given++;
	victim->book->given--;
	victim->asked_given -= victim->asked_given > 0;
	return true;
}

/* Applies the loot to table and books. Returns how many were moved; per target in ret_counts. */
static uint32_t apply(struct service *svc, struct slot *victim, const struct link_loot *loot,
	uint32_t ret_counts[LINK_TARGETS])
{
	uint32_t count = atomic_load(&loot->count), moved = 0;

	count = MIN(count, (uint32_t)LINK_STOLEN_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (!move(svc, victim, loot->moved[i].conn, loot->moved[i].target))
			continue;
		ret_counts[loot->moved[i].target]++;
		moved++;
	}
	return moved;
}

static void tell_pool(struct service *svc, struct slot *victim, uint32_t moved,
	const uint32_t counts[LINK_TARGETS], uint64_t now_ms)
{
	const struct pool_worker *w;

	if (!svc->active)
		return; /* adopted with the right figures later */
	w = service_pool_worker(victim);
	if (moved > w->unread)
		service_lied(svc, victim, "taken_but_unread", now_ms);
	pool_robbed(svc->pool, victim->index, MIN(moved, w->unread), now_ms);
	for (uint32_t i = 0; i < svc->theft.count; i++) {
		struct slot *s = &svc->slots[svc->theft.targets[i].slot];

		if (!counts[i])
			continue;
		pool_given(svc->pool, s->index, counts[i], now_ms);
		service_watch(svc, s);
	}
	service_note(victim);
}

static const char *outcome_name(int32_t status)
{
	if (status == LINK_THEFT_DONE)
		return "done";
	return status == LINK_THEFT_HUNG ? "hung" : "failed";
}

/* The newest of a dead worker's unread were perhaps never sent: the last acceptor died first. */
static void save_unsent(struct service *svc, struct slot *victim, uint32_t unread, uint64_t now_ms)
{
	for (uint32_t conn; unread && svc->doubts.count; unread--) {
		conn = conns_newest_of(&svc->conns, victim->index);
		if (conn == CONNS_NONE || !rescue_unsent(svc, conn, now_ms))
			return;
		victim->book->given--;
	}
}

/* A dead worker's queue is empty: whatever it had read and not counted died with it. */
static void settle_dead(struct service *svc, struct slot *victim, bool emptied, uint64_t now_ms)
{
	const struct pool_worker *w = service_pool_worker(victim);

	if (w->state != POOL_EXITED)
		return;
	if (emptied)
		save_unsent(svc, victim, w->unread, now_ms);
	if (emptied && w->unread)
		pool_robbed(svc->pool, victim->index, w->unread, now_ms);
	if (!w->unread && !victim->releasing)
		crew_bury(svc, victim);
}

/* After a reload all that live, and all that will be started, may be of another kind. */
static bool will_be_known(const struct service *svc, const struct slot *victim)
{
	uint64_t listeners = 0;

	for (uint32_t i = 0; i < svc->listener_count && i < 64; i++)
		listeners |= (uint64_t)!svc->listeners[i].leaving << i;
	if (knows_what(svc->set->adapter == ADAPTER_SERVER, listeners, victim))
		return true;
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		const struct slot *s = &svc->slots[i];

		if (s != victim && s->serial && !s->exited && !s->liar &&
			knows_what(s->kind.is_adapted, s->kind.listeners, victim))
			return true;
	}
	return false;
}

void theft_start(struct service *svc, struct slot *victim, uint64_t now_ms)
{
	choose_targets(svc, victim);
	if (!svc->theft.count || !svc->uplink->alive) {
		pool_robbed(svc->pool, victim->index, 0, now_ms);
		if (!will_be_known(svc, victim))
			settle_dead(svc, victim, true, now_ms);
		return;
	}
	svc->theft.victim = victim;
	uplink_steal(svc->uplink, svc->index, victim->index, victim->serial, svc->theft.targets,
		svc->theft.count);
}

static uint32_t take_loot(struct service *svc, struct slot *victim, int loot_fd, bool *ret_emptied,
	uint64_t now_ms)
{
	uint32_t counts[LINK_TARGETS] = {0}, moved = 0;
	struct link_loot *loot = loot_fd < 0 ? NULL : page_map(loot_fd, sizeof(*loot), 0);

	*ret_emptied = loot && atomic_load(&loot->emptied);
	if (loot)
		moved = apply(svc, victim, loot, counts);
	tell_pool(svc, victim, moved, counts, now_ms);
	if (loot)
		munmap(loot, sizeof(*loot));
	return moved;
}

/* An empty queue, and yet it says nothing of having read: either it is just about to, and answers at once,
 * or it keeps what it read to itself. */
static void ask_victim(struct service *svc, struct slot *victim, bool silent, uint64_t now_ms)
{
	if (victim->kind.is_adapted) {
		service_refresh(svc, victim, now_ms);
		adapted_robbed(svc, victim, silent, now_ms);
		if (!silent)
			unfit_to_read(svc, victim, now_ms);
		return;
	}
	service_ask(svc, victim);
	service_refresh(svc, victim, now_ms);
	if (silent && service_pool_worker(victim)->unread)
		pool_silent(svc->pool, victim->index, now_ms);
}

void theft_ended(struct service *svc, const struct link_record *r, int loot_fd, uint64_t now_ms)
{
	OWNS_FD int owned = loot_fd;
	struct slot *victim;
	uint32_t moved;
	bool emptied;

	if (!svc->active && !svc->theft.victim)
		theft_found(svc, r); /* it ended before anybody could say that it was under way */
	victim = svc->theft.victim;
	if (victim && victim->index == r->slot && !victim->serial)
		svc->theft.victim = NULL;
	if (!victim || victim->index != r->slot || !victim->serial) {
		uplink_stolen_seen(svc->uplink, svc->index, r->slot);
		return;
	}
	moved = take_loot(svc, victim, loot_fd, &emptied, now_ms);
	svc->theft.victim = NULL;
	svc->book->stolen_back += moved;
	log_event(EV_STOLEN_BACK, "worker=%s/%u pid=%d connections=%u outcome=%s", svc->name,
		victim->serial, victim->pid, moved, outcome_name(r->status));
	uplink_stolen_seen(svc->uplink, svc->index, victim->index);
	if (!svc->active)
		return;
	if (!victim->exited && r->status == LINK_THEFT_HUNG)
		pool_hung(svc->pool, victim->index, now_ms);
	else if (!victim->exited)
		ask_victim(svc, victim, !moved && emptied, now_ms);
	settle_dead(svc, victim, emptied, now_ms);
}
