/* What belongs to one service, and how the reports of its workers are read into pool and books.
 *
 * The list `busy` holds the workers whose page can say something new: they have connections, start, or
 * owe an answer. Under load their pages are read with each batch and no bell is armed; when it becomes
 * quiet, a tick arms the bells and the process sleeps. */
#include "dispatcher/acceptor/service.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/rescue.h"

#include <string.h>

const struct pool_worker *service_pool_worker(const struct slot *s)
{
	const struct service *svc = s->owner;

	return pool_worker(svc->pool, s->index);
}

void service_note(struct slot *s)
{
	const struct pool_worker *w = service_pool_worker(s);

	s->book->state = w->state;
	s->book->reason = w->reason;
	s->book->peak = w->peak;
	s->book->retired_ms = w->state == POOL_RETIRING || w->state == POOL_KILLED ? w->retired_ms : 0;
}

void service_watch(struct service *svc, struct slot *s)
{
	if (s->busy)
		return;
	s->busy = true;
	s->busy_prev = NULL;
	s->busy_next = svc->busy;
	if (svc->busy)
		svc->busy->busy_prev = s;
	svc->busy = s;
}

void service_unwatch(struct service *svc, struct slot *s)
{
	if (!s->busy)
		return;
	s->busy = false;
	if (s->busy_prev)
		s->busy_prev->busy_next = s->busy_next;
	else
		svc->busy = s->busy_next;
	if (s->busy_next)
		s->busy_next->busy_prev = s->busy_prev;
}

/* A worker that has nothing, and owes nothing, has nothing to report. */
static bool may_report(const struct slot *s)
{
	const struct pool_worker *w = service_pool_worker(s);

	return w->load || w->state == POOL_STARTING || w->state == POOL_SUSPECT || s->unsettled;
}

bool service_exempt(const struct service *svc, const struct addr *peer)
{
	const struct settings_prefix *p = settings_list_data(svc->settings, svc->set->exempt_sources);

	if (peer->family != AF_INET && peer->family != AF_INET6)
		return true;
	for (uint32_t i = 0; i < svc->set->exempt_sources.count; i++)
		if (addr_in_prefix(peer, &p[i].addr, p[i].bits))
			return true;
	return false;
}

struct source service_source(const struct service *svc, const struct addr *peer)
{
	struct addr masked = *peer;
	struct source source = {.family = peer->family};

	addr_mask(&masked, peer->family == AF_INET ? svc->set->source_prefix4 : svc->set->source_prefix6);
	memcpy(source.ip, masked.ip, sizeof(source.ip));
	return source;
}

static void log_end(const struct service *svc, const struct ledger_conn *c)
{
	char peer[ADDR_TEXT_BYTES];
	const struct slot *s = &svc->slots[c->worker];

	log_event(EV_CONN_END, "service=%s peer=%s listener=%s worker=%s/%u duration_ms=%llu", svc->name,
		addr_format(&c->peer, peer), svc->listeners[c->listener].name, svc->name, s->serial,
		(unsigned long long)(clock_mono_ms() - c->accepted_ms));
}

/* Whoever must know which clients were let down finds them here, whatever LOG_CONNECTIONS says. */
static void log_cut(const struct service *svc, const struct ledger_conn *c)
{
	char peer[ADDR_TEXT_BYTES];
	const struct slot *s = &svc->slots[c->worker];
	enum pool_reason reason = s->cutting ? s->cutting : service_pool_worker(s)->reason;

	log_event(EV_CONN_CUT, "service=%s peer=%s listener=%s worker=%s/%u duration_ms=%llu reason=%s",
		svc->name, addr_format(&c->peer, peer), svc->listeners[c->listener].name, svc->name,
		s->serial, (unsigned long long)(clock_mono_ms() - c->accepted_ms),
		pool_reason_name(reason));
}

void service_finished(struct service *svc, uint32_t conn, bool lost)
{
	const struct ledger_conn *c = &svc->conns.table[conn];

	if (lost || svc->slots[c->worker].cutting)
		log_cut(svc, c);

	if (lost)
		svc->book->lost++;
	if (svc->set->log_connections)
		log_end(svc, c);
	if (svc->sources && !service_exempt(svc, &c->peer)) {
		struct source source = service_source(svc, &c->peer);

		sources_closed(svc->sources, &source);
	}
}

static void became_ready(struct service *svc, struct slot *s, uint64_t now_ms)
{
	uint64_t took_ms = now_ms - s->book->created_ms;

	s->wall_ready_ms = clock_wall_ms();
	svc->unfit[0] = '\0';
	pool_ready(svc->pool, s->index, now_ms);
	log_event(EV_WORKER_READY, "worker=%s/%u pid=%d took_ms=%llu", svc->name, s->serial, s->pid,
		(unsigned long long)took_ms);
}

/* A worker that was taken over has answered: it has read everything before the ping, so what it has
 * not taken was never sent, and goes to another if it was saved. */
