/* The path of a connection: how many wait, who gets them, accept, offer. No allocation happens here.
 *
 * Accepted is exactly what waits and what somebody has room for; the rest stays in the kernel's
 * backlog, where it survives even the death of this process. */
#include "dispatcher/acceptor/serve.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/adapted.h"
#include "dispatcher/acceptor/blocks.h"
#include "dispatcher/acceptor/endings.h"
#include "dispatcher/acceptor/full.h"
#include "dispatcher/acceptor/line.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define STARVED_PAUSE_MS 100
#define RETRY_MS 10
#define PRESUME_ALONE 7 /* times */
#define LOG_EVERY_MS 60000
#define HOLD_LOG_EVERY_MS 10000

bool serve_may(const struct service *svc)
{
	return svc->active && !svc->theft.victim && !svc->starved_until_ms &&
		(svc->state == LINK_OPEN || (svc->state == LINK_CLOSING && !svc->drained));
}

static void poll_listeners(struct service *svc)
{
	bool wanted = serve_may(svc) && !svc->lent &&
		(full_accepts(svc) || (!svc->held && !svc->stash.count && !line_count(svc)));

	for (uint32_t i = 0; i < svc->listener_count; i++)
		listener_poll(&svc->listeners[i], wanted);
}

/* Puts a connection into the tables as worker's. */
static void assign(struct service *svc, uint32_t conn, struct slot *s)
{
	struct ledger_conn *record = &svc->conns.table[conn];

	record->seq = svc->ledger->next_seq++;
	hand_in_order();
	record->worker = s->index;
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
	if (sources_may_log(svc->sources, &source, now_ms))
		log_event(EV_CONN_REFUSED, "service=%s peer=%s why=max_conns_per_source", svc->name,
			addr_format(peer, text));
	return true;
}

