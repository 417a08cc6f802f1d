/* The line is first in, first out, which gives a new acceptor everything before its LINK_GO. Nothing
 * is sent inside outlet_push, only from the loop, so that no caller finds its world changed under it.
 * A full channel is waited for with POLLOUT; when POLLOUT came and still nothing went (too many
 * descriptors in flight are no matter of room), a timer keeps this from spinning. */
#include "dispatcher/supervisor/outlet.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/supervisor/watch.h"

#define AGAIN_MS 20

static void on_again(void *user)
{
	struct outlet *o = user;

	if (o->watch)
		watch_set(o->watch, WATCH_READ | WATCH_WRITE);
}

int outlet_init(struct outlet *o, struct uv_loop_s *loop, const struct outlet_ops *ops, void *user)
{
	*o = (struct outlet){.loop = loop, .ops = ops, .user = user, .fd = -1};
	o->last = &o->first;
	return timer_new(loop, on_again, o, &o->again);
}

void outlet_deinit(struct outlet *o)
{
	outlet_close(o);
	o->again = timer_free(o->again);
}

static struct news *take_first(struct outlet *o)
{
	struct news *n = o->first;

	o->first = n->next;
	if (!o->first)
		o->last = &o->first;
	n->next = NULL;
	n->waits = false;
	return n;
}

static int say_all(struct outlet *o, bool *ret_progress)
{
	*ret_progress = false;
	while (o->first) {
		int answer = o->first->say(o->first, o->fd);

		if (answer)
			return answer;
		take_first(o);
		*ret_progress = true;
	}
	return 0;
}

static void flush(struct outlet *o)
{
	bool progress;
	int answer = say_all(o, &progress);

	if (!answer) {
		watch_set(o->watch, WATCH_READ);
	} else if (answer == CHAN_FULL) {
		if (progress)
			return;
		watch_set(o->watch, WATCH_READ);
		timer_in(o->again, AGAIN_MS);
	} else {
		o->ops->broken(o->user, answer == CHAN_GONE ? 0 : answer);
	}
}

static void on_event(void *user, unsigned events)
{
	struct outlet *o = user;
	struct watch *now = o->watch;

	if (events & WATCH_READ)
		o->ops->readable(o->user, o->fd);
	if (events & WATCH_WRITE && o->watch == now)
		flush(o);
}

int outlet_open_consume(struct outlet *o, int fd)
{
	int bad;

	outlet_close(o);
	bad = watch_new(o->loop, fd, WATCH_READ, on_event, o, &o->watch);
	if (bad) {
		close(fd);
		return bad;
	}
	o->fd = fd;
	return 0;
}

void outlet_close(struct outlet *o)
{
	while (o->first)
		take_first(o);
	if (o->again)
		timer_stop(o->again);
	o->watch = watch_free(o->watch);
	base_close(&o->fd);
}

void outlet_push(struct outlet *o, struct news *news)
{
	if (o->fd < 0 || news->waits)
		return;
	news->waits = true;
	news->next = NULL;
	*o->last = news;
	o->last = &news->next;
	watch_set(o->watch, WATCH_READ | WATCH_WRITE);
}

void outlet_forget(struct outlet *o, struct news *news)
{
	struct news **at = &o->first;

	if (!news->waits)
		return;
	while (*at != news)
		at = &(*at)->next;
	*at = news->next;
	if (o->last == &news->next)
		o->last = at;
	news->waits = false;
	news->next = NULL;
}
