/* The coming and going of a service's workers: attached when the supervisor says that one runs,
 * adopted when it ran before this acceptor did, booked when it has exited, buried when nothing of it is
 * left to be rescued.
 *
 * A take-over does not know how much of what the last acceptor offered has been read, or whether its
 * very last offer was sent at all. It asks: a worker that answers a ping has read everything before it,
 * so what it has not taken by then never was in its channel. */
#include "dispatcher/acceptor/crew.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/adapted.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/opening.h"
#include "dispatcher/acceptor/rescue.h"
#include "dispatcher/acceptor/unfit.h"

#include <string.h>

/* Workers of a take-over answer within a millisecond. Who is stopped or hangs is not waited for. */
#define SETTLE_MS 100

/* Books of a worker that this ledger has not seen before. */
static void open_book(struct slot *s, const struct link_record *r)
{
	if (s->book->serial == r->serial)
		return;
	*s->book = (struct ledger_worker){.serial = r->serial,
		.pid = r->pid,
		.created_ms = r->created_ms,
		.created_wall_ms = r->created_wall_ms};
}

/* The service was closed while it was on its way. */
static void repeat_orders(struct service *svc, struct slot *s)
{
	enum pool_state state = service_pool_worker(s)->state;

	if (state == POOL_RETIRING)
		slot_retire(s, 0);
	else if (state == POOL_KILLED)
		uplink_signal(svc->uplink, svc->index, s->index, s->serial, SIGKILL);
}

void crew_came(struct service *svc, const struct link_record *r, const int fds[SLOT_FDS],
	uint64_t now_ms)
{
	struct slot *s = &svc->slots[r->slot];
	int error;

	if (s->serial) { /* said again */
		for (int i = 0; i < SLOT_FDS; i++)
			close(fds[i]);
		return;
	}
	open_book(s, r);
	error = slot_attach_consume(s, svc->loop, fds, r->number, r->serial, r->pid);
	if (error) {
		log_event(EV_INTERNAL, "where=attach why=%s", strerrorname_np(-error));
		uplink_signal(svc->uplink, svc->index, s->index, r->serial, SIGKILL);
		return;
	}
	s->kind = (struct slot_kind){.is_adapted = r->status != LINK_NATIVE,
		.ends_by_eof = r->status == LINK_ADAPTED_EOF,
		.stop_signal = r->error,
		.listeners = r->id};
	svc->has_adapted |= s->kind.is_adapted;
	svc->attached++;
	if (!svc->active)
		return; /* adopted by crew_go */
	if (!svc->pool)
		opening_pool(svc, now_ms);
	if (service_pool_worker(s)->state == POOL_FREE) /* ordered by an acceptor that is no more */
		pool_adopted(svc->pool, s->index, POOL_STARTING, POOL_NO_REASON, 0, 0, 0,
			s->book->created_ms, now_ms);
	if (!s->book->told)
		s->book->told = svc->limits.digest; /* its setup has them */
	svc->book->spawns++;
	service_watch(svc, s);
	slot_arm(s);
	service_refresh(svc, s, now_ms);
	repeat_orders(svc, s);
}

static void tell_pool(struct service *svc, struct slot *s, uint64_t now_ms)
{
	static const enum pool_reason reasons[] = {[LINK_STALE_RESTARTED] = POOL_RESTARTED,
		[LINK_STALE_CHANGED] = POOL_CHANGED, [LINK_STALE_MEMORY] = POOL_MEMORY};

	if (s->stale.why == LINK_STALE_NOT || s->stale.why >= ARRAY_LEN(reasons))
		return;
	pool_stale(svc->pool, s->index, reasons[s->stale.why], s->stale.drain_ms, s->stale.since_ms,
		now_ms);
}

void crew_stale(struct service *svc, const struct link_record *r, uint64_t now_ms)
{
	struct slot *s = &svc->slots[r->slot];

	if (!s->serial || s->serial != r->serial)
		return;
	s->stale = (struct slot_stale){
		(enum link_stale)r->number, r->deadline_ms, r->created_ms};
	if (!svc->active || !svc->pool || s->exited)
		return;
	if (s->stale.why == LINK_STALE_RESTARTED) /* perhaps she has mended what could not start */
		pool_try_now(svc->pool, now_ms);
	tell_pool(svc, s, now_ms);
}

void crew_image(struct service *svc, const struct link_record *r)
{
	struct slot *s = &svc->slots[r->slot];

	if (s->serial && s->serial == r->serial)
		s->image_replaced = r->number;
}

