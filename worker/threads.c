/* Thread style: a thread per client, at most max_conns of them, made when needed and kept warm.
 *
 * The loop's thread hands a connection to the thread that became idle last, whose stack is in the
 * cache; those at the bottom of the stack of idle ones are woken by nobody and end after a while.
 * Connection objects belong to the loop's thread: another thread reports its connection done at
 * once, and leaves the object on a list that the loop's thread collects when it next runs. */
#include "common/base.h"
#include "worker/core.h"
#include "worker/tlsconn.h"
#include "worker/waits.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define IDLE_SECONDS 60
#define TLS_BYTES    (64 * 1024) /* of stack, for a handshake */

struct thread {
	struct threads *threads;
	struct thread *below; /* in the stack of idle ones */
	struct worker_conn *conn;
	struct waits waits;
	pthread_cond_t wake;
	pthread_t id;
	bool stop;
};

struct threads {
	struct worker *worker;
	struct cancel cancel;
	uv_async_t wake;
	pthread_attr_t attributes;
	pthread_condattr_t clock;
	pthread_mutex_t lock;   /* of all below */
	pthread_cond_t changed; /* idle or running, for who stops them all */
	struct thread *idle;
	struct worker_conn *waiting, **waiting_end; /* for a thread, by next_due */
	struct worker_conn *finished;               /* to be collected, by next_due */
	unsigned running, max;
	bool tell; /* the loop's thread must hear of what finishes */
};

static void close_conn(struct worker_conn *c)
{
	if (c->fd >= 0 && c->tls)
		tlsconn_goodbye(c->tls, true);
	base_close(&c->fd);
}

/* Failure ends the connection: nothing can be sent over it that the client would understand. */
static int begin_tls(struct worker_conn *c)
{
	int bad = secure_open(c);

	if (!bad)
		bad = waits_handshake(c->waits, c->fd, c->tls);
	if (!bad)
		return 0;
	secure_complain(c, secure_reason(c, bad));
	base_close(&c->fd);
	return bad;
}

static void serve(struct thread *t)
{
	struct worker_conn *c = t->conn;

	c->waits = &t->waits;
	waits_begin(&t->waits, &t->threads->cancel);
	if (!c->secret || begin_tls(c) == 0)
		c->worker->ops.handle(c);
	close_conn(c);
	c->tls = tlsconn_free(c->tls);
}

static int starttls(struct worker_conn *c)
{
	if (c->tls || c->fd < 0)
		return c->tls ? -EALREADY : -EPIPE;
	if (!secure_any(c->worker))
		return -ENOTSUP;
	if (c->waits->at == c->waits->end)
		return begin_tls(c);
	secure_complain(c, SECURE_INJECTED);
	base_close(&c->fd);
	return -EPROTO;
}

/* Under the lock, which is held until t waits: a new offer that follows from the report finds t
 * idle. */
static void finish(struct thread *t)
{
	struct threads *ts = t->threads;

	report_done(&ts->worker->report, t->conn->slot);
	report_ring(&ts->worker->report);
	t->conn->next_due = ts->finished;
	ts->finished = t->conn;
	t->conn = NULL;
	if (ts->tell)
		uv_async_send(&ts->wake);
}

/* Under the lock. */
static struct worker_conn *next_waiting(struct threads *ts)
{
	struct worker_conn *c = ts->waiting;

	if (!c)
		return NULL;
	ts->waiting = c->next_due;
	if (!ts->waiting)
		ts->waiting_end = &ts->waiting;
	return c;
}

static void leave_idle(struct thread *t)
{
	struct thread **at = &t->threads->idle;

	while (*at != t)
		at = &(*at)->below;
	*at = t->below;
}

/* Under the lock: waits for a connection. False: nobody had one for a long time, or t is stopped.
 */
static bool idle(struct thread *t)
{
	struct threads *ts = t->threads;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	t->below = ts->idle;
	ts->idle = t;
	pthread_cond_signal(&ts->changed);
	while (!t->conn && !t->stop)
		if (pthread_cond_timedwait(&t->wake, &ts->lock, &until) == ETIMEDOUT && !t->conn &&
			!t->stop) {
			leave_idle(t);
			return false;
		}
	return !t->stop;
}

static struct thread *thread_free(struct thread *t)
{
	pthread_cond_destroy(&t->wake);
	free(t);
	return NULL;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct threads *ts = t->threads;
	bool more = true;

	while (more) {
		serve(t);
		pthread_mutex_lock(&ts->lock);
		finish(t);
		t->conn = next_waiting(ts);
		if (!t->conn)
			more = ts->running <= ts->max && idle(t);
		if (!more && !t->stop) {
			ts->running--;
			pthread_cond_signal(&ts->changed);
			pthread_detach(pthread_self());
		}
		pthread_mutex_unlock(&ts->lock);
	}
	return t->stop ? t : thread_free(t);
}

