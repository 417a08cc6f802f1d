/* Each service does as the acceptor: it says facts, pulls decisions, and gives while somebody has
 * room; while a theft runs, it does nothing else. A worker reads what it was offered after a
 * moment, serves each connection for its time, and exits when it has retired and served all. */
#include "test/sim/sim.h"

#include "test/prop/random.h"
#include "test/sim/events.h"
#include "test/sim/fifo.h"

#include <math.h>

#define READ_US  30   /* from the offer until the worker has read it */
#define EXIT_US  1000 /* from the last reason to stay until the process is gone */
#define THEFT_US 3000
#define NO_SLOT  UINT16_MAX

struct worker {
	struct fifo offered; /* times of arrival of the unread */
	uint32_t serial;
	bool reads, stopped, leaves; /* has an event under way; does not run; will exit */
};

struct service {
	struct pool *pool;
	struct worker *worker;
	struct fifo waiting;
	uint64_t to_come; /* connections that have still to arrive */
	uint64_t timer_us;
	uint32_t serial, live;
	uint16_t robbed; /* the slot that a theft is under way from */
	bool was_ready;
};

struct sim {
	const struct scenario *s;
	struct service *service;
	struct events events;
	uint64_t random, now_us, unsettled; /* connections that are not over */
	uint32_t slots;
	struct sim_result *result;
};

static uint64_t now_ms(const struct sim *m)
{
	return m->now_us / 1000;
}

