/* Everybody passes through the stash, on the way in as well as out, and so is in hand whenever not in
 * the channel: a client is accepted into the stash; from there into the queue, or turned away; it comes
 * back from the queue into the stash; from there to a worker, or is turned away.
 *
 * A client that left while it waited costs no worker: its connection was reset, or it has closed it, or
 * its half of it, and nothing that it sent is unread. Who has sent something may wait for an answer. */
#include "dispatcher/acceptor/full.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/endings.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/serve.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#define A_TURN 64 /* clients; then others have theirs */
#define LOG_EVERY_MS 60000

enum away { AWAY_FULL, AWAY_LATE, AWAY_LEFT, AWAY_CLOSED };

bool full_refuses(const struct service *svc)
{
	return svc->set->when_full == FULL_REFUSE;
}

bool full_accepts(const struct service *svc)
{
	return full_refuses(svc) && hand_free_place(svc->hand) < HAND_PLACES &&
		svc->conns.open < svc->conns.count;
}

/* --- turning away --- */

static bool has_left(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	int unread = 0;

	if (poll(&p, 1, 0) <= 0)
		return false;
	return p.revents & POLLERR || (ioctl(fd, FIONREAD, &unread) == 0 && !unread);
}

static void count_away(struct service *svc, enum away why)
{
	struct ledger_service *b = svc->book;

	b->refused += why != AWAY_LEFT;
	b->refused_full += why == AWAY_FULL;
	b->refused_late += why == AWAY_LATE;
	b->left += why == AWAY_LEFT;
	svc->full.full += why == AWAY_FULL || why == AWAY_CLOSED;
	svc->full.late += why == AWAY_LATE;
	svc->full.left += why == AWAY_LEFT;
	svc->full.refused += why == AWAY_FULL;
}

/* The i-th of the stash out of all tables. From the first line to the last nothing but memory changes;
 * only then is it told anything, so that nobody is who has been told. */
static int forget(struct service *svc, unsigned i, unsigned ending, enum away why)
{
	struct stash *st = &svc->stash;
	struct msg_conn conn = st->conns[i];
	unsigned behind = --st->count - i;
	int fd = st->fds[i];

	endings_put(svc->endings, ending, fd);
	hand_drop(svc->hand, st->places[i]);
	count_away(svc, why);
	serve_source_closed(svc, &conn.peer);
	conns_close(&svc->conns, conn.slot);
	memmove(st->conns + i, st->conns + i + 1, behind * sizeof(*st->conns));
	memmove(st->fds + i, st->fds + i + 1, behind * sizeof(*st->fds));
	memmove(st->places + i, st->places + i + 1, behind * sizeof(*st->places));
	return fd;
}

/* Words of the service's protocol would only puzzle who begins with TLS, or is not there. */
static bool is_told(const struct service *svc, uint32_t listener, enum away why)
{
	return why != AWAY_LEFT && listener < svc->listener_count &&
		!settings_listeners(svc->settings, svc->set)[listener].tls;
}

static void turn_away(struct service *svc, unsigned i, enum away why)
{
	bool told = is_told(svc, svc->stash.conns[i].listener, why);
	unsigned ending = endings_place(svc->endings);
	int fd = forget(svc, i, ending, why);

	refusal_say(fd, svc->full.text, told ? svc->full.len : 0);
	endings_begin(svc->endings, ending);
}

static void turn_last_away(struct service *svc, enum away why)
{
	turn_away(svc, svc->stash.count - 1, why);
}

/* One line at once, then one a minute with all that came in it. */
static void log_refusals(struct service *svc, bool at_once, uint64_t now_ms)
{
	struct full *f = &svc->full;

	if (!(f->full | f->late | f->left) ||
		(!at_once && f->logged_ms && now_ms < f->logged_ms + LOG_EVERY_MS))
		return;
	log_event(EV_SERVICE_FULL, "service=%s refused=%u late=%u left=%u waiting=%u why=%s", svc->name,
		f->full, f->late, f->left, line_count(svc),
		pool_count(svc->pool, POOL_SERVING) ? "all_workers_full" : "no_worker_ready");
	f->full = f->late = f->left = 0;
	f->logged_ms = now_ms;
}

/* --- out of the queue --- */

static bool take(struct service *svc, uint64_t now_ms)
{
	uint64_t waited_ms = now_ms - MIN(now_ms, queue_head(&svc->line->queue).since_ms);

	if (!line_take(svc)) {
		if (line_count(svc))
			serve_starved(svc, now_ms);
		return false;
	}
	svc->book->longest_ms = MAX(svc->book->longest_ms, waited_ms);
	return true;
}

