/* Event style: one thread, many clients.
 *
 * A connection that is answered and closed in on_open never enters the loop's epoll set. Reading
 * pauses while output waits, so a client that does not read its answers is not read from either.
 * Nothing that the author may still look at is freed under his feet: what he closes outside of its
 * own callbacks is settled at the end of the loop's turn. */
#include "worker/events.h"
#include "common/base.h"
#include "worker/eventtls.h"
#include "worker/lines.h"
#include "worker/relay.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <sys/socket.h>

#define READS_PER_TURN 4 /* of what TLS holds already */

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
	if (w->ops.on_close && !c->hidden)
		w->ops.on_close(c, c->why);
	relay_drop(c);
	unwatch(c);
	if (c->tls && !c->why)
		tlsconn_goodbye(c->tls, true);
	c->tls = tlsconn_free(c->tls);
	base_close(&c->fd);
	c->output = output_free(c->output);
	c->early = output_free(c->early);
	c->partial = lines_free(c->partial);
	report_done(&w->report, c->slot);
	core_done(c);
}

void events_fail(struct worker_conn *c, int why)
{
	if (c->state == CONN_OPEN && !c->relay)
		conns_set(c, CONN_CLOSING);
	c->why = why;
	c->output = output_free(c->output);
	c->early = output_free(c->early);
	relay_drop(c);
}

static uint32_t wanted(const struct worker_conn *c)
{
	if (c->output)
		return EPOLLOUT;
	if (eventtls_shakes(c))
		return tlsconn_wants(c->tls);
	return c->state == CONN_OPEN && !c->eof ? eventtls_reads(c) : 0;
}

int events_watch(struct loop *l, int fd, void *who, uint32_t events, bool *polled, uint8_t *watched)
{
	int bad = 0;

	if (*watched == events)
		return 0;
	if (!events)
		loop_remove(l, fd);
	else
		bad = *polled ? loop_change(l, fd, events, who) : loop_add(l, fd, events, who);
	if (bad)
		return bad;
	*polled = events;
	*watched = (uint8_t)events;
	return 0;
}

static void watch(struct worker_conn *c)
{
	struct loop *l = &c->worker->loop;
	uint32_t events = wanted(c);
	int bad;

	if (c->tls)
		tlsconn_push(c->tls);
	if (c->watched == events || c->fd < 0)
		return;
	bad = c->polled ? loop_change(l, c->fd, events, c) : loop_add(l, c->fd, events, c);
	if (bad) {
		events_fail(c, bad);
		finish(c);
		return;
	}
	c->polled = true;
	c->watched = (uint8_t)events;
}

/* Does what the author's calls have asked for; c may be gone afterwards. */
static void settle(struct worker_conn *c)
{
	if (c->relay)
		relay_watch(c);
	if (c->relay)
		return;
	if (c->state == CONN_CLOSING && !c->output && !c->early)
		finish(c);
	else
		watch(c);
}

void events_enter(struct worker_conn *c)
{
	c->depth++;
}

void events_leave(struct worker_conn *c)
{
	if (!--c->depth && !c->due)
		settle(c);
}

void events_settle_later(struct worker_conn *c)
{
	struct events *e = c->worker->events;

	if (c->depth || c->due)
		return;
	c->due = true;
	c->next_due = e->due;
	e->due = c;
}

static void fire_at(struct events *e, uint64_t ms);

void events_deadline(struct worker_conn *c, uint64_t ms)
{
	c->deadline_ms = ms ? uv_now(&c->worker->loop.uv) + ms : 0;
	if (ms)
		fire_at(c->worker->events, c->deadline_ms);
}

/* The time-out begins anew. The timer is not moved, it looks again when it fires. A handshake has
 * its own, which no traffic prolongs. */
void events_touch(struct worker_conn *c)
{
	if (c->timeout_ms && !eventtls_shakes(c))
		events_deadline(c, c->timeout_ms);
}

static void close_conn(struct worker_conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	conns_set(c, CONN_CLOSING);
	if (c->output || c->early || c->relay)
		events_deadline(c, LINGER_MS);
	events_settle_later(c);
}

