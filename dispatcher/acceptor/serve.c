/* The path of a connection: how many wait, who gets them, accept, offer. No allocation happens here.
 *
 * Accepted is exactly what waits and what somebody has room for; the rest stays in the kernel's
 * backlog, where it survives even the death of this process. */
#include "dispatcher/acceptor/serve.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/blocks.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define STARVED_PAUSE_MS 100
#define RETRY_MS 10
#define PRESUME_ALONE 7 /* times */
#define LOG_EVERY_MS 60000
#define HOLD_LOG_EVERY_MS 10000

static bool may_serve(const struct service *svc)
{
	return svc->active && !svc->theft.victim && !svc->starved_until_ms &&
		(svc->state == LINK_OPEN || (svc->state == LINK_CLOSING && !svc->drained));
}

static void poll_listeners(struct service *svc)
{
	bool wanted = may_serve(svc) && !svc->held && !svc->stash.count;

	for (uint32_t i = 0; i < svc->listener_count; i++)
		listener_poll(&svc->listeners[i], wanted);
}

/* Puts a connection into the tables as worker's. */
static void assign(struct service *svc, uint32_t conn, struct slot *s)
{
	struct ledger_conn *record = &svc->conns.table[conn];

	record->worker = s->index;
	record->seq = svc->ledger->next_seq++;
	record->phase = LEDGER_OPEN;
}

static void enter(struct service *svc, const struct listener *l, const struct msg_conn *offer,
	uint64_t wall_ms)
{
	struct ledger_conn *record = &svc->conns.table[offer->slot];

	record->listener = l->index;
	record->accepted_ms = offer->accepted_ms;
	record->accepted_wall_ms = wall_ms;
	record->peer = offer->peer;
}

static bool refused(struct service *svc, const struct addr *peer, uint64_t now_ms)
{
	char text[ADDR_TEXT_BYTES];
	struct source source;

	if (!svc->sources || service_exempt(svc, peer))
		return false;
	source = service_source(svc, peer);
	if (sources_opened(svc->sources, &source, svc->set->max_conns_per_source))
		return false;
	svc->book->refused++;
	if (sources_may_log(svc->sources, &source, now_ms))
		log_event(EV_CONN_REFUSED, "service=%s peer=%s why=max_conns_per_source", svc->name,
			addr_format(peer, text));
	return true;
}

static void starved(struct service *svc, uint64_t now_ms)
{
	svc->starved_until_ms = now_ms + STARVED_PAUSE_MS;
	if (svc->starved_logged_ms && now_ms - svc->starved_logged_ms < LOG_EVERY_MS)
		return;
	svc->starved_logged_ms = now_ms;
	log_event(EV_ACCEPT_PAUSED, "service=%s why=%s again_ms=%d", svc->name, strerrorname_np(errno),
		STARVED_PAUSE_MS);
}

/* True: it comes from where an operator wants nobody to come from. */
static bool blocked(struct service *svc, const struct addr *peer, uint64_t now_ms)
{
	struct ledger_block *block = blocks_find(svc->blocks, peer, now_ms);
	char text[ADDR_TEXT_BYTES], prefix[BLOCKS_TEXT_BYTES];

	if (!block)
		return false;
	svc->book->refused++;
	block->refused++;
	if (blocks_may_log(block, now_ms))
		log_event(EV_CONN_REFUSED, "service=%s peer=%s why=blocked prefix=%s", svc->name,
			addr_format(peer, text), blocks_format(block, prefix));
	return true;
}

