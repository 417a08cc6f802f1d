/* The pump of a service: ask the pool what to do, do it, serve who waits; and everything that makes it
 * run: bells, listeners, deadlines, ticks. Whatever learns a fact below leaves the deciding to it. */
#include "dispatcher/acceptor/pump.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/adapted.h"
#include "dispatcher/acceptor/crew.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/rescue.h"
#include "dispatcher/acceptor/serve.h"
#include "dispatcher/acceptor/theft.h"
#include "dispatcher/acceptor/unfit.h"

#include <signal.h>
#include <string.h>

bool pump_tick(struct service *svc, bool arm, uint64_t now_ms)
{
	bool anybody = false;
	struct slot *next;

	if (!svc->pool)
		return false;
	for (struct slot *s = svc->busy; s; s = next) {
		next = s->busy_next;
		if (arm)
			slot_arm(s);
		service_refresh(svc, s, now_ms);
		anybody |= s->busy && !s->armed;
	}
	pump_run(svc, now_ms);
	return anybody;
}

static void retire(struct service *svc, struct slot *s, enum pool_reason reason)
{
	const struct pool_worker *w = service_pool_worker(s);

	if (!s->serial)
		return; /* it is told when it comes */
	log_event(EV_WORKER_RETIRE, "worker=%s/%u pid=%d reason=%s connections=%u served=%llu", svc->name,
		s->serial, s->pid, pool_reason_name(reason), w->load,
		(unsigned long long)(w->life - w->load));
	slot_retire(s, slot_drain_ms(s));
	service_watch(svc, s);
	slot_arm(s);
}

static void send_signal(struct service *svc, struct slot *s, int number, enum pool_reason reason)
{
	if (s->killed)
		return;
	if (number == SIGTERM && adapted_was_stopped(s))
		number = SIGKILL;
	s->outside.stopping = true;
	s->killed = number == SIGKILL;
	if (service_pool_worker(s)->load)
		s->cutting = reason;
	log_event(EV_WORKER_SIGNAL, "worker=%s/%u pid=%d signal=%s reason=%s connections=%u", svc->name,
		s->serial, s->pid, sigabbrev_np(adapted_signal(s, number)), pool_reason_name(reason),
		service_pool_worker(s)->load);
	uplink_signal(svc->uplink, svc->index, s->index, s->serial, number);
}

/* Who is killed for what it did, or did not, leaves its evidence first. */
static void end_badly(struct service *svc, struct slot *s, enum pool_reason reason)
{
	int number = s->hang.hung ? SIGABRT : SIGKILL;

	if (s->killed)
		return;
	s->killed = true;
	log_event(EV_WORKER_SIGNAL, "worker=%s/%u pid=%d signal=%s reason=%s connections=%u", svc->name,
		s->serial, s->pid, sigabbrev_np(number), pool_reason_name(reason),
		service_pool_worker(s)->load);
	uplink_record(svc->uplink, svc->index, s->index, s->serial, number,
		s->hang.hung ? "HANG_TIMEOUT" : pool_reason_name(reason));
}

static void kill_worker(struct service *svc, struct slot *s, enum pool_reason reason)
{
	if (reason == POOL_NOT_READY)
		unfit_not_ready(svc, s);
	if (reason == POOL_HUNG || reason == POOL_NOT_READY || reason == POOL_FALSE_REPORT)
		end_badly(svc, s, reason);
	else
		send_signal(svc, s, SIGKILL, reason);
}

static void carry_out(struct service *svc, const struct pool_decision *d, uint64_t now_ms)
{
	static const char *const names[] = {[POOL_SPAWN] = "spawn", [POOL_RETIRE] = "retire",
		[POOL_TERM] = "term", [POOL_KILL] = "kill", [POOL_STEAL] = "steal"};
	struct slot *s = &svc->slots[d->slot];

	log_debug(LOG_PROCESS, "service=%s decision=%s slot=%u worker=%u reason=%s", svc->name,
		names[d->verb], d->slot, s->serial, pool_reason_name(d->reason));
	switch (d->verb) {
	case POOL_SPAWN:
		s->book->created_ms = now_ms;
		if (svc->uplink->alive)
			uplink_run(svc->uplink, svc->index, s->index);
		else
			pool_spawn_failed(svc->pool, d->slot, now_ms);
		break;
	case POOL_RETIRE:
		retire(svc, s, d->reason);
		break;
	case POOL_TERM:
		send_signal(svc, s, SIGTERM, d->reason);
		break;
	case POOL_KILL:
		kill_worker(svc, s, d->reason);
		break;
	case POOL_STEAL:
		theft_start(svc, s, now_ms);
		break;
	}
	service_note(s);
}

