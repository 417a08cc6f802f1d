/* A worker's page holds claims. Each is checked against what the acceptor itself gave: done <= taken
 * <= given, nothing goes back, and each slot in the ring was given to this worker and is open. A worker
 * that claims otherwise is a liar from then on: its page is not read again. */
#include "dispatcher/acceptor/slot.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/limits.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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

static const char *find_lie(const struct slot *s, const struct page_claims *c)
{
	if (c->done > c->taken)
		return "done_exceeds_taken";
	if (c->taken > s->book->given)
		return "taken_exceeds_given";
	if (c->done < s->book->done || c->taken < s->book->taken)
		return "count_went_back";
	return NULL;
}

/* Frees the connections that the ring names; the first that is not this worker's ends it. */
static const char *settle_done(struct slot *s, struct conns *conns, uint64_t done, uint32_t *ret_count)
{
	for (; s->book->done < done; s->book->done++) {
		uint32_t slot = page_done_slot(s->page, s->ring_len, s->book->done);

		if (!conns_of(conns, slot, s->index))
			return "not_its_connection";
		s->ops->finished(s, slot);
		conns_close(conns, slot);
		++*ret_count;
	}
	return NULL;
}

void slot_refresh(struct slot *s, struct conns *conns, struct slot_news *ret_news)
{
	struct page_claims c;

	*ret_news = (struct slot_news){0};
	if (s->liar || !s->page)
		return;
	page_read(s->page, &c);
	ret_news->ready = c.ready;
	ret_news->answered = s->book->asked && c.beat == s->book->asked;
	if (ret_news->answered && !s->unsettled && c.taken < s->asked_given)
		ret_news->lie = "read_and_did_not_say";
	else if (c.done == s->book->done && c.taken == s->book->taken)
		return;
	else
		ret_news->lie = find_lie(s, &c);
	if (!ret_news->lie) {
		ret_news->taken = (uint32_t)(c.taken - s->book->taken);
		s->book->taken = c.taken;
		ret_news->lie = settle_done(s, conns, c.done, &ret_news->done);
	}
	s->liar = ret_news->lie;
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
	return answer_of(limits_send(limits, s->chan));
}

uint32_t slot_ring_room(const struct slot *s)
{
	uint64_t open = s->book->given - s->book->done;

	return open < s->ring_len ? (uint32_t)(s->ring_len - open) : 0;
}

int slot_ping(struct slot *s)
{
	uint8_t buf[64];
	struct msg_writer w;

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

	msg_begin(&w, buf, sizeof(buf), MSG_RETIRE);
	msg_put_u64(&w, MSG_DEADLINE, ms_left);
	return send_message(s, &w, NULL, 0);
}

int slot_reopen(struct slot *s)
{
	uint8_t buf[64];
	struct msg_writer w;

	msg_begin(&w, buf, sizeof(buf), MSG_REOPEN);
	return send_message(s, &w, NULL, 0);
}

uint64_t slot_drain_ms(const struct slot *s)
{
	if (!s->stale.why || s->stale.drain_ms == UINT64_MAX)
		return 0;
	return MAX(s->stale.drain_ms, 1u);
}
