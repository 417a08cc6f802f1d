/* An unmodified server is sent offers and nothing else.
 *
 * It retires by silence: nobody offers it anything, and when it has served what it had it gets its
 * STOP_SIGNAL; one that wants an end of file (STOP_STYLE=eof) gets that as soon as its channel is empty.
 *
 * Whether it reads again after it was robbed, nobody can ask it. It goes on (it takes or finishes
 * something), or, when it has nothing that it could finish, its processes are looked at: those that are
 * stopped cannot read; all others are tried again. */
#include "dispatcher/acceptor/adapted.h"
#include "common/base.h"
#include "dispatcher/acceptor/unfit.h"
#include "dispatcher/procs.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 200	  /* after a theft */
#define BUSY_LOOK_MS 2000 /* ... if it serves somebody: what it ends then tells more */

static bool knows(const struct slot *s, uint32_t listener)
{
	return !s->kind.is_adapted || (listener < 64 && s->kind.listeners & (uint64_t)1 << listener);
}

bool adapted_suits(const struct service *svc, const struct slot *s)
{
	if (!s->kind.is_adapted)
		return true;
	if (svc->set->adapter != ADAPTER_SERVER)
		return false;
	for (uint32_t i = 0; i < svc->listener_count; i++)
		if (!svc->listeners[i].leaving && !knows(s, i))
			return false;
	return true;
}

/* Only of a listener that is being given up: those that were started since know nothing of it. */
struct slot *adapted_who_knows(struct service *svc, struct slot *s, uint32_t listener)
{
	if (knows(s, listener))
		return s;
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *other = &svc->slots[i];

		if (other->serial && !other->exited && !other->liar && !other->unsettled &&
			knows(other, listener) && pool_room_of(svc->pool, i))
			return other;
	}
	return NULL;
}

bool adapted_was_stopped(const struct slot *s)
{
	return s->kind.is_adapted && s->outside.stopping;
}

int adapted_signal(const struct slot *s, int number)
{
	return s->kind.is_adapted && number == SIGTERM && s->kind.stop_signal ? s->kind.stop_signal
									      : number;
}

/* --- suspects --- */

static void look_in(struct service *svc, struct slot *s, uint64_t ms, uint64_t now_ms)
{
	s->outside.look_ms = now_ms + ms;
	if (!svc->look_ms || s->outside.look_ms < svc->look_ms)
		svc->look_ms = s->outside.look_ms;
}

/* One that serves as many as it can reads no more for as long as that takes, whoever accepts by then. */
static void let_live(struct service *svc, struct slot *s, uint64_t now_ms)
{
	pool_lives(svc->pool, s->index, now_ms);
	look_in(svc, s, MAX(MIN((uint64_t)BUSY_LOOK_MS, svc->set->start_ms / 2), (uint64_t)LOOK_MS), now_ms);
}

void adapted_found(struct service *svc, struct slot *s, uint64_t now_ms)
{
	if (s->kind.is_adapted && service_pool_worker(s)->state == POOL_SUSPECT)
		let_live(svc, s, now_ms);
}

/* What it read and never said: who read it was killed before he could. */
static void note_untold(struct service *svc, struct slot *s, uint64_t now_ms)
{
	uint32_t untold = (uint32_t)(s->book->given - s->book->taken);

	if (!untold || !slot_has_read(s))
		return;
	s->book->untold += untold;
	s->book->taken += untold;
	pool_taken(svc->pool, s->index, untold, now_ms);
}

void adapted_robbed(struct service *svc, struct slot *s, bool silent, uint64_t now_ms)
{
	struct slot_outside *o = &s->outside;

	o->robbed_ms = now_ms;
	o->robbed_sum = s->book->taken + slot_served(s);
	o->seen = false;
	if (silent)
		note_untold(svc, s, now_ms);
	look_in(svc, s, service_pool_worker(s)->load ? BUSY_LOOK_MS : LOOK_MS, now_ms);
}

/* Where /proc shows nothing of it, it is as good as seen. */
static bool seen_alive(const struct procs *all, const struct slot *s)
{
	struct procs_sum sum = procs_sum(all, s->pid);

	return !sum.count || sum.stopped < sum.count;
}

static void look_at_suspects(struct service *svc, uint64_t now_ms)
{
	struct procs all = {0};

	if (!svc->look_ms || now_ms < svc->look_ms)
		return;
	svc->look_ms = 0;
	procs_read(&all);
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];

		if (!s->serial || s->exited || !s->outside.look_ms ||
			service_pool_worker(s)->state != POOL_SUSPECT)
			continue;
		if (now_ms < s->outside.look_ms || !seen_alive(&all, s)) {
			look_in(svc, s, LOOK_MS, now_ms);
			continue;
		}
		if (s->unsettled) {
			let_live(svc, s, now_ms);
			continue;
		}
		s->outside.look_ms = 0;
		s->outside.seen = true;
		service_refresh(svc, s, now_ms);
		s->outside.seen = false;
	}
	procs_free(&all);
}

/* --- those that hang --- */

static struct hang_sight sight_of(struct service *svc, const struct slot *s, uint64_t now_ms)
{
	struct procs all = {0};
	struct procs_sum sum;

	procs_read(&all);
	sum = procs_sum(&all, s->pid);
	procs_free(&all);
	return (struct hang_sight){.stopped = sum.count && sum.stopped == sum.count,
		.running = sum.running,
		.unread_bytes = svc->ops->unread(svc, s),
		.cpu_ms = sum.cpu_ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK),
		.at_ms = now_ms};
}

void adapted_watch_hang(struct service *svc, struct slot *s, uint64_t now_ms)
{
	s->outside.sight = sight_of(svc, s, now_ms);
}

bool adapted_hangs(struct service *svc, struct slot *s, uint64_t now_ms)
{
	struct hang_sight now = sight_of(svc, s, now_ms);

	return hang_between(&s->outside.sight, &now);
}

/* --- those that retire --- */

/* With nobody to send a signal the end of file does; the preloaded library makes it one. */
static void end_of_file(struct service *svc, struct slot *s)
{
	if (s->outside.ended || !slot_has_read(s))
		return;
	if (!s->kind.ends_by_eof && svc->uplink->alive)
		return;
	s->outside.ended = true;
	shutdown(s->chan, SHUT_WR);
}

static void let_go(struct service *svc, struct slot *s)
{
	if (!s->serial || !s->kind.is_adapted || s->exited ||
		service_pool_worker(s)->state != POOL_RETIRING)
		return;
	end_of_file(svc, s);
	if (s->outside.stopping || service_pool_worker(s)->load || !slot_has_read(s))
		return;
	s->outside.stopping = true;
	uplink_signal(svc->uplink, svc->index, s->index, s->serial, SIGTERM);
}

void adapted_look(struct service *svc, uint64_t now_ms)
{
	if (svc->theft.victim)
		return;
	look_at_suspects(svc, now_ms);
	unfit_look(svc, now_ms);
	if (!pool_count(svc->pool, POOL_RETIRING))
		return;
	for (uint32_t i = 0; i < svc->slot_count; i++)
		let_go(svc, &svc->slots[i]);
}

uint64_t adapted_due(const struct service *svc)
{
	return svc->theft.victim ? 0 : svc->look_ms;
}
