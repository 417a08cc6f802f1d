/* Event style: one thread, many clients.
 *
 * A connection that is answered and closed in on_open never enters the loop's epoll set. Reading
 * pauses while output waits, so a client that does not read its answers is not read from either.
 * Nothing that the author may still look at is freed under his feet: what he closes outside of its
 * own callbacks is settled at the end of the loop's turn. */
#include "common/base.h"
#include "worker/core.h"
#include "worker/lines.h"
#include "worker/output.h"

#include <errno.h>
#include <sys/socket.h>

#define INPUT_BYTES (16 * 1024)
#define LINGER_MS   30000 /* what waits for a client when we close must be read by then */

struct events {
	struct worker *worker;
	uv_timer_t timer;
	uint64_t timer_ms; /* when it fires; 0: never */
	struct worker_conn *due;
	char input[INPUT_BYTES];
};

static void unwatch(struct worker_conn *c)
{
	if (c->polled)
		loop_remove(&c->worker->loop, c->fd);
	c->polled = false;
	c->watched = 0;
}

static void finish(struct worker_conn *c)
{
	struct worker *w = c->worker;

	conns_set(c, CONN_CLOSED);
	if (w->ops.on_close)
		w->ops.on_close(c, c->why);
	unwatch(c);
	base_close(&c->fd);
	c->output = output_free(c->output);
	c->partial = lines_free(c->partial);
	report_done(&w->report, c->slot);
	core_done(c);
}

static void fail(struct worker_conn *c, int why)
{
	if (c->state == CONN_OPEN)
		conns_set(c, CONN_CLOSING);
	c->why = why;
	c->output = output_free(c->output);
}

static uint32_t wanted(const struct worker_conn *c)
{
	if (c->output)
		return EPOLLOUT;
	return c->state == CONN_OPEN && !c->eof ? EPOLLIN : 0;
}

static void watch(struct worker_conn *c)
{
	struct loop *l = &c->worker->loop;
	uint32_t events = wanted(c);
	int bad;

	if (c->watched == events || c->fd < 0)
		return;
	bad = c->polled ? loop_change(l, c->fd, events, c) : loop_add(l, c->fd, events, c);
	if (bad) {
		fail(c, bad);
		finish(c);
		return;
	}
	c->polled = true;
	c->watched = (uint8_t)events;
}

/* Does what the author's calls have asked for; c may be gone afterwards. */
static void settle(struct worker_conn *c)
{
	if (c->state == CONN_CLOSING && !c->output)
		finish(c);
	else
		watch(c);
}

static void enter(struct worker_conn *c)
{
	c->depth++;
}

static void leave(struct worker_conn *c)
{
	if (!--c->depth && !c->due)
		settle(c);
}

/* Outside of callbacks of c: at the end of the turn. */
static void settle_later(struct worker_conn *c)
{
	struct events *e = c->worker->events;

	if (c->depth || c->due)
		return;
	c->due = true;
	c->next_due = e->due;
	e->due = c;
}

static void fire_at(struct events *e, uint64_t ms);

/* There was traffic: the time-out begins anew. The timer is not moved, it looks again when it
 * fires. */
static void touch(struct worker_conn *c)
{
	struct events *e = c->worker->events;

	if (!c->timeout_ms)
		return;
	c->deadline_ms = uv_now(&c->worker->loop.uv) + c->timeout_ms;
	fire_at(e, c->deadline_ms);
}

static void close_conn(struct worker_conn *c)
{
	struct worker *w = c->worker;

	if (c->state != CONN_OPEN)
		return;
	conns_set(c, CONN_CLOSING);
	if (c->output) {
		c->deadline_ms = uv_now(&w->loop.uv) + LINGER_MS;
		fire_at(w->events, c->deadline_ms);
	}
	settle_later(c);
}

static void expire(struct worker_conn *c)
{
	enter(c);
	if (c->state == CONN_OPEN && c->worker->ops.on_timeout) {
		touch(c);
		c->worker->ops.on_timeout(c);
	} else {
		fail(c, -ETIMEDOUT);
	}
	leave(c);
}

static void on_timer(uv_timer_t *timer)
{
	struct events *e = timer->data;
	struct worker_conn *c, *next;
	uint64_t now = uv_now(timer->loop);

	e->timer_ms = 0;
	for (c = e->worker->conns.open; c; c = next) {
		next = c->next;
		if (c->deadline_ms > now)
			fire_at(e, c->deadline_ms);
		else if (c->deadline_ms)
			expire(c);
	}
}

static void fire_at(struct events *e, uint64_t ms)
{
	uint64_t now = uv_now(&e->worker->loop.uv);

	if (e->timer_ms && e->timer_ms <= ms)
		return;
	e->timer_ms = ms;
	uv_timer_start(&e->timer, on_timer, ms > now ? ms - now : 0, 0);
}