/* All signals stay with the loop's thread. */
static int create(struct threads *ts, struct worker_conn *c)
{
	struct thread *t = calloc(1, sizeof(*t));
	sigset_t all, before;
	int error;

	if (!t)
		return -ENOMEM;
	t->threads = ts;
	t->conn = c;
	pthread_cond_init(&t->wake, &ts->clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&t->id, &ts->attributes, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		thread_free(t);
	return -error;
}

/* Under the lock. True: an idle thread has it now, or it waits for a busy one. */
static bool give(struct threads *ts, struct worker_conn *c)
{
	struct thread *t = ts->idle;

	if (t) {
		ts->idle = t->below;
		t->conn = c;
		pthread_cond_signal(&t->wake);
		return true;
	}
	if (ts->running < ts->max)
		return false;
	c->next_due = NULL;
	*ts->waiting_end = c;
	ts->waiting_end = &c->next_due;
	return true;
}

static void refuse(struct worker_conn *c, int error)
{
	struct worker *w = c->worker;

	worker_log(w, WORKER_ERROR, "no thread for a connection, closed unserved: %s",
		strerror(-error));
	base_close(&c->fd);
	report_done(&w->report, c->slot);
	conns_set(c, CONN_CLOSING);
	conns_set(c, CONN_CLOSED);
	core_done(c);
}

static void threads_open(struct worker_conn *c)
{
	struct threads *ts = c->worker->threads;
	bool given;
	int bad;

	pthread_mutex_lock(&ts->lock);
	given = give(ts, c);
	ts->running += !given;
	pthread_mutex_unlock(&ts->lock);
	if (given)
		return;
	bad = create(ts, c);
	if (!bad)
		return;
	pthread_mutex_lock(&ts->lock);
	ts->running--;
	pthread_mutex_unlock(&ts->lock);
	refuse(c, bad);
}

/* Collects what has finished, and wants to be woken for more only if something waits for it. */
static void threads_turn(struct worker *w)
{
	struct threads *ts = w->threads;
	struct worker_conn *c;

	pthread_mutex_lock(&ts->lock);
	c = ts->finished;
	ts->finished = NULL;
	ts->tell = w->life != LIFE_SERVING || w->inbox.waiting;
	pthread_mutex_unlock(&ts->lock);
	while (c) {
		struct worker_conn *next = c->next_due;

		conns_set(c, CONN_CLOSING);
		conns_set(c, CONN_CLOSED);
		core_done(c);
		c = next;
	}
}

static void threads_ready(void *who)
{
	/* No client is polled by the loop. */
}

static void threads_leave(struct worker *w)
{
	cancel_now(&w->threads->cancel);
}

static void threads_limits(struct worker *w)
{
	struct threads *ts = w->threads;
	uint64_t stack = w->setup.limits.stacksize;

	pthread_mutex_lock(&ts->lock);
	ts->max = w->setup.limits.max_conns;
	pthread_mutex_unlock(&ts->lock);
	if (stack)
		pthread_attr_setstacksize(&ts->attributes,
			(size_t)MAX(stack, (uint64_t)PTHREAD_STACK_MIN) + INPUT_BYTES + TLS_BYTES);
}

static void on_wake(uv_async_t *wake)
{
	/* The turn that follows collects. */
}

static int threads_init(struct worker *w)
{
	struct threads *ts = calloc(1, sizeof(*ts));
	int bad = ts ? cancel_init(&ts->cancel) : -ENOMEM;

	if (!bad)
		bad = uv_async_init(&w->loop.uv, &ts->wake, on_wake);
	if (bad) {
		free(ts);
		return bad;
	}
	ts->worker = w;
	ts->wake.data = ts;
	ts->waiting_end = &ts->waiting;
	pthread_attr_init(&ts->attributes);
	pthread_condattr_init(&ts->clock);
	pthread_condattr_setclock(&ts->clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&ts->lock, NULL);
	pthread_cond_init(&ts->changed, NULL);
	w->threads = ts;
	w->report.shared = true;
	threads_limits(w);
	return 0;
}

static void on_closed(uv_handle_t *wake)
{
	free(wake->data);
}

static void stop_one(struct threads *ts)
{
	struct thread *t = ts->idle;

	ts->idle = t->below;
	ts->running--;
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&ts->lock);
	pthread_join(t->id, NULL);
	thread_free(t);
	pthread_mutex_lock(&ts->lock);
}

static void threads_deinit(struct worker *w)
{
	struct threads *ts = w->threads;

	pthread_mutex_lock(&ts->lock);
	while (ts->running)
		if (ts->idle)
			stop_one(ts);
		else
			pthread_cond_wait(&ts->changed, &ts->lock);
	pthread_mutex_unlock(&ts->lock);
	cancel_deinit(&ts->cancel);
	uv_close((uv_handle_t *)&ts->wake, on_closed);
}

static void set_timeout(struct worker_conn *c, unsigned ms)
{
	c->timeout_ms = ms;
}

static int take_fd(struct worker_conn *c)
{
	return c->tls ? -EOPNOTSUPP : base_steal_fd(&c->fd);
}

static int write_all(struct worker_conn *c, const void *data, size_t len)
{
	return waits_write(c->waits, c->fd, c->timeout_ms, data, len);
}

static ssize_t read_some(struct worker_conn *c, void *buf, size_t size)
{
	return waits_read(c->waits, c->fd, c->timeout_ms, buf, size);
}

static ssize_t read_line(struct worker_conn *c, char *buf, size_t size)
{
	return waits_read_line(c->waits, c->fd, c->timeout_ms, buf, size);
}

const struct style threads_style = {
	.init = threads_init,
	.open = threads_open,
	.ready = threads_ready,
	.turn = threads_turn,
	.leave = threads_leave,
	.limits = threads_limits,
	.deinit = threads_deinit,
	.write = write_all,
	.read = read_some,
	.read_line = read_line,
	.close = close_conn,
	.set_timeout = set_timeout,
	.take_fd = take_fd,
	.starttls = starttls,
};