static double uniform(struct sim *m)
{
	return ((double)(random_next(&m->random) >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t around(struct sim *m, uint64_t mean_us)
{
	return 1 + (uint64_t)(-log(uniform(m)) * (double)mean_us);
}

/* Heavy: nine of ten take a tenth of the mean, the tenth takes nine times as long and more. */
static uint64_t time_to_serve(struct sim *m)
{
	uint64_t mean_us = m->s->serve_us;

	if (!m->s->is_heavy)
		return around(m, mean_us);
	return around(m, random_below(&m->random, 10) ? mean_us / 10 : mean_us * 9);
}

static void happens(
	struct sim *m, uint32_t service, uint16_t slot, enum event_kind kind, uint64_t in_us)
{
	uint32_t serial = slot == NO_SLOT ? 0 : m->service[service].worker[slot].serial;

	events_add(&m->events, (struct event){.at_us = m->now_us + in_us,
				       .service = service,
				       .slot = slot,
				       .kind = (uint8_t)kind,
				       .serial = serial});
}

/* --- workers --- */

static void read_soon(struct sim *m, uint32_t service, uint16_t slot)
{
	struct worker *w = &m->service[service].worker[slot];

	if (w->reads || w->stopped || !w->offered.count)
		return;
	w->reads = true;
	happens(m, service, slot, EVENT_READ, READ_US);
}

static void leave(struct sim *m, uint32_t service, uint16_t slot)
{
	struct worker *w = &m->service[service].worker[slot];

	if (!w->leaves)
		happens(m, service, slot, EVENT_EXIT, EXIT_US);
	w->leaves = true;
}

/* A retired worker without connections goes. */
static void leave_if_empty(struct sim *m, uint32_t service, uint16_t slot)
{
	struct service *v = &m->service[service];
	const struct pool_worker *w = pool_worker(v->pool, slot);

	if (w->state == POOL_RETIRING && !w->load && !v->worker[slot].stopped)
		leave(m, service, slot);
}

static void spawn(struct sim *m, uint32_t service, uint16_t slot)
{
	struct service *v = &m->service[service];
	struct worker *w = &v->worker[slot];

	ASSERT(!w->offered.count);
	*w = (struct worker){.offered = w->offered, .serial = ++v->serial};
	v->live++;
	m->result->spawns++;
	m->result->most_processes = MAX(m->result->most_processes, v->live);
	if (random_below(&m->random, 1000) < m->s->die_starting)
		happens(m, service, slot, EVENT_EXIT, m->s->start_us / 2);
	else
		happens(m, service, slot, EVENT_READY,
			m->s->start_us / 2 + around(m, m->s->start_us / 2));
}

/* --- the acceptor --- */

static void note_retired(struct sim *m, const struct pool_worker *w)
{
	m->result->retired++;
	if (w->reason != POOL_SPENT)
		return;
	m->result->most_life = MAX(m->result->most_life, w->life);
	m->result->least_life = MIN(m->result->least_life, w->life);
}

static void carry_out(struct sim *m, uint32_t service, const struct pool_decision *d)
{
	struct service *v = &m->service[service];
	uint16_t slot = (uint16_t)d->slot;

	switch (d->verb) {
	case POOL_SPAWN:
		spawn(m, service, slot);
		break;
	case POOL_RETIRE:
		note_retired(m, pool_worker(v->pool, slot));
		leave_if_empty(m, service, slot);
		break;
	case POOL_TERM:
	case POOL_KILL:
		leave(m, service, slot);
		break;
	case POOL_STEAL:
		v->robbed = slot;
		happens(m, service, NO_SLOT, EVENT_STOLEN, THEFT_US);
		break;
	}
}

static void offer(struct sim *m, uint32_t service, uint16_t slot, uint32_t count)
{
	struct service *v = &m->service[service];

	for (uint32_t i = 0; i < count; i++)
		fifo_push(&v->worker[slot].offered, fifo_pop(&v->waiting));
	pool_given(v->pool, slot, count, now_ms(m));
	read_soon(m, service, slot);
}

/* How many shall be replaced or drain after they were; holding: how many retire for other reasons. */
static uint32_t count_stale(struct sim *m, struct service *v, uint32_t *ret_holding)
{
	uint32_t stale = 0;

	*ret_holding = 0;
	for (uint32_t i = 0; i < m->slots; i++) {
		const struct pool_worker *w = pool_worker(v->pool, i);

		stale += w->stale && v->worker[i].serial;
		*ret_holding += w->state == POOL_RETIRING && !w->stale;
	}
	return stale;
}

static void check_caps(struct sim *m, struct service *v)
{
	uint32_t holding, stale = count_stale(m, v, &holding);
	const struct pool_limits *l = &m->s->limits;
	uint32_t serving = pool_count(v->pool, POOL_SERVING);
	bool is_short = v->was_ready && serving < l->min_procs && !m->s->die_starting &&
			!m->s->die_reading && !m->s->stop_every_us;

	v->was_ready = v->was_ready || serving >= l->min_procs;
	m->result->broken += is_short || holding > l->max_shutdown ||
			     v->live > l->max_procs + l->max_shutdown + MIN(stale, l->max_procs);
}

static void set_timer(struct sim *m, uint32_t service)
{
	struct service *v = &m->service[service];
	uint64_t at_us = pool_deadline(v->pool);

	at_us = at_us == POOL_NEVER ? POOL_NEVER : at_us * 1000;
	if (at_us >= v->timer_us)
		return;
	v->timer_us = at_us;
	happens(m, service, NO_SLOT, EVENT_TIMER, at_us - m->now_us);
}

/* After every fact: decisions, then gifts, until neither is left. */
static void settle(struct sim *m, uint32_t service)
{
	struct service *v = &m->service[service];
	struct pool_decision d;
	uint32_t slot, count;

	if (v->robbed != NO_SLOT)
		return;
	do {
		pool_waiting(v->pool, v->waiting.count, now_ms(m));
		while (v->robbed == NO_SLOT && pool_next(v->pool, now_ms(m), &d))
			carry_out(m, service, &d);
		count = v->waiting.count && v->robbed == NO_SLOT
				? pool_pick(v->pool, v->waiting.count, &slot)
				: 0;
		if (count)
			offer(m, service, (uint16_t)slot, count);
	} while (count);
	check_caps(m, v);
	set_timer(m, service);
}

/* --- events --- */

static void on_arrive(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];
	uint64_t count = e->slot == NO_SLOT ? 1 : m->s->crowd;

	count = MIN(count, v->to_come);
	v->to_come -= count;
	m->result->arrived += count;
	while (count--)
		fifo_push(&v->waiting, m->now_us);
	if (!v->to_come || m->s->closed_clients)
		return;
	if (e->slot != NO_SLOT)
		happens(m, e->service, 0, EVENT_ARRIVE, m->s->crowd_every_us);
	else
		happens(m, e->service, NO_SLOT, EVENT_ARRIVE,
			around(m, 1000000 / m->s->per_second));
}

/* One connection is over, in whatever way. */
static void is_over(struct sim *m, uint32_t service)
{
	m->unsettled--;
	if (m->s->closed_clients)
		happens(m, service, NO_SLOT, EVENT_ARRIVE, around(m, m->s->pause_us));
}

static void on_read(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];
	struct worker *w = &v->worker[e->slot];
	uint32_t count = w->offered.count;

	w->reads = false;
	if (w->stopped || !count)
		return;
	pool_taken(v->pool, e->slot, count, now_ms(m));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t wait_us = m->now_us - fifo_pop(&w->offered);

		m->result->longest_wait_us = MAX(m->result->longest_wait_us, wait_us);
		happens(m, e->service, e->slot, EVENT_DONE, time_to_serve(m));
		if (random_below(&m->random, 1000000) < m->s->die_reading)
			happens(m, e->service, e->slot, EVENT_EXIT, 0);
	}
}