/* Up to as many as fit go to one worker together. False: nobody has gone anywhere. */
static bool serve_some(struct service *svc, uint64_t now_ms)
{
	uint32_t slot, before = line_count(svc), n = serve_room(svc, before, &slot);

	while (svc->stash.count < n && line_count(svc) && take(svc, now_ms))
		if (has_left(svc->stash.fds[svc->stash.count - 1]))
			turn_last_away(svc, AWAY_LEFT);
	if (svc->stash.count)
		return serve_give(svc, &svc->slots[slot], svc->stash.count, now_ms);
	return line_count(svc) < before;
}

static bool refuse_late(struct service *svc, uint64_t now_ms)
{
	if (!take(svc, now_ms))
		return false;
	turn_last_away(svc, has_left(svc->stash.fds[svc->stash.count - 1]) ? AWAY_LEFT : AWAY_LATE);
	return true;
}

/* What was saved for this service by another acceptor waits in the stash, and not for ever either. */
static void refuse_stashed(struct service *svc, uint64_t now_ms)
{
	if (!full_refuses(svc))
		return;
	for (unsigned i = svc->stash.count; i-- > 0;)
		if (now_ms >= svc->stash.conns[i].accepted_ms + svc->set->queue_ms)
			turn_away(svc, i, AWAY_LATE);
}

/* Those in the stash were accepted before, or are the last that a dead acceptor had in hand: first they. */
static bool has_room(struct service *svc)
{
	uint32_t slot;

	return serve_may(svc) && !svc->stash.count && serve_room(svc, 1, &slot);
}

static bool one_turn(struct service *svc, uint64_t now_ms)
{
	switch (queue_next(&svc->line->queue, has_room(svc), now_ms)) {
	case QUEUE_SERVES:
		return serve_some(svc, now_ms);
	case QUEUE_LATE:
		return refuse_late(svc, now_ms);
	case QUEUE_RESTS:
		break;
	}
	return false;
}

void full_serve(struct service *svc, uint64_t now_ms)
{
	if (svc->theft.victim || svc->starved_until_ms)
		return;
	if (svc->stash.count)
		refuse_stashed(svc, now_ms);
	for (unsigned i = 0; i < A_TURN && line_count(svc); i++)
		if (!one_turn(svc, now_ms))
			break;
	if (svc->pool)
		log_refusals(svc, false, now_ms);
}

/* --- into the queue --- */

/* All of it is turned round once; who has left stays out. */
static void weed(struct service *svc, uint64_t now_ms)
{
	for (uint32_t left = line_count(svc); left && line_take(svc); left--)
		if (has_left(svc->stash.fds[svc->stash.count - 1]))
			turn_last_away(svc, AWAY_LEFT);
		else if (!line_join(svc))
			break;
	queue_weeded(&svc->line->queue, now_ms);
}

static enum queue_verdict judge(struct service *svc, uint64_t now_ms)
{
	enum queue_verdict verdict = svc->line ? queue_judge(&svc->line->queue, now_ms) : QUEUE_FULL;

	if (verdict != QUEUE_CROWDED)
		return verdict;
	weed(svc, now_ms);
	return queue_judge(&svc->line->queue, now_ms);
}

/* The last of the stash was just accepted. */
static void wait_or_go(struct service *svc, enum queue_verdict verdict)
{
	struct ledger_service *b = svc->book;

	if (verdict == QUEUE_JOINS && line_join(svc))
		b->queue_peak = MAX(b->queue_peak, line_count(svc));
	else
		turn_last_away(svc, AWAY_FULL);
}

/* False: nobody was accepted. */
static bool accept_one(struct service *svc, struct listener *l, uint64_t now_ms)
{
	enum queue_verdict verdict = judge(svc, now_ms);
	unsigned before = svc->stash.count;

	if (!full_accepts(svc) ||
		!serve_accept(svc, l, hand_free_place(svc->hand), now_ms, clock_wall_ms()))
		return false;
	if (svc->stash.count > before)
		wait_or_go(svc, verdict);
	return true;
}

void full_arrived(struct service *svc, struct listener *l, uint64_t now_ms)
{
	uint32_t left = listener_waiting(l);

	for (unsigned i = 0; i < A_TURN && left && accept_one(svc, l, now_ms); i++)
		left--;
	svc->waiting += left - l->waiting;
	l->waiting = left;
	log_refusals(svc, false, now_ms);
}

/* --- the end --- */

void full_let_down(struct service *svc, uint64_t now_ms)
{
	while (full_refuses(svc) && svc->stash.count)
		turn_last_away(svc, AWAY_CLOSED);
	while (line_count(svc) && line_take(svc))
		turn_last_away(svc, AWAY_CLOSED);
	if (svc->pool)
		log_refusals(svc, true, now_ms);
}

uint64_t full_due(const struct service *svc)
{
	const struct full *f = &svc->full;
	uint64_t due = f->full | f->late | f->left ? f->logged_ms + LOG_EVERY_MS : CLOCK_NEVER;

	if (svc->theft.victim)
		return 0;
	if (svc->line)
		due = MIN(due, queue_deadline(&svc->line->queue));
	return due == CLOCK_NEVER ? 0 : due;
}