static void reconcile(struct service *svc, struct slot *s, uint64_t now_ms)
{
	/* One that was found to lie may have claimed more than is left to it. */
	uint32_t unsent = s->liar ? 0 : (uint32_t)(s->book->given - s->book->taken);

	s->unsettled = false;
	for (uint32_t i = 0; i < unsent; i++) {
		uint32_t conn = conns_newest_of(&svc->conns, s->index);

		if (rescue_unsent(svc, conn, now_ms))
			continue;
		service_finished(svc, conn, true);
		conns_close(&svc->conns, conn);
	}
	s->book->given -= unsent;
	s->asked_given = s->book->given;
	if (unsent) {
		pool_taken(svc->pool, s->index, unsent, now_ms);
		pool_done(svc->pool, s->index, unsent, now_ms);
	}
}

static void answered(struct service *svc, struct slot *s, uint64_t now_ms)
{
	if (s->unsettled)
		reconcile(svc, s, now_ms);
	if (service_pool_worker(s)->state == POOL_SUSPECT)
		pool_answered(svc->pool, s->index, now_ms);
}

void service_lied(struct service *svc, struct slot *s, const char *claim, uint64_t now_ms)
{
	s->liar = true;
	log_event(EV_WORKER_FALSE_REPORT, "worker=%s/%u pid=%d claim=%s", svc->name, s->serial, s->pid,
		claim);
	pool_lied(svc->pool, s->index, now_ms);
}

/* Who began later has opened them later. What finds the channel full is said when the worker has read
 * something. */
static void reopen_logs(const struct service *svc, struct slot *s)
{
	struct ledger_worker *b = s->book;

	if (svc->reopened_ms > MAX(b->reopened_ms, b->created_ms) && !s->exited && !slot_reopen(s))
		b->reopened_ms = svc->reopened_ms;
}

void service_refresh(struct service *svc, struct slot *s, uint64_t now_ms)
{
	struct slot_news news;

	if (svc->theft.victim)
		return; /* what the thief moves is not in the books yet */
	slot_refresh(s, &svc->conns, now_ms, &news);
	if (news.taken || news.done)
		log_debug(LOG_CHANNEL, "worker=%s/%u taken=%u done=%u", svc->name, s->serial, news.taken,
			news.done);
	if (news.taken || news.done || news.answered)
		hang_alive(&s->hang, now_ms);
	if (news.taken)
		pool_taken(svc->pool, s->index, news.taken, now_ms);
	if (news.done)
		pool_done(svc->pool, s->index, news.done, now_ms);
	if (news.ready && service_pool_worker(s)->state == POOL_STARTING)
		became_ready(svc, s, now_ms);
	if (news.answered && !news.lie)
		answered(svc, s, now_ms);
	if (news.overrun)
		svc->ops->doubt(svc);
	if (news.lie)
		service_lied(svc, s, news.lie, now_ms);
	reopen_logs(svc, s);
	service_note(s);
	if (s->liar || !may_report(s))
		service_unwatch(svc, s);
}

void service_reopen_logs(struct service *svc)
{
	for (uint32_t i = 0; i < svc->slot_count; i++)
		if (svc->slots[i].serial && !svc->slots[i].releasing)
			reopen_logs(svc, &svc->slots[i]);
}

void service_refresh_all(struct service *svc, uint64_t now_ms)
{
	struct slot *next;

	for (struct slot *s = svc->busy; s; s = next) {
		next = s->busy_next;
		service_refresh(svc, s, now_ms);
	}
}

int service_tell(struct service *svc, struct slot *s)
{
	int answer;

	if (s->book->told == svc->limits.digest)
		return 0;
	answer = slot_tell(s, &svc->limits);
	if (!answer)
		s->book->told = svc->limits.digest;
	return answer;
}

void service_ask(struct service *svc, struct slot *s)
{
	service_tell(svc, s); /* if not now, then with the next offer */
	reopen_logs(svc, s);
	slot_ping(s);
	service_watch(svc, s);
	slot_arm(s);
}

void service_stash(struct service *svc, int fd, uint32_t conn, unsigned place)
{
	const struct ledger_conn *c = &svc->conns.table[conn];
	struct stash *st = &svc->stash;

	st->conns[st->count] = (struct msg_conn){.slot = conn,
		.listener = c->listener,
		.accepted_ms = c->accepted_ms,
		.peer = c->peer,
		.local = c->listener < svc->listener_count ? svc->listeners[c->listener].local :
							      (struct addr){0}};
	st->fds[st->count] = fd;
	st->places[st->count++] = (uint8_t)place;
}

bool service_settled(const struct service *svc)
{
	const struct pool_worker *w;

	if (svc->theft.victim || svc->stash.count || !svc->active)
		return false;
	if (!svc->pool)
		return true;
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		w = pool_worker(svc->pool, i);
		if (w->state == POOL_STARTING || w->state == POOL_SUSPECT || w->state == POOL_EXITED ||
			w->unread || (w->state == POOL_RETIRING && !w->load) || svc->slots[i].unsettled)
			return false;
	}
	return !svc->waiting || svc->held;
}