static void log_exit(struct service *svc, struct slot *s, uint32_t lost, uint64_t now_ms)
{
	const struct pool_worker *w = service_pool_worker(s);
	char status[LOG_STATUS_BYTES];

	log_event(EV_WORKER_EXIT, "worker=%s/%u pid=%d status=%s lived_ms=%llu reason=%s served=%llu lost=%u",
		svc->name, s->serial, s->pid, log_status(s->status, status), (unsigned long long)(now_ms - s->book->created_ms),
		pool_reason_name(w->reason), (unsigned long long)slot_served(s), lost);
}

static void tell_exit(struct service *svc, struct slot *s, uint64_t now_ms)
{
	const struct pool_worker *w = service_pool_worker(s);

	log_exit(svc, s, w->load - w->unread, now_ms);
	if (w->state == POOL_STARTING)
		unfit_not_ready(svc, s);
	svc->book->last_status = s->status;
	svc->book->last_serial = s->serial;
	svc->book->last_exit_wall_ms = clock_wall_ms();
}

static void book_exit(struct service *svc, struct slot *s, uint64_t now_ms)
{
	const struct pool_worker *w = service_pool_worker(s);

	service_refresh(svc, s, now_ms);
	service_unwatch(svc, s);
	if (!s->exit_told)
		tell_exit(svc, s, now_ms);
	pool_exited(svc->pool, s->index, now_ms);
	service_note(s);
	if (!w->unread)
		crew_bury(svc, s);
}

void crew_book_exits(struct service *svc, uint64_t now_ms)
{
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];

		if (s->exited && !s->releasing && service_pool_worker(s)->state != POOL_EXITED)
			book_exit(svc, s, now_ms);
	}
}

void crew_bury(struct service *svc, struct slot *s)
{
	uint32_t left = slot_open(s), conn = 0;

	for (; left && (conn = conns_next_of(&svc->conns, conn, s->index)) != CONNS_NONE; left--) {
		service_finished(svc, conn, true);
		conns_close(&svc->conns, conn);
	}
	s->book->done = s->book->given - (uint64_t)s->book->freed;
	service_unwatch(svc, s);
	slot_release(s);
}

void crew_give_up(struct service *svc, uint64_t now_ms)
{
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];
		const struct pool_worker *w = service_pool_worker(s);

		if (!s->serial || s->releasing || w->state != POOL_EXITED)
			continue;
		pool_robbed(svc->pool, s->index, w->unread, now_ms);
		crew_bury(svc, s);
	}
}

static void spawn_failed(struct service *svc, struct slot *s, const struct link_record *r,
	uint64_t now_ms)
{
	uplink_release(svc->uplink, svc->index, s->index, r->serial);
	if (svc->active && svc->pool && service_pool_worker(s)->state == POOL_STARTING)
		pool_spawn_failed(svc->pool, s->index, now_ms);
}

void crew_exited(struct service *svc, const struct link_record *r, uint64_t now_ms)
{
	struct slot *s = &svc->slots[r->slot];

	if (!s->serial) {
		spawn_failed(svc, s, r, now_ms);
		return;
	}
	if (s->serial != r->serial || s->exited)
		return;
	s->exited = true;
	s->status = r->status;
	if (!svc->active || svc->theft.victim)
		return; /* booked when everything is known, or when the theft has ended */
	book_exit(svc, s, now_ms);
}

/* The last acceptor may have died between freeing a slot and counting that it did. */
static void skip_half_settled(struct service *svc, struct slot *s)
{
	struct page_claims c;

	if (s->kind.is_adapted)
		return; /* its reports of what is gone are passed over anyway */
	page_read(s->page, &c);
	if (c.done > s->book->done &&
		!conns_of(&svc->conns, page_done_slot(s->page, s->ring_len, s->book->done), s->index))
		s->book->done++;
}

/* What it had is what the table says, whatever the last acceptor was about to count. */
static void count_given(struct slot *s, uint32_t open)
{
	struct ledger_worker *b = s->book;
	struct page_claims c;

	b->given = b->done + (uint64_t)b->freed + open;
	if (!s->kind.is_adapted)
		return;
	page_read(s->page, &c);
	b->given = MAX(b->given, c.taken);
	b->freed = (int64_t)(b->given - b->done - open);
}

static enum pool_state adopted_state(const struct service *svc, const struct slot *s)
{
	struct page_claims c;

	if (s->book->state == POOL_RETIRING || s->book->state == POOL_KILLED)
		return (enum pool_state)s->book->state;
	if (!adapted_suits(svc, s))
		return POOL_RETIRING;
	page_read(s->page, &c);
	return c.ready ? POOL_SUSPECT : POOL_STARTING;
}

