/* A table of fixed size and a timer that runs while anybody is in it. It looks at all of them at once
 * every few milliseconds: nobody waits for this, and so no event of a refused client wakes the process. */
#include "dispatcher/acceptor/endings.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/acceptor/refusal.h"

#include <poll.h>

#define ENDING_MS 2000
#define LOOK_MS 20

static void end(struct endings *e, unsigned place)
{
	int fd = e->hand->ending[place];

	refusal_throw_away(fd);
	close(fd);
	hand_store(&e->hand->ending[place], 0);
	e->count--;
}

static void look(struct endings *e, uint64_t now_ms)
{
	struct pollfd polls[HAND_ENDING];

	for (unsigned i = 0; i < HAND_ENDING; i++) {
		int fd = e->hand->ending[i];

		polls[i] = (struct pollfd){.fd = fd ? fd : -1, .events = POLLIN | POLLRDHUP};
	}
	poll(polls, HAND_ENDING, 0);
	for (unsigned i = 0; i < HAND_ENDING; i++) {
		if (polls[i].fd < 0)
			continue;
		if (polls[i].revents & ~POLLIN || now_ms >= e->until_ms[i])
			end(e, i);
		else if (polls[i].revents)
			refusal_throw_away(polls[i].fd);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct endings *e = timer->data;

	look(e, clock_mono_ms());
	if (!e->count)
		uv_timer_stop(timer);
}

void endings_init(struct endings *e, uv_loop_t *loop, struct hand *hand)
{
	*e = (struct endings){.hand = hand};
	uv_timer_init(loop, &e->timer);
	e->timer.data = e;
}

unsigned endings_place(struct endings *e)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < HAND_ENDING; i++) {
		if (!e->hand->ending[i])
			return i;
		if (e->until_ms[i] < e->until_ms[oldest])
			oldest = i;
	}
	end(e, oldest);
	return oldest;
}

void endings_put(struct endings *e, unsigned place, int fd)
{
	hand_store(&e->hand->ending[place], fd);
	e->count++;
}

/* Most clients of protocols in which the server speaks first have sent nothing, and leave at once. */
void endings_begin(struct endings *e, unsigned place)
{
	struct pollfd p = {.fd = e->hand->ending[place], .events = POLLRDHUP};

	e->until_ms[place] = clock_mono_ms() + ENDING_MS;
	if (poll(&p, 1, 0) > 0)
		end(e, place);
	else if (!uv_is_active((uv_handle_t *)&e->timer))
		uv_timer_start(&e->timer, on_timer, LOOK_MS, LOOK_MS);
}

void endings_hurry(struct endings *e)
{
	for (unsigned i = 0; i < HAND_ENDING && e->count; i++)
		if (e->hand->ending[i])
			end(e, i);
}