static void on_done(struct sim *m, const struct event *e)
{
	if (m->service[e->service].worker[e->slot].stopped) {
		happens(m, e->service, e->slot, EVENT_DONE, m->s->stop_us);
		return;
	}
	pool_done(m->service[e->service].pool, e->slot, 1, now_ms(m));
	m->result->served++;
	leave_if_empty(m, e->service, e->slot);
	is_over(m, e->service);
}

static void on_exit_event(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];
	const struct pool_worker *w = pool_worker(v->pool, e->slot);

	for (uint32_t cut = w->load - w->unread; cut; cut--) {
		m->result->lost++;
		is_over(m, e->service);
	}
	v->worker[e->slot].serial = 0;
	v->live--;
	pool_exited(v->pool, e->slot, now_ms(m));
	if (!w->unread && v->robbed != e->slot)
		pool_released(v->pool, e->slot, now_ms(m));
}

static uint32_t move_offers(struct sim *m, uint32_t service, struct fifo *from)
{
	struct service *v = &m->service[service];
	uint32_t moved = 0;

	for (uint16_t i = 0; i < m->slots && from->count; i++) {
		uint32_t count = MIN(pool_room_of(v->pool, i), from->count);

		if (!count)
			continue;
		for (uint32_t n = 0; n < count; n++)
			fifo_push(&v->worker[i].offered, fifo_pop(from));
		pool_given(v->pool, i, count, now_ms(m));
		read_soon(m, service, i);
		moved += count;
	}
	return moved;
}

static void on_stolen(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];
	const struct pool_worker *w = pool_worker(v->pool, v->robbed);
	uint32_t moved = move_offers(m, e->service, &v->worker[v->robbed].offered);

	m->result->stolen += moved;
	pool_robbed(v->pool, v->robbed, moved, now_ms(m));
	if (w->state == POOL_EXITED && !w->unread)
		pool_released(v->pool, v->robbed, now_ms(m));
	v->robbed = NO_SLOT;
}

/* Some workers are stopped together. */
static void on_stop(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];

	for (uint32_t i = 0; i < m->s->stop_count; i++) {
		uint16_t slot = (uint16_t)random_below(&m->random, m->slots);

		if (!v->worker[slot].serial || v->worker[slot].stopped ||
			pool_worker(v->pool, slot)->state != POOL_SERVING)
			continue;
		v->worker[slot].stopped = true;
		happens(m, e->service, slot, EVENT_RESUME, m->s->stop_us);
	}
	if (v->to_come)
		happens(m, e->service, NO_SLOT, EVENT_STOP, m->s->stop_every_us);
}

static void on_resume(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];

	v->worker[e->slot].stopped = false;
	pool_answered(v->pool, e->slot, now_ms(m));
	read_soon(m, e->service, e->slot);
	leave_if_empty(m, e->service, e->slot);
}

