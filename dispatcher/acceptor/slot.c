/* A worker's page holds claims. Each is checked against what the acceptor itself gave: done <= taken
 * <= given, nothing goes back, and each slot in the ring was given to this worker and is open. A worker
 * that claims otherwise is a liar from then on: its page is not read again. */
#include "dispatcher/acceptor/slot.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/limits.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define QUIET_MS 30 /* from an adapted worker's read to its word of it, by far */

static void on_bell(uv_poll_t *poll, int status, int events)
{
	struct slot *s = poll->data;
	char rings[64];
	ssize_t got;

	do
		got = read(s->bell_fd, rings, sizeof(rings));
	while (got < 0 && errno == EINTR);
	if (!got) {
		uv_poll_stop(&s->poll);
		s->ops->hung_up(s);
		return;
	}
	s->armed = false;
	s->ops->rang(s);
}

static void unmap(struct slot *s)
{
	if (s->page)
		munmap(s->page, page_bytes(s->ring_len));
	if (s->bell)
		munmap(s->bell, sizeof(*s->bell));
	s->page = NULL;
	s->bell = NULL;
}

static int map(struct slot *s, int page_fd, int bell_fd)
{
	s->page = page_map(page_fd, page_bytes(s->ring_len), 0);
	if (s->page)
		s->bell = page_map(bell_fd, sizeof(*s->bell), 1);
	return s->bell ? 0 : -errno;
}

int slot_attach_consume(struct slot *s, uv_loop_t *loop, const int fds[SLOT_FDS], uint32_t ring_len,
	uint32_t serial, pid_t pid)
{
	OWNS_FD int chan = fds[0];
	OWNS_FD int page = fds[1];
	OWNS_FD int doorbell = fds[2];
	OWNS_FD int bell = fds[3];
	int error;

	ASSERT(!s->serial && !s->releasing);
	s->ring_len = ring_len;
	error = map(s, page, bell);
	if (!error)
		error = uv_poll_init(loop, &s->poll, doorbell);
	if (error) {
		unmap(s);
		return error;
	}
	s->poll.data = s;
	s->chan = base_steal_fd(&chan);
	s->bell_fd = base_steal_fd(&doorbell);
	s->serial = serial;
	s->pid = pid;
	s->asked_given = 0;
	s->hang = (struct hang){0};
	s->kind = (struct slot_kind){0};
	s->outside = (struct slot_outside){0};
	s->stale = (struct slot_stale){0};
	s->image_replaced = false;
	s->cutting = POOL_NO_REASON;
	s->exited = s->liar = s->armed = s->unsettled = s->killed = false;
	uv_poll_start(&s->poll, UV_READABLE, on_bell);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct slot *s = handle->data;

	base_close(&s->chan);
	base_close(&s->bell_fd);
	unmap(s);
	s->releasing = false;
	s->ops->released(s);
}

void slot_release(struct slot *s)
{
	ASSERT(s->serial && !s->releasing);
	s->releasing = true;
	uv_close((uv_handle_t *)&s->poll, on_closed);
}

uint32_t slot_open(const struct slot *s)
{
	return (uint32_t)(s->book->given - s->book->done - (uint64_t)s->book->freed);
}

uint64_t slot_served(const struct slot *s)
{
	return s->book->done + (uint64_t)s->book->freed;
}

static const char *find_lie(const struct slot *s, const struct page_claims *c)
{
	if (c->done > c->taken)
		return "done_exceeds_taken";
	if (c->taken > s->book->given)
		return "taken_exceeds_given";
	if (c->done < s->book->done || c->taken + s->book->untold < s->book->taken)
		return "count_went_back";
	return NULL;
}

static void finish(struct slot *s, struct conns *conns, uint32_t conn, uint32_t *ret_count)
{
	s->ops->finished(s, conn);
	conns_close(conns, conn);
	++*ret_count;
}

/* An adapted worker names tags, and may name one that the kernel has named before. */
static void settle_tag(struct slot *s, struct conns *conns, uint32_t tag, uint32_t *ret_count)
{
	uint32_t conn = conns_tagged(conns, tag);

	if (conns_of(conns, conn, s->index))
		finish(s, conns, conn, ret_count);
	else
		s->book->freed--;
}

/* Where reports may fail to come, more may come late than the ring has room for. */
static bool skip_overrun(struct slot *s, uint64_t done)
{
	uint64_t behind = done - s->book->done;

	if (!s->kind.is_adapted || behind <= s->ring_len)
		return false;
	s->book->freed -= (int64_t)(behind - s->ring_len);
	s->book->done = done - s->ring_len;
	return true;
}

/* Frees the connections that the ring names; the first that is not this worker's ends it. */
static const char *settle_done(struct slot *s, struct conns *conns, uint64_t done, uint32_t *ret_count)
{
	for (; s->book->done < done; s->book->done++) {
		uint32_t slot = page_done_slot(s->page, s->ring_len, s->book->done);

		if (s->kind.is_adapted) {
			settle_tag(s, conns, slot, ret_count);
			continue;
		}
		if (!conns_of(conns, slot, s->index))
			return "not_its_connection";
		finish(s, conns, slot, ret_count);
	}
	return NULL;
}

/* Somebody did say after all that he had read. */
static uint64_t taken_of(struct slot *s, const struct page_claims *c)
{
	struct ledger_worker *b = s->book;

	if (b->untold && c->taken + b->untold > b->given)
		b->untold = b->given - MIN(c->taken, b->given);
	return MAX(c->taken + b->untold, b->taken);
}

