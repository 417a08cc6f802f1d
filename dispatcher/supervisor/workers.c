/* Worker slots by service. The acceptor decides when a worker starts; this side enforces what no
 * acceptor, even a compromised one, may exceed: the number of living workers of a service, and a rate of
 * spawns. A worker that has been sent KILL no longer counts, or one that dies slowly (10,000 connections
 * to close) would hold up its replacement.
 *
 * A slot is free, or has a worker (worker.c) until the acceptor releases it. */
#include "dispatcher/supervisor/workers_inner.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/kin.h"
#include "dispatcher/supervisor/ledgers.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/unfit.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define SPAWNS_PER_SECOND 200
#define SPAWN_BURST 200

static struct gang *gang_of(const struct workers *all, uint32_t service)
{
	return service < all->gang_count ? all->gangs[service] : NULL;
}

struct worker *workers_at(const struct workers *all, uint32_t service, uint32_t slot)
{
	const struct gang *g = gang_of(all, service);

	return g && slot < g->slot_count ? g->slots[slot] : NULL;
}

/* --- what workers tell --- */

static bool lived(enum worker_state state)
{
	return state == WORKER_BORN || state == WORKER_RUNS;
}

static void on_became(void *user, struct worker *w, enum worker_state before)
{
	struct workers *all = user;
	struct gang *g = all->gangs[w->service];
	uint32_t change = (uint32_t)worker_lives(w) - (uint32_t)lived(before);

	if (before == WORKER_QUEUED) {
		g->queued--;
		all->queued--;
	}
	g->live += change;
	all->live += change;
	if (!w->killed)
		g->counted += change;
}

static void on_unusable(void *user, struct worker *w, int error, const char *why)
{
	struct workers *all = user;

	if (!all->gangs[w->service]->live)
		all->world.ops->unusable(all->world.user, w->service, error, why);
}

static void on_reaped(void *user, struct worker *w)
{
	struct workers *all = user;

	all->world.ops->exited(all->world.user);
}

/* Whoever waits for the last to have gone, waits for its kin, too. */
static void on_quiet(void *user)
{
	struct workers *all = user;

	all->world.ops->exited(all->world.user);
}

static const struct worker_ops worker_ops = {
	.became = on_became, .unusable = on_unusable, .reaped = on_reaped};

/* --- how many, how fast --- */

static void refill_tokens(struct workers *all)
{
	uint64_t now = clock_mono_ms();
	uint64_t more = (now - all->tokens_ms) * SPAWNS_PER_SECOND;

	all->tokens = (uint32_t)MIN(all->tokens + more, SPAWN_BURST * 1000u);
	all->tokens_ms = now;
}

static struct gang *next_gang(struct workers *all)
{
	struct gang *g;

	do {
		g = all->gangs[all->cursor];
		all->cursor = (all->cursor + 1) % all->gang_count;
	} while (!g->queued);
	return g;
}

static struct worker *next_queued(struct workers *all)
{
	struct gang *g = next_gang(all);
	struct worker *w;

	do {
		w = g->slots[g->cursor];
		g->cursor = (g->cursor + 1) % g->slot_count;
	} while (!w || w->state != WORKER_QUEUED);
	return w;
}

static void start(struct workers *all, struct worker *w)
{
	const struct settings *s = all->world.config->settings;
	const struct service_settings *svc = services_settings(all->world.services, w->service);

	worker_start(w, s, svc, logs_sink(all->world.logs, settings_text(s, svc->logfile)));
}

static void start_queued(void *user)
{
	struct workers *all = user;

	refill_tokens(all);
	while (all->queued && all->tokens >= 1000) {
		struct worker *w = next_queued(all);

		all->tokens -= 1000;
		start(all, w);
	}
	if (all->queued)
		timer_in(all->later, 1000 / SPAWNS_PER_SECOND);
}

/* Those that are to be replaced by order may drain beside the others, up to max_procs of them. */
static uint32_t most_living(const struct gang *g, const struct service_settings *svc)
{
	uint32_t beside = 0;

	for (uint32_t i = 0; i < g->slot_count; i++) {
		const struct worker *w = g->slots[i];

		beside += w && worker_lives(w) && !w->killed && worker_is_ordered(w);
	}
	return svc->max_procs + svc->max_shutdown + MIN(beside, svc->max_procs);
}

static bool may_run(const struct workers *all, uint32_t service)
{
	const struct services *services = all->world.services;
	const struct service_settings *svc = services_settings(services, service);

	return services_state(services, service) == LINK_OPEN &&
		all->gangs[service]->counted < most_living(all->gangs[service], svc);
}

/* --- orders --- */

void workers_run(struct workers *all, uint32_t service, uint32_t slot)
{
	struct gang *g = gang_of(all, service);

	if (!g || slot >= g->slot_count || g->slots[slot] ||
		worker_new(&all->worker_world, service, slot, g->next_serial, &g->slots[slot]))
		return;
	g->next_serial++;
	g->queued++;
	all->queued++;
	if (may_run(all, service))
		start_queued(all);
	else
		worker_refuse(g->slots[slot], EDQUOT);
}