static void on_restart(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];
	uint32_t holding, old = count_stale(m, v, &holding);

	if (v->to_come)
		happens(m, e->service, NO_SLOT, EVENT_RESTART, m->s->restart_every_us);
	if (old && v->live > m->s->limits.max_procs)
		return; /* refused, as the supervisor does */
	m->result->restarts++;
	for (uint32_t i = 0; i < m->slots; i++)
		if (v->worker[i].serial)
			pool_stale(v->pool, i, POOL_RESTARTED, POOL_NEVER, now_ms(m), now_ms(m));
}

static void on_ready(struct sim *m, const struct event *e)
{
	pool_ready(m->service[e->service].pool, e->slot, now_ms(m));
}

static void on_timer(struct sim *m, const struct event *e)
{
	struct service *v = &m->service[e->service];

	if (e->at_us == v->timer_us)
		v->timer_us = POOL_NEVER;
}

static void (*const on_event[EVENT_KINDS])(struct sim *m, const struct event *e) = {
	[EVENT_ARRIVE] = on_arrive,
	[EVENT_READ] = on_read,
	[EVENT_DONE] = on_done,
	[EVENT_READY] = on_ready,
	[EVENT_EXIT] = on_exit_event,
	[EVENT_STOLEN] = on_stolen,
	[EVENT_STOP] = on_stop,
	[EVENT_RESUME] = on_resume,
	[EVENT_RESTART] = on_restart,
	[EVENT_TIMER] = on_timer,
};

/* --- runs --- */

static void open_service(struct sim *m, uint32_t service, uint64_t connections)
{
	struct service *v = &m->service[service];
	void *memory = malloc(pool_bytes(&m->s->limits));

	ASSERT(memory);
	v->pool = pool_init(memory, &m->s->limits, 0);
	v->worker = calloc(m->slots, sizeof(*v->worker));
	ASSERT(v->worker);
	v->robbed = NO_SLOT;
	v->timer_us = POOL_NEVER;
	v->to_come = connections;
	m->unsettled += connections;
	for (uint32_t i = 0; i < m->s->closed_clients; i++)
		happens(m, service, NO_SLOT, EVENT_ARRIVE, around(m, m->s->pause_us));
	if (m->s->per_second)
		happens(m, service, NO_SLOT, EVENT_ARRIVE, random_below(&m->random, 1000000));
	if (m->s->crowd)
		happens(m, service, 0, EVENT_ARRIVE, random_below(&m->random, 1000000));
	if (m->s->stop_every_us)
		happens(m, service, NO_SLOT, EVENT_STOP, 100000);
	if (m->s->restart_every_us)
		happens(m, service, NO_SLOT, EVENT_RESTART, m->s->restart_every_us);
	settle(m, service);
}

static void close_service(struct sim *m, struct service *v)
{
	ASSERT(pool_load(v->pool) == 0 && !v->waiting.count);
	for (uint32_t i = 0; i < m->slots; i++)
		free(v->worker[i].offered.ring);
	free(v->worker);
	free(v->waiting.ring);
	free(v->pool);
}

/* Arrivals have no worker, or for a crowd one that is not meant. */
static bool is_stale(const struct sim *m, const struct event *e)
{
	if (e->slot == NO_SLOT || e->kind == EVENT_ARRIVE)
		return false;
	return m->service[e->service].worker[e->slot].serial != e->serial;
}

void sim_run(const struct scenario *s, uint32_t services, uint64_t connections, uint64_t seed,
	struct sim_result *ret)
{
	struct sim m = {.s = s, .random = seed, .slots = pool_slots(&s->limits), .result = ret};
	struct event e;

	*ret = (struct sim_result){.least_life = UINT64_MAX};
	m.service = calloc(services, sizeof(*m.service));
	ASSERT(m.service && m.slots < NO_SLOT);
	for (uint32_t i = 0; i < services; i++)
		open_service(&m, i, connections);
	while (m.unsettled && events_next(&m.events, &e)) {
		m.now_us = e.at_us;
		if (is_stale(&m, &e))
			continue;
		on_event[e.kind](&m, &e);
		settle(&m, e.service);
	}
	ASSERT(!m.unsettled);
	ret->virtual_us = m.now_us;
	for (uint32_t i = 0; i < services; i++)
		close_service(&m, &m.service[i]);
	free(m.service);
	events_free(&m.events);
}