/* Accepts one and enters it. 1: entered, 0: refused, negative: stop. */
static int accept_one(struct service *svc, struct listener *l, struct msg_conn *ret_offer, int *ret_fd,
	uint64_t now_ms)
{
	int answer = listener_accept(l, ret_fd, &ret_offer->peer), none = 0;

	if (answer == LISTENER_STARVED)
		starved(svc, now_ms);
	else if (answer < 0)
		log_event(EV_INTERNAL, "where=accept why=%s", strerrorname_np(-answer));
	if (answer)
		return -1;
	svc->book->accepted++;
	if ((svc->blocks->count && blocked(svc, &ret_offer->peer, now_ms)) ||
		refused(svc, &ret_offer->peer, now_ms)) {
		close(*ret_fd);
		return 0;
	}
	if (svc->state == LINK_CLOSING) /* the filter that turns new clients away is inherited */
		setsockopt(*ret_fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
	ret_offer->slot = conns_open(&svc->conns);
	ret_offer->listener = l->index;
	ret_offer->accepted_ms = now_ms;
	ret_offer->local = l->local;
	return 1;
}

static void peak(struct service *svc)
{
	if (svc->conns.open > svc->book->peak)
		svc->book->peak = svc->conns.open;
}

/* Offers; on failure everything is as before and the answer is false. */
static bool offer(struct service *svc, struct slot *s, const struct msg_conn *conns, const int *fds,
	unsigned count, uint64_t now_ms)
{
	int answer;

	for (unsigned i = 0; i < count; i++)
		assign(svc, conns[i].slot, s);
	s->book->given += count;
	svc->book->handed += count;
	answer = service_tell(svc, s);
	if (!answer)
		answer = slot_offer(s, conns, fds, count);
	log_debug(LOG_HANDOFF, "worker=%s/%u connections=%u first=%u answer=%d", svc->name, s->serial, count,
		conns[0].slot, answer);
	if (!answer) {
		pool_given(svc->pool, s->index, count, now_ms);
		service_watch(svc, s);
		return true;
	}
	s->book->given -= count;
	svc->book->handed -= count;
	for (unsigned i = 0; i < count; i++)
		svc->conns.table[conns[i].slot].worker = CONNS_NONE;
	if (answer < 0)
		log_event(EV_INTERNAL, "where=offer why=%s", strerrorname_np(-answer));
	return false;
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void keep(struct service *svc, const struct msg_conn *conns, const int *fds, unsigned count,
	uint64_t now_ms)
{
	memcpy(svc->stash.conns, conns, count * sizeof(*conns));
	memcpy(svc->stash.fds, fds, count * sizeof(*fds));
	svc->stash.count = count;
	svc->retry_ms = now_ms + RETRY_MS;
}

/* Accepts up to want and gives them to s. Returns how many were taken from the kernel; *ret_more says
 * whether it makes sense to go on. */
static uint32_t take(struct service *svc, struct listener *l, struct slot *s, uint32_t want,
	uint64_t now_ms, bool *ret_more)
{
	struct msg_conn offers[MSG_MAX_CONNS];
	int fds[MSG_MAX_CONNS];
	uint64_t wall_ms = clock_wall_ms();
	uint32_t taken = 0;
	unsigned count = 0;
	int answer = 0;

	while (taken < want && svc->conns.open < svc->conns.count) {
		answer = accept_one(svc, l, &offers[count], &fds[count], now_ms);
		if (answer < 0)
			break;
		taken++;
		if (answer) {
			enter(svc, l, &offers[count], wall_ms);
			count++;
		}
	}
	peak(svc);
	*ret_more = taken == want;
	if (!count)
		return taken;
	if (offer(svc, s, offers, fds, count, now_ms)) {
		close_all(fds, count);
	} else {
		keep(svc, offers, fds, count, now_ms);
		*ret_more = false;
	}
	return taken;
}

/* True when nothing is stashed any more. */
static bool place_stash(struct service *svc, uint64_t now_ms)
{
	struct stash *st = &svc->stash;
	uint32_t slot, n;

	while (st->count && (n = pool_pick(svc->pool, st->count, &slot))) {
		if (!offer(svc, &svc->slots[slot], st->conns, st->fds, n, now_ms))
			break;
		close_all(st->fds, n);
		st->count -= n;
		memmove(st->conns, st->conns + n, st->count * sizeof(*st->conns));
		memmove(st->fds, st->fds + n, st->count * sizeof(*st->fds));
	}
	svc->retry_ms = st->count ? now_ms + RETRY_MS : 0;
	return !st->count;
}

/* A readable listener has at least one client. Where one was alone the last time, one is probably alone
 * again, and the kernel need not be asked each time; it is asked often enough to see a burst begin. */
static uint32_t likely_waiting(struct listener *l)
{
	uint32_t waiting;

	if (l->alone) {
		l->alone--;
		return 1;
	}
	waiting = listener_waiting(l);
	l->alone = waiting == 1 ? PRESUME_ALONE : 0;
	return waiting;
}

/* left: clients who wait. */
static void serve_listener(struct service *svc, struct listener *l, uint32_t left, uint64_t now_ms)
{
	uint32_t slot, n;
	bool more = true;

	while (more && left && (n = pool_pick(svc->pool, MIN(left, MSG_MAX_CONNS), &slot))) {
		uint32_t taken = take(svc, l, &svc->slots[slot], n, now_ms, &more);

		left -= MIN(left, taken);
	}
	svc->waiting += left - l->waiting;
	l->waiting = left;
}

static bool has_room(const struct service *svc)
{
	uint32_t slot;

	return svc->conns.open < svc->conns.count && pool_pick(svc->pool, 1, &slot);
}

static void arm_all(struct service *svc, uint64_t now_ms)
{
	struct slot *next;

	for (struct slot *s = svc->busy; s; s = next) {
		next = s->busy_next;
		slot_arm(s);
		service_refresh(svc, s, now_ms);
	}
}

static void hold(struct service *svc, uint64_t now_ms)
{
	arm_all(svc, now_ms);
	if (has_room(svc))
		return; /* somebody finished between the look and the arming */
	svc->held = true;
	svc->book->held_since_ms = now_ms;
	if (svc->hold_logged_ms && now_ms - svc->hold_logged_ms < HOLD_LOG_EVERY_MS)
		return;
	svc->hold_logged_ms = now_ms;
	svc->hold_logged = true;
	log_event(EV_POOL_HOLD, "service=%s connections=%u workers=%u waiting=%u why=%s", svc->name,
		svc->conns.open, pool_count(svc->pool, POOL_SERVING), svc->waiting,
		pool_count(svc->pool, POOL_SERVING) ? "all_workers_full" : "no_worker_ready");
}

static void release(struct service *svc, uint64_t now_ms)
{
	uint64_t held_ms = now_ms - svc->book->held_since_ms;

	svc->held = false;
	svc->book->held_ms += held_ms;
	svc->book->held_since_ms = 0;
	if (svc->hold_logged)
		log_event(EV_POOL_RELEASE, "service=%s held_ms=%llu", svc->name,
			(unsigned long long)held_ms);
	svc->hold_logged = false;
}

static bool is_open(const struct service *svc)
{
	return may_serve(svc) && !svc->held && !svc->stash.count;
}

/* After serving: tell the pool who still waits; pause when nobody has room for them. */
static void after(struct service *svc, uint64_t now_ms)
{
	pool_waiting(svc->pool, svc->waiting, now_ms);
	if (svc->waiting && is_open(svc) && !has_room(svc))
		hold(svc, now_ms);
}

uint64_t serve_due(const struct service *svc)
{
	if (svc->starved_until_ms)
		return svc->starved_until_ms;
	return may_serve(svc) && svc->stash.count ? svc->retry_ms : 0;
}

void serve_resume(struct service *svc, uint64_t now_ms)
{
	bool again = svc->stash.count;

	if (may_serve(svc) && svc->stash.count)
		again = place_stash(svc, now_ms);
	if (svc->held && may_serve(svc) && has_room(svc)) {
		release(svc, now_ms);
		again = true;
	}
	if (again && is_open(svc)) {
		for (uint32_t i = 0; i < svc->listener_count && is_open(svc); i++)
			serve_listener(svc, &svc->listeners[i],
				listener_waiting(&svc->listeners[i]), now_ms);
		after(svc, now_ms);
	}
	poll_listeners(svc);
}

void serve_let_down(struct service *svc)
{
	struct stash *st = &svc->stash;

	for (unsigned i = 0; i < st->count; i++) {
		uint32_t conn = st->conns[i].slot;

		if (svc->sources && !service_exempt(svc, &st->conns[i].peer)) {
			struct source source = service_source(svc, &st->conns[i].peer);

			sources_closed(svc->sources, &source);
		}
		svc->book->handed++;
		svc->book->lost++;
		conns_close(&svc->conns, conn);
	}
	close_all(st->fds, st->count);
	st->count = 0;
	svc->retry_ms = 0;
	svc->waiting = 0;
	for (uint32_t i = 0; i < svc->listener_count; i++)
		svc->listeners[i].waiting = svc->listeners[i].alone = 0;
}

void serve_arrived(struct service *svc, struct listener *l, uint64_t now_ms)
{
	service_refresh_all(svc, now_ms);
	if (!is_open(svc))
		return;
	serve_listener(svc, l, likely_waiting(l), now_ms);
	after(svc, now_ms);
}