static struct worker *worker_of(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial)
{
	struct worker *w = workers_at(all, service, slot);

	return w && w->serial == serial ? w : NULL;
}

static void send_signal(struct workers *all, struct worker *w, int number)
{
	bool killed = w->killed;

	worker_signal(w, number);
	if (w->killed && !killed)
		all->gangs[w->service]->counted--;
}

void workers_signal(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial, int number)
{
	struct worker *w = worker_of(all, service, slot, serial);

	if (w)
		send_signal(all, w, number);
}

void workers_examine(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial)
{
	struct worker *w = worker_of(all, service, slot, serial);

	if (w && w->kind != LINK_NATIVE && worker_lives(w) && unfit_uses_uring(w->pid))
		worker_unfit(w, "it accepts by io_uring, which no adapter reaches", unfit_uring());
}

static bool is_named(const struct worker *w, const char *name)
{
	return w && w->child && strcmp(w->log.label, name) == 0;
}

void workers_signal_named(struct workers *all, const char *name, int number)
{
	for (uint32_t i = 0; i < all->gang_count; i++)
		for (uint32_t s = 0; s < all->gangs[i]->slot_count; s++)
			if (is_named(all->gangs[i]->slots[s], name))
				send_signal(all, all->gangs[i]->slots[s], number);
}

void workers_release(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial)
{
	struct worker *w = worker_of(all, service, slot, serial);

	if (w && w->state == WORKER_EXITED)
		all->gangs[service]->slots[slot] = worker_free(w);
}

void workers_kill_all(struct workers *all)
{
	for (uint32_t i = 0; i < all->gang_count; i++)
		for (uint32_t s = 0; s < all->gangs[i]->slot_count; s++)
			if (all->gangs[i]->slots[s])
				send_signal(all, all->gangs[i]->slots[s], SIGKILL);
}

/* --- the acceptor --- */

/* What the last acceptor ordered and did not get. */
static void cancel(struct workers *all, struct gang *g, uint32_t slot)
{
	g->queued--;
	all->queued--;
	g->slots[slot] = worker_free(g->slots[slot]);
}

void workers_announce(struct workers *all)
{
	for (uint32_t i = 0; i < all->gang_count; i++) {
		struct gang *g = all->gangs[i];

		for (uint32_t s = 0; s < g->slot_count; s++) {
			struct worker *w = g->slots[s];

			if (!w)
				continue;
			w->started_said = w->stale_said = w->image_said = w->unfit_said = false;
			if (w->state == WORKER_QUEUED)
				cancel(all, g, s);
			else if (w->state != WORKER_BORN)
				worker_announce(w);
		}
	}
}

/* --- the tables --- */

static struct gang *gang_free(struct gang *g)
{
	for (uint32_t i = 0; g && g->slots && i < g->slot_count; i++)
		worker_free(g->slots[i]);
	if (g)
		free(g->slots);
	free(g);
	return NULL;
}

static struct gang *gang_new(uint32_t slots)
{
	struct gang *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->next_serial = 1;
	g->slot_count = g->room = slots;
	g->slots = calloc(slots + 1, sizeof(struct worker *));
	return g->slots ? g : gang_free(g);
}

static int make_gangs(struct workers *all, uint32_t count)
{
	all->gangs = calloc(count + 1, sizeof(struct gang *));
	if (!all->gangs)
		return -ENOMEM;
	while (all->gang_count < count) {
		const struct service_settings *svc =
			services_settings(all->world.services, all->gang_count);
		struct ledger_need has = ledgers_has(*all->world.ledger_fd, all->gang_count);
		struct gang *g = gang_new(MAX(settings_worker_slots(svc), has.workers));

		if (!g)
			return -ENOMEM;
		all->gangs[all->gang_count++] = g;
	}
	return 0;
}

/* --- other tables --- */

uint32_t workers_in_use(const struct workers *all, uint32_t service)
{
	const struct gang *g = gang_of(all, service);
	uint32_t used = g ? g->slot_count : 0;

	while (used && !g->slots[used - 1])
		used--;
	return used;
}

static bool is_present(const struct workers *all, const struct gang *g)
{
	for (uint32_t i = 0; i < all->gang_count; i++)
		if (all->gangs[i] == g)
			return true;
	return false;
}

void workers_discard(struct workers *all)
{
	for (uint32_t i = 0; i < all->next_count; i++)
		if (!is_present(all, all->next[i]))
			gang_free(all->next[i]);
	free(all->next);
	all->next = NULL;
	all->next_count = 0;
}

/* Room for as many slots as it may need, beside those it has. */
static bool widen(struct gang *g, uint32_t slots)
{
	struct worker **wider = reallocarray(g->slots, slots + 1, sizeof(*wider));

	if (!wider)
		return false;
	for (uint32_t i = g->slot_count; i < slots; i++)
		wider[i] = NULL;
	g->slots = wider;
	g->room = slots;
	return true;
}