static void log_backoff(struct service *svc, uint64_t before, uint64_t now_ms)
{
	uint64_t until = pool_backoff_until(svc->pool);

	if (until > now_ms && until != before)
		log_event(EV_POOL_BACKOFF, "service=%s wait_ms=%u", svc->name,
			pool_backoff_ms(svc->pool));
}

/* A closing service serves who waits already, then gives its ports up, then retires everybody. */
static void drain(struct service *svc, uint64_t now_ms)
{
	uint32_t waiting = 0;

	if (svc->state != LINK_CLOSING || svc->drained || now_ms < svc->drain_from_ms)
		return;
	for (uint32_t i = 0; i < svc->listener_count; i++)
		waiting += listener_waiting(&svc->listeners[i]);
	svc->drain_checked_ms = now_ms;
	if ((waiting || svc->stash.count || line_count(svc)) && now_ms < svc->drain_until_ms)
		return;
	svc->drained = true;
	serve_let_down(svc, now_ms);
	for (uint32_t i = 0; i < svc->listener_count; i++)
		listener_close(&svc->listeners[i]);
	uplink_drained(svc->uplink, svc->index, svc->round);
	pool_waiting(svc->pool, 0, now_ms);
	pool_close(svc->pool, svc->close_deadline_ms, now_ms);
}

/* Starting workers have a deadline of their own; for suspects the earlier one counts. */
static bool must_answer(const struct slot *s)
{
	const unsigned states = BIT(POOL_SERVING) | BIT(POOL_SUSPECT) | BIT(POOL_RETIRING);
	const struct pool_worker *w = service_pool_worker(s);

	return w->load && !s->liar && states & BIT(w->state);
}

/* Returns when to look at it again. */
static uint64_t look_if_hung(struct service *svc, struct slot *s, uint64_t now_ms)
{
	uint64_t due_ms;

	if (s->hang.asked_ms)
		service_refresh(svc, s, now_ms);
	switch (hang_look(&s->hang, must_answer(s), svc->set->hang_ms, now_ms, &due_ms)) {
	case HANG_WAIT:
		break;
	case HANG_ASK:
		if (s->kind.is_adapted)
			adapted_watch_hang(svc, s, now_ms);
		else
			service_ask(svc, s);
		break;
	case HANG_HUNG:
		if (s->kind.is_adapted && !adapted_hangs(svc, s, now_ms))
			s->hang = (struct hang){.alive_ms = now_ms}; /* it waits for its clients */
		else
			pool_hung(svc->pool, s->index, now_ms);
		break;
	}
	return due_ms;
}

/* While a theft runs no page is read, so nobody can be seen to live. */
static void look_for_hangs(struct service *svc, uint64_t now_ms)
{
	if (!svc->set->hang_ms || now_ms < svc->hang_due_ms || svc->theft.victim)
		return;
	svc->hang_due_ms = now_ms + svc->set->hang_ms / 2 + 1;
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];

		if (s->serial && !s->exited && !s->releasing)
			svc->hang_due_ms = MIN(svc->hang_due_ms, look_if_hung(svc, s, now_ms));
	}
}

/* Whether the pool is asked for decisions. */
static bool decides(const struct service *svc)
{
	return (svc->state == LINK_OPEN || svc->state == LINK_CLOSING) && !svc->theft.victim;
}