static void expire(struct worker_conn *c)
{
	events_enter(c);
	if (eventtls_shakes(c)) {
		eventtls_expire(c);
	} else if (c->state == CONN_OPEN && c->worker->ops.on_timeout) {
		events_touch(c);
		c->worker->ops.on_timeout(c);
	} else {
		events_fail(c, -ETIMEDOUT);
	}
	events_leave(c);
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

static bool is_taken(const struct worker_conn *c)
{
	return c->fd < 0 || c->relay;
}

static bool give_line(void *arg, char *line, size_t len)
{
	struct worker_conn *c = arg;

	c->worker->ops.on_line(c, line, len);
	return c->state == CONN_OPEN && !is_taken(c) && !eventtls_shakes(c);
}

static void give(struct worker_conn *c, char *data, size_t len)
{
	const struct worker_ops *ops = &c->worker->ops;
	int left = 0;

	if (ops->on_line)
		left = lines_feed(&c->partial, data, len, give_line, c);
	else if (ops->on_data)
		ops->on_data(c, data, len);
	if (left < 0 && c->state == CONN_OPEN)
		events_fail(c, left);
	if (left > 0 && c->state == CONN_OPEN && eventtls_shakes(c))
		eventtls_inject(c);
}

static void end_of_input(struct worker_conn *c)
{
	c->eof = true;
	if (c->worker->ops.on_eof)
		c->worker->ops.on_eof(c);
	else
		close_conn(c);
}

static ssize_t get(struct worker_conn *c, char *input)
{
	ssize_t got;

	if (c->tls)
		return tlsconn_read(c->tls, input, INPUT_BYTES);
	got = recv(c->fd, input, INPUT_BYTES, MSG_DONTWAIT);
	return got < 0 ? -errno : got;
}

static void read_once(struct worker_conn *c)
{
	char *input = c->worker->events->input;
	ssize_t got = get(c, input);

	if (got > 0) {
		events_touch(c);
		give(c, input, (size_t)got);
	} else if (!got) {
		end_of_input(c);
	} else if (got != -EAGAIN && got != -EINTR) {
		events_fail(c, (int)got);
	}
}

static bool may_read(const struct worker_conn *c)
{
	return c->state == CONN_OPEN && !is_taken(c) && !c->output && !c->eof;
}

/* A client that sends faster than we answer shall not keep the others waiting. */
static void read_some(struct worker_conn *c)
{
	read_once(c);
	for (int i = 1; i < READS_PER_TURN && c->tls && tlsconn_pending(c->tls) && may_read(c); i++)
		read_once(c);
}

void events_flush(struct worker_conn *c)
{
	int answer = output_flush(&c->output, c->fd, c->tls);

	if (answer < 0) {
		events_fail(c, answer);
		return;
	}
	events_touch(c);
	if (!answer && c->state == CONN_OPEN && c->worker->ops.on_drain)
		c->worker->ops.on_drain(c);
}

static void serve(struct worker_conn *c)
{
	if (c->relay)
		relay_turn(c);
	else if (eventtls_shakes(c))
		eventtls_go_on(c);
	else if (c->output)
		events_flush(c);
	else if (c->eof)
		events_fail(c, -EPIPE); /* nothing was asked for: the client has gone altogether */
	else if (c->state == CONN_OPEN)
		read_some(c);
}

static void events_ready(void *who)
{
	struct worker_conn *c = relay_untag(who);

	if (c->due || (!c->polled && !c->relay))
		return; /* closed meanwhile */
	events_enter(c);
	serve(c);
	events_leave(c);
}

/* Where the client speaks first, its words have usually come by now: to try saves a wake-up (3 to 5
 * % of an echo). Where we speak first, it would find nothing. */
void events_opened(struct worker_conn *c)
{
	if (c->worker->ops.on_open)
		c->worker->ops.on_open(c);
	if (may_read(c) && !c->greeted && !eventtls_shakes(c))
		read_some(c);
}

static void events_open(struct worker_conn *c)
{
	events_enter(c);
	if (c->secret)
		eventtls_open(c);
	else
		events_opened(c);
	events_leave(c);
}

static int events_write(struct worker_conn *c, const void *data, size_t len)
{
	int answer;

	if (c->state != CONN_OPEN || is_taken(c))
		return -EPIPE;
	c->greeted = true;
	if (eventtls_shakes(c))
		answer = output_keep(&c->early, data, len);
	else
		answer = output_write(&c->output, c->fd, c->tls, data, len);
	if (answer == -ENOBUFS)
		return answer;
	if (answer < 0)
		events_fail(c, answer);
	else
		events_touch(c);
	if (answer)
		events_settle_later(c);
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
	if (c->state == CONN_OPEN && !eventtls_shakes(c))
		c->deadline_ms = 0;
	events_touch(c);
}

static int events_take_fd(struct worker_conn *c)
{
	int fd = c->fd;

	if (c->relay || eventtls_shakes(c))
		return -EOPNOTSUPP;
	if (c->tls) {
		fd = relay_start(c);
		events_settle_later(c);
		return fd;
	}
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

/* Whom the author cannot see he cannot close either. */
static void events_goodbye(struct worker *w)
{
	struct worker_conn *c, *next;

	for (c = w->conns.open; c; c = next) {
		next = c->next;
		if (!w->ops.on_deadline || c->hidden)
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
	.leave = events_goodbye,
	.limits = events_limits,
	.deinit = events_deinit,
	.write = events_write,
	.read = events_read,
	.read_line = events_read_line,
	.close = close_conn,
	.set_timeout = events_set_timeout,
	.take_fd = events_take_fd,
	.starttls = eventtls_start,
};