int workers_prepare(struct workers *all, const uint32_t *map, const struct settings *tables)
{
	all->next = calloc(tables->services.count + 1, sizeof(struct gang *));
	if (!all->next)
		return -ENOMEM;
	for (uint32_t i = 0; i < tables->services.count; i++) {
		uint32_t slots = settings_worker_slots(settings_service(tables, i));
		struct gang *g = gang_of(all, map[i]);

		if (!g)
			g = gang_new(slots);
		else if (!widen(g, MAX(slots, g->slot_count)))
			g = NULL;
		if (!g) {
			workers_discard(all);
			return -ENOMEM;
		}
		all->next[all->next_count++] = g;
	}
	return 0;
}

bool workers_have_room(const struct workers *all, const struct ledger_need *has)
{
	for (uint32_t i = 0; i < all->next_count; i++)
		if (has[i].workers > all->next[i]->room)
			return false;
	return true;
}

static void renumber(struct gang *g, uint32_t service)
{
	for (uint32_t i = 0; i < g->slot_count; i++)
		if (g->slots[i])
			g->slots[i]->service = service;
}

static bool is_next(const struct workers *all, const struct gang *g)
{
	for (uint32_t i = 0; i < all->next_count; i++)
		if (all->next[i] == g)
			return true;
	return false;
}

void workers_adopt(struct workers *all, const struct ledger_need *has)
{
	for (uint32_t i = 0; i < all->gang_count; i++)
		if (!is_next(all, all->gangs[i]))
			gang_free(all->gangs[i]);
	free(all->gangs);
	all->gangs = all->next;
	all->gang_count = all->next_count;
	all->next = NULL;
	all->next_count = 0;
	all->cursor = 0;
	for (uint32_t i = 0; i < all->gang_count; i++) {
		struct gang *g = all->gangs[i];

		ASSERT(workers_in_use(all, i) <= has[i].workers && has[i].workers <= g->room);
		g->slot_count = has[i].workers;
		g->cursor = 0;
		renumber(g, i);
	}
}

uint32_t workers_next_serial(struct workers *all, uint32_t service)
{
	return all->next[service]->next_serial++;
}

const struct worker_world *workers_shared(const struct workers *all)
{
	return &all->worker_world;
}

static uint32_t free_slot(const struct gang *g)
{
	uint32_t slot = 0;

	while (slot < g->slot_count && g->slots[slot])
		slot++;
	return slot;
}

bool workers_have_place(const struct workers *all, uint32_t service)
{
	return free_slot(all->gangs[service]) < all->gangs[service]->slot_count;
}

void workers_place(struct workers *all, uint32_t service, struct worker *w)
{
	struct gang *g = all->gangs[service];
	uint32_t slot = free_slot(g);

	ASSERT(slot < g->slot_count);
	g->slots[slot] = w;
	worker_move(w, &all->worker_world, service, slot);
	g->live++;
	g->counted++;
	all->live++;
}

/* --- life --- */

int workers_new(const struct workers_world *world, struct workers **ret_workers)
{
	struct workers *all = calloc(1, sizeof(*all));
	int bad;

	if (!all)
		return -ENOMEM;
	all->world = *world;
	all->worker_world = (struct worker_world){.loop = world->loop,
		.children = world->children,
		.outlet = world->outlet,
		.logs = world->logs,
		.secrets = world->secrets,
		.nofile = world->nofile,
		.ops = &worker_ops,
		.user = all};
	all->tokens = SPAWN_BURST * 1000u;
	all->tokens_ms = clock_mono_ms();
	bad = kin_new(world->loop, world->children, on_quiet, all, &all->kin);
	all->worker_world.kin = all->kin;
	if (!bad)
		bad = make_gangs(all, services_count(world->services));
	if (!bad)
		bad = timer_new(world->loop, start_queued, all, &all->later);
	if (bad)
		workers_free(all);
	else
		*ret_workers = all;
	return bad;
}

struct workers *workers_free(struct workers *all)
{
	if (!all)
		return NULL;
	workers_discard(all);
	for (uint32_t i = 0; i < all->gang_count; i++)
		gang_free(all->gangs[i]);
	kin_free(all->kin);
	timer_free(all->later);
	free(all->gangs);
	free(all);
	return NULL;
}

uint32_t workers_slots(const struct workers *all, uint32_t service)
{
	const struct gang *g = gang_of(all, service);

	return g ? g->slot_count : 0;
}

uint32_t workers_live(const struct workers *all, uint32_t service)
{
	return all->gangs[service]->live;
}

uint32_t workers_live_total(const struct workers *all)
{
	return all->live;
}

const struct parts *workers_parts(const struct workers *all, uint32_t service, uint32_t slot)
{
	const struct worker *w = workers_at(all, service, slot);

	return w && w->parts.channel >= 0 ? &w->parts : NULL;
}

bool workers_have_kin(const struct workers *all)
{
	return kin_under_way(all->kin);
}