static void adopt(struct service *svc, struct slot *s, uint64_t now_ms)
{
	enum pool_state state = adopted_state(svc, s);
	enum pool_reason reason = (enum pool_reason)s->book->reason;
	uint32_t open = conns_count_of(&svc->conns, s->index);
	uint64_t taken;

	s->exit_told = s->book->state == POOL_EXITED;
	skip_half_settled(svc, s);
	count_given(s, open);
	taken = MIN(s->book->taken, s->book->given);
	s->book->taken = taken = MAX(taken, s->book->given - open);
	if (state == POOL_RETIRING && !reason)
		reason = POOL_CHANGED;
	pool_adopted(svc->pool, s->index, state, reason, s->book->given, open,
		(uint32_t)(s->book->given - taken), s->book->created_ms, now_ms);
	if (s->book->retired_ms)
		pool_retired_since(svc->pool, s->index, s->book->retired_ms, now_ms);
	tell_pool(svc, s, now_ms);
	s->unsettled = true;
	if (s->exited)
		return;
	service_ask(svc, s);
	adapted_found(svc, s, now_ms);
	if (state == POOL_RETIRING)
		slot_retire(s, slot_drain_ms(s));
}

/* A connection whose worker is no more, or that was never given to one and was not saved either. */
static void drop_strays(struct service *svc, uint64_t now_ms)
{
	for (uint32_t i = 0; i < svc->conns.count; i++) {
		const struct ledger_conn *c = &svc->conns.table[i];
		uint32_t index = c->worker;

		if (c->phase != LEDGER_OPEN || (index < svc->slot_count && svc->slots[index].serial))
			continue;
		if (rescue_waits(svc, i) || rescue_unsent(svc, i, now_ms))
			continue;
		if (c->worker == CONNS_NONE)
			svc->book->handed++; /* accepted, and nobody had room */
		svc->book->lost++;
		conns_close(&svc->conns, i);
	}
}

/* Assigned to workers and not yet counted as given: whoever settles them counts those that are lost. */
static uint64_t assigned_only(const struct service *svc)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < svc->slot_count; i++) {
		const struct slot *s = &svc->slots[i];
		uint64_t open = s->serial ? conns_count_of(&svc->conns, s->index) : 0;
		uint64_t booked = s->serial ? slot_open(s) : 0;

		count += open > booked ? open - booked : 0;
	}
	return count;
}

/* Makes accepted = handed + refused + left + waiting true again. The last acceptor counted `accepted` last, so
 * it may be too low; too high, connections died with it (and its keeper) before they were counted. */
static void count_accepted(struct service *svc)
{
	struct ledger_service *b = svc->book;
	uint64_t known = b->handed + b->refused + b->left + svc->stash.count + line_count(svc);
	uint64_t uncounted, assigned;

	if (b->accepted <= known) {
		b->accepted = known;
		return;
	}
	uncounted = b->accepted - known;
	assigned = assigned_only(svc);
	b->lost += uncounted - MIN(uncounted, assigned);
	b->handed += uncounted;
}

static void count_sources(struct service *svc)
{
	for (uint32_t i = 0; svc->sources && i < svc->conns.count; i++) {
		const struct ledger_conn *c = &svc->conns.table[i];
		struct source source;

		if (c->phase == LEDGER_FREE || service_exempt(svc, &c->peer))
			continue;
		source = service_source(svc, &c->peer);
		sources_opened(svc->sources, &source, UINT32_MAX);
	}
}

void crew_go(struct service *svc, uint64_t now_ms)
{
	svc->go_waits = svc->theft.victim;
	if (svc->go_waits)
		return; /* who has what is known when the thief is back */
	svc->active = true;
	drop_strays(svc, now_ms);
	count_accepted(svc);
	count_sources(svc);
	rescue_admit(svc, now_ms);
	if (!svc->pool && (svc->attached || line_count(svc))) /* it failed, and not all is settled */
		opening_pool(svc, now_ms);
	if (!svc->pool)
		return;
	for (uint32_t i = 0; i < svc->slot_count; i++)
		if (svc->slots[i].serial)
			adopt(svc, &svc->slots[i], now_ms);
	svc->settling_until_ms = now_ms + SETTLE_MS;
	crew_book_exits(svc, now_ms);
	service_refresh_all(svc, now_ms);
}

bool crew_settling(struct service *svc, uint64_t now_ms)
{
	if (!svc->settling_until_ms)
		return false;
	for (uint32_t i = 0; i < svc->slot_count && now_ms < svc->settling_until_ms; i++)
		if (svc->slots[i].serial && svc->slots[i].unsettled && !svc->slots[i].exited)
			return true;
	svc->settling_until_ms = 0;
	return false;
}

void crew_released(struct service *svc, struct slot *s, uint64_t now_ms)
{
	uint32_t serial = s->serial;

	s->serial = 0;
	s->exited = s->unsettled = s->exit_told = false; /* or crew_book_exits would book the empty slot */
	s->book->serial = 0;
	svc->attached--;
	uplink_release(svc->uplink, svc->index, s->index, serial);
	pool_released(svc->pool, s->index, now_ms);
}
