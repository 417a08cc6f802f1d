/* A worker's life, and what the dispatcher's messages mean for it. */
#include "worker/core.h"
#include "common/base.h"

#include <string.h>

static const unsigned may_follow[LIFE_STATES] = {
	[LIFE_STARTING] = BIT(LIFE_SERVING),
	[LIFE_SERVING] = BIT(LIFE_RETIRING) | BIT(LIFE_LEAVING),
	[LIFE_RETIRING] = BIT(LIFE_LEAVING) | BIT(LIFE_ENDED),
	[LIFE_LEAVING] = BIT(LIFE_ENDED),
};

void core_live(struct worker *w, enum life life)
{
	ASSERT(may_follow[w->life] & BIT(life));
	w->life = life;
}

static void end_if_done(struct worker *w)
{
	if (w->conns.count || (w->life != LIFE_RETIRING && w->life != LIFE_LEAVING))
		return;
	core_live(w, LIFE_ENDED);
}

void core_retire(struct worker *w)
{
	if (w->life != LIFE_SERVING)
		return;
	core_live(w, LIFE_RETIRING);
	if (w->ops.on_retire)
		w->ops.on_retire(w);
	end_if_done(w);
}

void core_leave(struct worker *w)
{
	uint64_t left_ms = w->setup.limits.kill_timeout_ms;

	if (w->life != LIFE_SERVING && w->life != LIFE_RETIRING)
		return;
	core_live(w, LIFE_LEAVING);
	inbox_stop(&w->inbox);
	if (w->ops.on_deadline)
		w->ops.on_deadline(w, (unsigned)MIN(left_ms, (uint64_t)UINT32_MAX));
	w->style->leave(w);
	end_if_done(w);
}

void core_done(struct worker_conn *c)
{
	struct worker *w = c->worker;

	conns_put(&w->conns, c);
	inbox_room(&w->inbox);
	end_if_done(w);
}

static void take_conn(struct worker *w, const struct msg_conn *m, int fd)
{
	struct worker_conn *c = conns_get(&w->conns, w, m, fd);

	if (c) {
		c->listener = setup_listener(&w->setup, m->listener);
		c->secret = setup_listener_tls(&w->setup, m->listener);
		w->style->open(c);
		return;
	}
	close(fd);
	report_done(&w->report, m->slot);
	worker_log(w, WORKER_ERROR, "out of memory: a connection was closed unserved");
}

static void on_offer(void *arg, const struct msg_conn *conns, const int *fds, unsigned count)
{
	struct worker *w = arg;

	report_taken(&w->report, count);
	for (unsigned i = 0; i < count; i++)
		take_conn(w, &conns[i], fds[i]);
}

static void read_limits(struct worker *w, struct msg_reader *r)
{
	struct setup changed = w->setup;
	struct msg_reader names = *r;
	struct msg_value v;

	while (msg_next(r, &v) > 0)
		if (setup_number(&changed, &v))
			return;
	if (setup_listeners(&w->setup, names))
		return;
	w->setup.limits = changed.limits;
	w->setup.debug = changed.debug;
	w->style->limits(w);
}

static void answer_ping(struct worker *w, struct msg_reader *r)
{
	struct msg_value v;
	uint64_t nonce;

	while (msg_next(r, &v) > 0)
		if (v.fact == MSG_NONCE && !msg_u64(&v, &nonce))
			report_beat(&w->report, nonce);
}

static void on_control(void *arg, struct msg_reader *r)
{
	struct worker *w = arg;

	switch (r->type) {
	case MSG_RETIRE:
		core_retire(w);
		break;
	case MSG_LIMITS:
		read_limits(w, r);
		break;
	case MSG_PING:
		answer_ping(w, r);
		break;
	case MSG_REOPEN:
		if (w->ops.on_reopen)
			w->ops.on_reopen(w);
		break;
	default:
		break; /* of a newer dispatcher */
	}
}

static void on_memory(void *arg, enum msg_type type, int fd)
{
	secure_take_consume(arg, type, fd);
}

static void on_gone(void *arg)
{
	core_retire(arg);
}

static void on_failed(void *arg, int error)
{
	worker_log(
		arg, WORKER_ERROR, "a message from the dispatcher was lost: %s", strerror(-error));
}

static unsigned open_conns(void *arg)
{
	struct worker *w = arg;

	return w->conns.count;
}

/* What the callbacks left for the end of the turn, which may end the worker. */
static bool goes_on(struct worker *w)
{
	w->style->turn(w);
	report_ring(&w->report);
	return w->life != LIFE_ENDED;
}

/* New connections come last: they may use objects again to which entries of ready[] still refer. */
static void serve_ready(struct worker *w, int count)
{
	bool mail = false;

	for (int i = 0; i < count; i++) {
		void *who = w->loop.ready[i].data.ptr;

		if (who == &w->inbox)
			mail = true;
		else if (who)
			w->style->ready(who);
	}
	if (mail)
		inbox_receive(&w->inbox);
}

void core_run(struct worker *w)
{
	while (goes_on(w)) {
		serve_ready(w, loop_wait(&w->loop));
		loop_run_uv(&w->loop);
	}
}

const struct inbox_ops core_inbox_ops = {
	.offer = on_offer,
	.control = on_control,
	.memory = on_memory,
	.gone = on_gone,
	.failed = on_failed,
	.open_conns = open_conns,
};
