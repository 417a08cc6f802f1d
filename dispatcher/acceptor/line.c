/* In which order things happen, so that a client is in the channel or in hand at any time, or in both
 * but never nowhere:
 *
 *     in:  send, enter as queued, close our copy, out of the hand
 *     out: peek, into the hand, take the message out, enter as open
 *
 * Killed where it is in both, it is known by its connection slot, and the copy in the channel counts. */
#include "dispatcher/acceptor/line.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/log.h"
#include "dispatcher/acceptor/service.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define LINE_VERSION 1
#define PEEK_AT_HEAD (-1)

struct line_record {
	uint32_t version, conn;
	uint64_t accepted_ms;
};

uint32_t line_count(const struct service *svc)
{
	return svc->line ? svc->line->queue.count : 0;
}

static void limit(struct service *svc)
{
	bool refuses = svc->set->when_full == FULL_REFUSE;

	queue_init(&svc->line->queue, svc->line->ring, refuses ? svc->set->queue_size : 0,
		refuses ? svc->set->queue_ms : QUEUE_NEVER);
}

int line_open_consume(struct service *svc, const int ends[2])
{
	struct line *line = svc->line ? NULL : calloc(1, sizeof(*line));

	if (!line) {
		close(ends[0]);
		close(ends[1]);
		return svc->line ? 0 : -ENOMEM;
	}
	svc->line = line;
	svc->line->in = ends[0];
	svc->line->out = ends[1];
	limit(svc);
	return 0;
}

/* --- one client --- */

/* Looks at the head without its descriptor, or (ret_fd) with a copy of it. */
static bool peek(const struct line *l, struct line_record *ret_record, int *ret_fd)
{
	int fds[CHAN_MAX_FDS];
	unsigned count = 0;
	size_t len = 0;

	if (!ret_fd)
		return recv(l->out, ret_record, sizeof(*ret_record), MSG_PEEK | MSG_DONTWAIT) ==
			(ssize_t)sizeof(*ret_record);
	if (chan_peek(l->out, ret_record, sizeof(*ret_record), &len, fds, CHAN_MAX_FDS, &count) || !count)
		return false;
	*ret_fd = fds[0];
	while (count > 1)
		close(fds[--count]);
	return true;
}

static void take_out(const struct line *l)
{
	struct line_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count = 0;
	size_t len;

	if (!chan_recv(l->out, &r, sizeof(r), &len, fds, CHAN_MAX_FDS, &count))
		while (count)
			close(fds[--count]);
}

static bool send_in(const struct line *l, uint32_t conn, uint64_t accepted_ms, int fd)
{
	struct line_record r = {.version = LINE_VERSION, .conn = conn, .accepted_ms = accepted_ms};

	return !chan_send(l->in, &r, sizeof(r), &fd, 1);
}

static bool is_ours(const struct service *svc, const struct line_record *r)
{
	const struct ledger_conn *c;

	if (r->version != LINE_VERSION || r->conn >= svc->conns.count)
		return false;
	c = &svc->conns.table[r->conn];
	return c->phase != LEDGER_FREE && c->worker == CONNS_NONE && c->accepted_ms == r->accepted_ms;
}

/* What the ledger does not know is in nobody's books. */
static void drop_unknown(struct line *l)
{
	while (l->queue.count && queue_head(&l->queue).conn == CONNS_NONE) {
		take_out(l);
		queue_left(&l->queue);
	}
}

/* The head out of the channel and into the hand, at ret_place. */
static bool fetch(struct service *svc, struct queue_entry *ret_entry, int *ret_fd, unsigned *ret_place)
{
	struct line *l = svc->line;
	struct line_record r;

	*ret_place = hand_free_place(svc->hand);
	drop_unknown(l);
	if (!l->queue.count || *ret_place == HAND_PLACES || !peek(l, &r, ret_fd))
		return false;
	hand_put(svc->hand, *ret_place, *ret_fd, queue_head(&l->queue).conn);
	take_out(l);
	*ret_entry = queue_left(&l->queue);
	return true;
}

/* Out of the hand again, which now has only a copy. */
static void queued(struct service *svc, const struct queue_entry *entry, int fd, unsigned place)
{
	svc->conns.table[entry->conn].phase = LEDGER_QUEUED;
	queue_joined(&svc->line->queue, entry->conn, entry->since_ms);
	close(fd);
	hand_drop(svc->hand, place);
}

static void stash(struct service *svc, const struct queue_entry *entry, int fd, unsigned place)
{
	svc->conns.table[entry->conn].phase = LEDGER_OPEN;
	service_stash(svc, fd, entry->conn, place);
}

bool line_take(struct service *svc)
{
	struct queue_entry entry;
	unsigned place;
	int fd;

	if (svc->stash.count == HAND_PLACES || !fetch(svc, &entry, &fd, &place))
		return false;
	stash(svc, &entry, fd, place);
	return true;
}

bool line_join(struct service *svc)
{
	struct stash *st = &svc->stash;
	unsigned last = st->count - 1;
	struct queue_entry entry = {st->conns[last].slot, st->conns[last].accepted_ms};

	if (!svc->line || svc->line->queue.count == QUEUE_MOST ||
		!send_in(svc->line, entry.conn, entry.since_ms, st->fds[last]))
		return false;
	st->count--;
	queued(svc, &entry, st->fds[last], st->places[last]);
	return true;
}

bool line_turn(struct service *svc)
{
	struct queue_entry entry;
	unsigned place;
	int fd;

	if (svc->stash.count == HAND_PLACES || !fetch(svc, &entry, &fd, &place))
		return false;
	if (send_in(svc->line, entry.conn, entry.since_ms, fd))
		queued(svc, &entry, fd, place);
	else
		stash(svc, &entry, fd, place);
	return true;
}

/* --- a take-over --- */

/* Between two messages of the channel peeking can go on where it was (SO_PEEK_OFF, socket(7)). Nothing is
 * moved, so nothing can be cut short. */
static void walk(struct service *svc)
{
	struct line *l = svc->line;
	struct line_record r;
	int from = 0, head = PEEK_AT_HEAD;

	setsockopt(l->out, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof(from));
	while (l->queue.count < QUEUE_MOST && peek(l, &r, NULL)) {
		bool known = is_ours(svc, &r);

		if (known)
			svc->conns.table[r.conn].phase = LEDGER_QUEUED;
		else
			log_event(EV_INTERNAL, "where=queue why=EBADMSG");
		queue_joined(&l->queue, known ? r.conn : CONNS_NONE, r.accepted_ms);
	}
	setsockopt(l->out, SOL_SOCKET, SO_PEEK_OFF, &head, sizeof(head));
}

void line_begin(struct service *svc)
{
	if (!svc->line)
		return;
	for (uint32_t i = 0; i < svc->conns.count; i++)
		if (svc->conns.table[i].phase == LEDGER_QUEUED)
			svc->conns.table[i].phase = LEDGER_OPEN;
	walk(svc);
	for (uint32_t skew = queue_skew(&svc->line->queue); skew; skew--)
		if (!line_turn(svc))
			return;
}