static bool give_line(void *arg, char *line, size_t len)
{
	struct worker_conn *c = arg;

	c->worker->ops.on_line(c, line, len);
	return c->state == CONN_OPEN && c->fd >= 0;
}

static void give(struct worker_conn *c, char *data, size_t len)
{
	const struct worker_ops *ops = &c->worker->ops;
	int bad = 0;

	if (ops->on_line)
		bad = lines_feed(&c->partial, data, len, give_line, c);
	else if (ops->on_data)
		ops->on_data(c, data, len);
	if (bad && c->state == CONN_OPEN)
		fail(c, bad);
}

static void end_of_input(struct worker_conn *c)
{
	c->eof = true;
	if (c->worker->ops.on_eof)
		c->worker->ops.on_eof(c);
	else
		close_conn(c);
}

static void read_some(struct worker_conn *c)
{
	char *input = c->worker->events->input;
	ssize_t got = recv(c->fd, input, INPUT_BYTES, MSG_DONTWAIT);

	if (got > 0) {
		touch(c);
		give(c, input, (size_t)got);
	} else if (!got) {
		end_of_input(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		fail(c, -errno);
	}
}

static void flush(struct worker_conn *c)
{
	int answer = output_flush(&c->output, c->fd);

	if (answer < 0) {
		fail(c, answer);
		return;
	}
	touch(c);
	if (!answer && c->state == CONN_OPEN && c->worker->ops.on_drain)
		c->worker->ops.on_drain(c);
}

static void events_ready(struct worker_conn *c)
{
	if (!c->polled || c->due)
		return; /* closed meanwhile */
	enter(c);
	if (c->output)
		flush(c);
	else if (c->eof)
		fail(c, -EPIPE); /* nothing was asked for: the client has gone altogether */
	else if (c->state == CONN_OPEN)
		read_some(c);
	leave(c);
}

/* Where the client speaks first, its words have usually come by now: to try saves a wake-up (3 to 5
 * % of an echo). Where we speak first, it would find nothing. */
static void events_open(struct worker_conn *c)
{
	enter(c);
	if (c->worker->ops.on_open)
		c->worker->ops.on_open(c);
	if (c->state == CONN_OPEN && c->fd >= 0 && !c->greeted)
		read_some(c);
	leave(c);
}

static int events_write(struct worker_conn *c, const void *data, size_t len)
{
	int answer;

	if (c->state != CONN_OPEN || c->fd < 0)
		return -EPIPE;
	c->greeted = true;
	answer = output_write(&c->output, c->fd, data, len);
	if (answer == -ENOBUFS)
		return answer;
	if (answer < 0)
		fail(c, answer);
	else
		touch(c);
	if (answer)
		settle_later(c);
	return answer < 0 ? answer : 0;
}

static ssize_t events_read(struct worker_conn *c, void *buf, size_t size)
{
	return -EOPNOTSUPP; /* what comes is given to on_data */
}

static ssize_t events_read_line(struct worker_conn *c, char *buf, size_t size)
{
	return -EOPNOTSUPP;
}

static void events_set_timeout(struct worker_conn *c, unsigned ms)
{
	c->timeout_ms = ms;
	if (c->state == CONN_OPEN)
		c->deadline_ms = 0;
	touch(c);
}

static int events_take_fd(struct worker_conn *c)
{
	int fd = c->fd;

	unwatch(c);
	c->fd = -1;
	return fd;
}

static void events_turn(struct worker *w)
{
	struct events *e = w->events;

	while (e->due) {
		struct worker_conn *c = e->due;

		e->due = c->next_due;
		c->due = false;
		settle(c);
	}
}

static void events_leave(struct worker *w)
{
	struct worker_conn *c, *next;

	for (c = w->ops.on_deadline ? NULL : w->conns.open; c; c = next) {
		next = c->next;
		close_conn(c);
	}
}

static void events_limits(struct worker *w)
{
}

static int events_init(struct worker *w)
{
	struct events *e = malloc(sizeof(*e)); /* not zeroed: the input need not be touched yet */

	if (!e)
		return -ENOMEM;
	e->worker = w;
	e->timer_ms = 0;
	e->due = NULL;
	e->timer.data = e;
	w->events = e;
	return uv_timer_init(&w->loop.uv, &e->timer);
}

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

static void events_deinit(struct worker *w)
{
	uv_close((uv_handle_t *)&w->events->timer, on_closed);
}

const struct style events_style = {
	.init = events_init,
	.open = events_open,
	.ready = events_ready,
	.turn = events_turn,
	.leave = events_leave,
	.limits = events_limits,
	.deinit = events_deinit,
	.write = events_write,
	.read = events_read,
	.read_line = events_read_line,
	.close = close_conn,
	.set_timeout = events_set_timeout,
	.take_fd = events_take_fd,
};