void pump_run(struct service *svc, uint64_t now_ms)
{
	struct pool_decision d;
	uint64_t backoff;

	if (svc->doubts.count)
		rescue_settle(svc);
	if (!svc->pool || !svc->active || crew_settling(svc, now_ms))
		return;
	drain(svc, now_ms);
	look_for_hangs(svc, now_ms);
	backoff = svc->backoff_seen_ms;
	while (decides(svc) && pool_next(svc->pool, now_ms, &d))
		carry_out(svc, &d, now_ms);
	if (svc->has_adapted)
		adapted_look(svc, now_ms); /* some were just retired */
	log_backoff(svc, backoff, now_ms);
	svc->backoff_seen_ms = pool_backoff_until(svc->pool);
	serve_resume(svc, now_ms);
	if (svc->drained && !svc->theft.victim && pool_is_closed(svc->pool))
		crew_give_up(svc, now_ms);
	if (svc->drained && !svc->idle_told && !svc->attached) {
		svc->idle_told = true;
		uplink_idle(svc->uplink, svc->index, svc->round);
	}
}

void pump_timer(struct service *svc, uint64_t now_ms)
{
	if (svc->starved_until_ms && now_ms >= svc->starved_until_ms)
		svc->starved_until_ms = 0;
	service_refresh_all(svc, now_ms);
	pump_run(svc, now_ms);
}

static void earlier(uint64_t *due, uint64_t ms)
{
	if (ms && ms < *due)
		*due = ms;
}

/* The deadline of a pool that is not asked would stay in the past, and the timer fire for ever. */
uint64_t pump_due(const struct service *svc)
{
	uint64_t due = CLOCK_NEVER;

	if (!svc->pool || !svc->active)
		return due;
	if (svc->settling_until_ms)
		return svc->settling_until_ms;
	if (decides(svc))
		due = pool_deadline(svc->pool);
	earlier(&due, serve_due(svc));
	if (svc->set->hang_ms && !svc->theft.victim)
		earlier(&due, svc->hang_due_ms);
	earlier(&due, adapted_due(svc));
	if (svc->state == LINK_CLOSING && !svc->drained)
		earlier(&due, MAX(svc->drain_from_ms, svc->drain_checked_ms + 10));
	return due;
}

static void slot_rang(struct slot *s)
{
	struct service *svc = s->owner;
	uint64_t now_ms = clock_mono_ms();

	service_refresh(svc, s, now_ms);
	if (s->busy && (svc->held || service_pool_worker(s)->state != POOL_SERVING)) {
		slot_arm(s);
		service_refresh(svc, s, now_ms);
	}
	pump_run(svc, now_ms);
	svc->ops->changed(svc);
}

/* The bell has no writer any more. The supervisor tells of exits; without one this is the news. */
static void slot_hung_up(struct slot *s)
{
	struct service *svc = s->owner;
	struct link_record r = {.service = svc->index, .slot = s->index, .serial = s->serial};

	if (!svc->uplink->alive)
		crew_exited(svc, &r, clock_mono_ms());
	svc->ops->changed(svc);
}

static void slot_released(struct slot *s)
{
	struct service *svc = s->owner;
	uint64_t now_ms = clock_mono_ms();

	crew_released(svc, s, now_ms);
	pump_run(svc, now_ms);
	svc->ops->changed(svc);
}

static void slot_finished(struct slot *s, uint32_t conn)
{
	service_finished(s->owner, conn, false);
}

const struct slot_ops pump_slot_ops = {
	.rang = slot_rang,
	.hung_up = slot_hung_up,
	.released = slot_released,
	.finished = slot_finished,
};

static void listener_ready(struct listener *l)
{
	struct service *svc = l->owner;
	uint64_t now_ms = clock_mono_ms();

	serve_arrived(svc, l, now_ms);
	pump_run(svc, now_ms);
	svc->ops->changed(svc);
}

const struct listener_ops pump_listener_ops = {.ready = listener_ready};

void pump_theft_ended(struct service *svc, const struct link_record *r, int loot_fd, uint64_t now_ms)
{
	theft_ended(svc, r, loot_fd, now_ms);
	if (svc->go_waits)
		crew_go(svc, now_ms);
	if (!svc->active)
		return;
	crew_book_exits(svc, now_ms);
	service_refresh_all(svc, now_ms);
	pump_run(svc, now_ms);
}

void pump_orphaned(struct service *svc, uint64_t now_ms)
{
	struct link_record r = {.status = LINK_THEFT_FAILED};

	if (svc->theft.victim) {
		r.slot = svc->theft.victim->index;
		pump_theft_ended(svc, &r, -1, now_ms);
	}
	pump_run(svc, now_ms);
}