void serve_starved(struct service *svc, uint64_t now_ms)
{
	endings_hurry(svc->endings);
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
	block->refused++;
	if (blocks_may_log(block, now_ms))
		log_event(EV_CONN_REFUSED, "service=%s peer=%s why=blocked prefix=%s", svc->name,
			addr_format(peer, text), blocks_format(block, prefix));
	return true;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

/* Everything about it into the ledger, its descriptor into the hand, behind the others in the stash. The
 * counters come last: a take-over raises what is too low, and calls lost what is too high. */
static void enter(struct service *svc, const struct listener *l, int fd, const struct addr *peer,
	unsigned place, uint64_t now_ms, uint64_t wall_ms)
{
	struct stash *st = &svc->stash;
	uint32_t conn = conns_open(&svc->conns);
	struct ledger_conn *record = &svc->conns.table[conn];

	_Static_assert(HAND_BATCH >= MSG_MAX_CONNS, "a batch has its places");
	record->listener = l->index;
	record->accepted_ms = now_ms;
	record->accepted_wall_ms = wall_ms;
	record->peer = *peer;
	record->worker = CONNS_NONE;
	if (svc->cookies.heads)
		cookies_enter(&svc->cookies, &svc->conns, conn, l->is_unix ? 0 : cookie_of(fd));
	hand_put(svc->hand, place, fd, conn);
	hand_accepted(svc->in_hand);
	record->phase = LEDGER_OPEN;
	hand_in_order();
	svc->book->accepted++;
	svc->book->peak = MAX(svc->book->peak, svc->conns.open);
	st->conns[st->count] = (struct msg_conn){.slot = conn, .listener = l->index,
		.accepted_ms = now_ms, .peer = *peer, .local = l->local};
	st->fds[st->count] = fd;
	st->places[st->count++] = (uint8_t)place;
}

bool serve_admit_consume(struct service *svc, const struct listener *l, int fd, const struct addr *peer,
	unsigned place, uint64_t now_ms, uint64_t wall_ms)
{
	int none = 0;

	if ((svc->blocks->count && blocked(svc, peer, now_ms)) || refused(svc, peer, now_ms)) {
		close(fd);
		hand_accepted(svc->in_hand);
		svc->book->refused++;
		hand_in_order();
		svc->book->accepted++;
		return false;
	}
	if (svc->state == LINK_CLOSING || l->leaving) /* the filter that turns new clients away is inherited */
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
	enter(svc, l, fd, peer, place, now_ms, wall_ms);
	return true;
}

bool serve_accept(struct service *svc, struct listener *l, unsigned place, uint64_t now_ms, uint64_t wall_ms)
{
	struct addr peer;
	int fd, answer;

	hand_accepts(svc->in_hand, svc->index, l->fd);
	answer = listener_accept(l, &fd, &peer);
	if (answer == LISTENER_STARVED)
		serve_starved(svc, now_ms);
	else if (answer < 0)
		log_event(EV_INTERNAL, "where=accept why=%s", strerrorname_np(-answer));
	if (answer)
		hand_accepted(svc->in_hand);
	else
		serve_admit_consume(svc, l, fd, &peer, place, now_ms, wall_ms);
	return !answer;
}

static uint32_t places_of(const struct stash *st, unsigned count)
{
	uint32_t places = 0;

	for (unsigned i = 0; i < count; i++)
		places |= BIT(st->places[i]);
	return places;
}

static int send_offer(const struct service *svc, struct slot *s, unsigned count)
{
	struct msg_conn tagged = svc->stash.conns[0];

	if (!s->kind.is_adapted)
		return slot_offer(s, svc->stash.conns, svc->stash.fds, count);
	ASSERT(count == 1);
	tagged.slot = conns_tag(&svc->conns, tagged.slot);
	return slot_offer(s, &tagged, svc->stash.fds, 1);
}

/* Offers the first of the stash; on failure everything is as before and the answer is false. */
static bool offer(struct service *svc, struct slot *s, unsigned count, uint64_t now_ms)
{
	const struct msg_conn *conns = svc->stash.conns;
	int answer;

	for (unsigned i = 0; i < count; i++)
		assign(svc, conns[i].slot, s);
	hand_in_order();
	svc->book->handed += count;
	hand_in_order();
	s->book->given += count;
	answer = service_tell(svc, s);
	if (!answer)
		answer = send_offer(svc, s, count);
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

/* The copies go before the hand forgets them: killed in between, they are known to be given. */
static void let_go(struct service *svc, unsigned count)
{
	struct stash *st = &svc->stash;

	for (unsigned i = 0; i < count; i++) {
		close(st->fds[i]);
		hand_drop(svc->hand, st->places[i]);
	}
	st->count -= count;
	if (!st->count)
		return;
	memmove(st->conns, st->conns + count, st->count * sizeof(*st->conns));
	memmove(st->fds, st->fds + count, st->count * sizeof(*st->fds));
	memmove(st->places, st->places + count, st->count * sizeof(*st->places));
}

/* It came by a port that is being given up, and no server that listened there is left. */
static void drop_stranger(struct service *svc)
{
	struct msg_conn conn = svc->stash.conns[0];
	char text[ADDR_TEXT_BYTES];

	log_event(EV_CONN_REFUSED, "service=%s peer=%s why=port_given_up", svc->name,
		addr_format(&conn.peer, text));
	let_go(svc, 1);
	serve_source_closed(svc, &conn.peer);
	svc->book->refused++;
	conns_close(&svc->conns, conn.slot);
	svc->retry_ms = 0;
}

bool serve_give(struct service *svc, struct slot *s, unsigned count, uint64_t now_ms)
{
	bool given;

	if (svc->has_adapted)
		s = adapted_who_knows(svc, s, svc->stash.conns[0].listener);
	if (!s) {
		drop_stranger(svc);
		return true;
	}
	hand_offers(svc->hand, svc->book->handed, places_of(&svc->stash, count));
	given = offer(svc, s, count, now_ms);
	if (given)
		let_go(svc, count);
	hand_offered(svc->hand);
	svc->retry_ms = svc->stash.count ? now_ms + RETRY_MS : 0;
	return given;
}

/* Accepts up to want and gives them to s. Returns how many were taken from the kernel; *ret_more says
 * whether it makes sense to go on. */
static uint32_t take(struct service *svc, struct listener *l, struct slot *s, uint32_t want,
	uint64_t now_ms, bool *ret_more)
{
	uint64_t wall_ms = clock_wall_ms();
	uint32_t taken = 0;

	while (taken < want && svc->conns.open < svc->conns.count &&
		serve_accept(svc, l, svc->stash.count, now_ms, wall_ms)) /* it holds nothing else */
		taken++;
	*ret_more = want && taken == want;
	if (svc->stash.count && !serve_give(svc, s, svc->stash.count, now_ms))
		*ret_more = false;
	return taken;
}

/* True when nothing is stashed any more. */
static bool place_stash(struct service *svc, uint64_t now_ms)
{
	struct stash *st = &svc->stash;
	uint32_t slot, n;

	svc->retry_ms = now_ms + RETRY_MS;
	while (st->count && (n = pool_pick(svc->pool, MIN(st->count, svc->burst), &slot)))
		if (!serve_give(svc, &svc->slots[slot], n, now_ms))
			break;
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

	while (more && left && (n = pool_pick(svc->pool, MIN(left, svc->burst), &slot))) {
		struct slot *s = &svc->slots[slot];
		uint32_t taken = take(svc, l, s, MIN(n, slot_ring_room(s)), now_ms, &more);

		left -= MIN(left, taken);
	}
	svc->waiting += left - l->waiting;
	l->waiting = left;
}

uint32_t serve_room(const struct service *svc, uint32_t waiting, uint32_t *ret_slot)
{
	uint32_t n = pool_pick(svc->pool, MIN(waiting, svc->burst), ret_slot);

	return n ? MIN(n, slot_ring_room(&svc->slots[*ret_slot])) : 0;
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

/* Who comes may be served at once. */
static bool is_open(const struct service *svc)
{
	return serve_may(svc) && !svc->lent && !svc->held && !svc->stash.count && !line_count(svc);
}

/* After serving: tell the pool who still waits; pause when nobody has room for them. Who was refused just
 * now waited, too, for a worker that there might have been. */
static void after(struct service *svc, uint64_t now_ms)
{
	pool_waiting(svc->pool, svc->waiting + line_count(svc) + svc->full.refused, now_ms);
	svc->full.told = svc->full.refused;
	svc->full.refused = 0;
	if (line_count(svc))
		arm_all(svc, now_ms);
	if (line_count(svc))
		full_serve(svc, now_ms); /* somebody finished between the look and the arming */
	else if (svc->waiting && is_open(svc) && !full_refuses(svc) && !has_room(svc))
		hold(svc, now_ms);
}

uint64_t serve_due(const struct service *svc)
{
	uint64_t retry_ms = serve_may(svc) && svc->stash.count ? svc->retry_ms : 0;
	uint64_t full_ms = full_due(svc);

	if (svc->starved_until_ms)
		return svc->starved_until_ms;
	return retry_ms && full_ms ? MIN(retry_ms, full_ms) : retry_ms + full_ms;
}

void serve_resume(struct service *svc, uint64_t now_ms)
{
	bool again = svc->stash.count || line_count(svc) || svc->full.told;

	if (serve_may(svc) && svc->stash.count)
		place_stash(svc, now_ms);
	full_serve(svc, now_ms);
	if (svc->held && serve_may(svc) && has_room(svc)) {
		release(svc, now_ms);
		again = true;
	}
	if (again && is_open(svc)) {
		for (uint32_t i = 0; i < svc->listener_count && is_open(svc); i++)
			serve_listener(svc, &svc->listeners[i],
				listener_waiting(&svc->listeners[i]), now_ms);
	}
	if (again)
		after(svc, now_ms);
	poll_listeners(svc);
}

void serve_source_closed(struct service *svc, const struct addr *peer)
{
	struct source source = service_source(svc, peer);

	if (svc->sources && !service_exempt(svc, peer))
		sources_closed(svc->sources, &source);
}

void serve_let_down(struct service *svc, uint64_t now_ms)
{
	struct stash *st = &svc->stash;
	unsigned count;

	full_let_down(svc, now_ms);
	count = st->count;
	let_go(svc, count);
	for (unsigned i = 0; i < count; i++) {
		uint32_t conn = st->conns[i].slot;

		serve_source_closed(svc, &st->conns[i].peer);
		svc->book->handed++;
		svc->book->lost++;
		conns_close(&svc->conns, conn);
	}
	svc->retry_ms = 0;
	svc->waiting = 0;
	for (uint32_t i = 0; i < svc->listener_count; i++)
		svc->listeners[i].waiting = svc->listeners[i].alone = 0;
}

void serve_arrived(struct service *svc, struct listener *l, uint64_t now_ms)
{
	service_refresh_all(svc, now_ms);
	if (!serve_may(svc) || svc->lent)
		return;
	if (line_count(svc))
		full_serve(svc, now_ms);
	if (is_open(svc))
		serve_listener(svc, l, likely_waiting(l), now_ms);
	if (full_refuses(svc) && (l->waiting || !is_open(svc)))
		full_arrived(svc, l, now_ms);
	after(svc, now_ms);
}
