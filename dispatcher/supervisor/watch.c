/* uv_poll and uv_timer in objects that outlive their owner's interest: libuv still needs the memory
 * of a closed handle until its close callback, which frees it. */
#include "dispatcher/supervisor/watch.h"
#include "common/base.h"

#include <errno.h>
#include <uv.h>

struct watch {
	uv_poll_t poll;
	watch_fn *call;
	void *user;
	unsigned events;
};

struct timer {
	uv_timer_t timer;
	timer_fn *call;
	void *user;
};

static void free_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	unsigned came = status < 0 ? WATCH_READ : 0;

	if (events & UV_READABLE)
		came |= WATCH_READ;
	if (events & UV_WRITABLE)
		came |= WATCH_WRITE;
	w->call(w->user, came);
}

int watch_new(struct uv_loop_s *loop, int fd, unsigned events, watch_fn *call, void *user,
	struct watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));
	int bad;

	if (!w)
		return -ENOMEM;
	w->call = call;
	w->user = user;
	bad = uv_poll_init(loop, &w->poll, fd);
	if (bad) {
		free(w);
		return bad;
	}
	w->poll.data = w;
	watch_set(w, events);
	*ret_watch = w;
	return 0;
}

void watch_set(struct watch *w, unsigned events)
{
	int wanted = 0;

	if (events == w->events)
		return;
	w->events = events;
	if (events & WATCH_READ)
		wanted |= UV_READABLE;
	if (events & WATCH_WRITE)
		wanted |= UV_WRITABLE;
	if (wanted)
		uv_poll_start(&w->poll, wanted, on_poll);
	else
		uv_poll_stop(&w->poll);
}

struct watch *watch_free(struct watch *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->poll, free_closed);
	return NULL;
}

static void on_timer(uv_timer_t *timer)
{
	struct timer *t = timer->data;

	t->call(t->user);
}

int timer_new(struct uv_loop_s *loop, timer_fn *call, void *user, struct timer **ret_timer)
{
	struct timer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->call = call;
	t->user = user;
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	*ret_timer = t;
	return 0;
}

void timer_in(struct timer *t, uint64_t ms)
{
	uv_update_time(t->timer.loop);
	uv_timer_start(&t->timer, on_timer, ms, 0);
}

void timer_stop(struct timer *t)
{
	uv_timer_stop(&t->timer);
}

struct timer *timer_free(struct timer *t)
{
	if (t)
		uv_close((uv_handle_t *)&t->timer, free_closed);
	return NULL;
}