static void believe(struct slot *s, struct conns *conns, const struct page_claims *c,
	struct slot_news *news)
{
	uint64_t taken = taken_of(s, c);

	news->taken = (uint32_t)(taken - s->book->taken);
	s->book->taken = taken;
	news->overrun = skip_overrun(s, c->done);
	news->lie = settle_done(s, conns, c->done, &news->done);
	s->outside.most_served = MAX(s->outside.most_served, slot_open(s) - (s->book->given - taken));
}

bool slot_has_read(const struct slot *s)
{
	int unread = 0;

	return ioctl(s->chan, SIOCOUTQ, &unread) == 0 && !unread;
}

/* What it was sent by the last acceptor it has read when its channel is empty; and said so, once a while
 * has passed. */
static bool has_settled(struct slot *s, const struct page_claims *c, uint64_t now_ms)
{
	struct slot_outside *o = &s->outside;

	if (!slot_has_read(s)) {
		o->quiet_ms = 0;
		return false;
	}
	if (c->taken + s->book->untold >= s->book->given)
		return true;
	if (!o->quiet_ms || o->quiet_taken != c->taken) {
		o->quiet_ms = now_ms;
		o->quiet_taken = c->taken;
	}
	return now_ms - o->quiet_ms >= QUIET_MS;
}

/* It cannot be asked: one that was robbed reads again when it goes on, or was seen to live. */
static bool has_answered(struct slot *s, const struct page_claims *c, uint64_t now_ms)
{
	const struct slot_outside *o = &s->outside;

	if (!s->kind.is_adapted)
		return s->book->asked && c->beat == s->book->asked;
	if (s->unsettled)
		return has_settled(s, c, now_ms);
	return o->seen || (o->robbed_ms && s->book->taken + slot_served(s) != o->robbed_sum);
}

void slot_refresh(struct slot *s, struct conns *conns, uint64_t now_ms, struct slot_news *ret_news)
{
	struct page_claims c;

	*ret_news = (struct slot_news){0};
	if (s->liar || !s->page)
		return;
	page_read(s->page, &c);
	ret_news->ready = c.ready;
	ret_news->answered = has_answered(s, &c, now_ms);
	if (ret_news->answered && !s->kind.is_adapted && !s->unsettled && c.taken < s->asked_given)
		ret_news->lie = "read_and_did_not_say";
	else if (c.done == s->book->done && c.taken + s->book->untold == s->book->taken)
		return;
	else
		ret_news->lie = find_lie(s, &c);
	if (!ret_news->lie)
		believe(s, conns, &c, ret_news);
	s->liar = ret_news->lie;
}

bool slot_freed(struct slot *s, struct conns *conns, uint32_t conn)
{
	struct ledger_worker *b = s->book;
	uint32_t count = 0;

	finish(s, conns, conn, &count);
	b->freed++;
	if (b->given - b->taken <= slot_open(s))
		return false;
	b->taken++; /* whoever read it ended before it could say so */
	b->untold++;
	return true;
}

void slot_arm(struct slot *s)
{
	if (s->armed)
		return;
	s->armed = true;
	page_arm(s->bell);
}

static int answer_of(int answer)
{
	if (answer == CHAN_FULL)
		return SLOT_FULL;
	return answer == CHAN_GONE ? SLOT_GONE : answer;
}

static int send_message(struct slot *s, struct msg_writer *w, const int *fds, unsigned count)
{
	int64_t len = msg_end(w);

	if (len < 0)
		return (int)len;
	return answer_of(chan_send(s->chan, w->buf, (size_t)len, fds, count));
}

int slot_offer(struct slot *s, const struct msg_conn *conns, const int *fds, unsigned count)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer w;

	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	for (unsigned i = 0; i < count; i++)
		msg_put_conn(&w, &conns[i]);
	return send_message(s, &w, fds, count);
}

int slot_tell(struct slot *s, const struct limits *limits)
{
	return s->kind.is_adapted ? 0 : answer_of(limits_send(limits, s->chan));
}

uint32_t slot_ring_room(const struct slot *s)
{
	uint32_t open = slot_open(s);

	return open < s->ring_len ? s->ring_len - open : 0;
}

int slot_ping(struct slot *s)
{
	uint8_t buf[64];
	struct msg_writer w;

	if (s->kind.is_adapted)
		return 0;
	s->book->asked++;
	s->asked_given = s->book->given;
	msg_begin(&w, buf, sizeof(buf), MSG_PING);
	msg_put_u64(&w, MSG_NONCE, s->book->asked);
	return send_message(s, &w, NULL, 0);
}

int slot_retire(struct slot *s, uint64_t ms_left)
{
	uint8_t buf[64];
	struct msg_writer w;

	if (s->kind.is_adapted)
		return 0; /* adapted_look() lets it go, once it has nothing left */
	msg_begin(&w, buf, sizeof(buf), MSG_RETIRE);
	msg_put_u64(&w, MSG_DEADLINE, ms_left);
	return send_message(s, &w, NULL, 0);
}

int slot_reopen(struct slot *s)
{
	uint8_t buf[64];
	struct msg_writer w;

	if (s->kind.is_adapted)
		return 0;
	msg_begin(&w, buf, sizeof(buf), MSG_REOPEN);
	return send_message(s, &w, NULL, 0);
}

uint64_t slot_drain_ms(const struct slot *s)
{
	if (!s->stale.why || s->stale.drain_ms == UINT64_MAX)
		return 0;
	return MAX(s->stale.drain_ms, 1u);
}
