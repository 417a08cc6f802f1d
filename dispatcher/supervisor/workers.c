/* Worker slots. The acceptor decides when a worker starts; this side enforces what no acceptor, even a
 * compromised one, may exceed: the number of living workers of a service, and a rate of spawns. A
 * worker that has been sent KILL no longer counts, or one that dies slowly (10,000 connections to
 * close) would hold up its replacement.
 *
 *     FREE -> QUEUED (rate) -> BORN (spawned, its image not yet exec'ed) -> RUNS -> EXITED -> FREE
 *               |  \             |                                                  ^
 *               |   +------------+------------- cannot be started ------------------+
 *               +-> FREE (the acceptor that asked has gone)
 */
#include "dispatcher/supervisor/workers.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/page.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/birth.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/spec.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#define SPAWNS_PER_SECOND 200
#define SPAWN_BURST 200

enum slot_state { SLOT_FREE, SLOT_QUEUED, SLOT_BORN, SLOT_RUNS, SLOT_EXITED };

struct slot {
	struct news news;
	struct log_source log;
	struct workers *all;
	uint32_t index, service, serial;
	enum slot_state state;
	bool started_said; /* this acceptor has had LINK_WORKER */
	bool killed;	   /* was sent KILL: no longer counts against the limit */
	pid_t pid;
	int status, error;
	uint64_t created_ms, created_wall_ms;
	struct parts parts;
	struct child *child;
	int birth_fd;
	struct watch *birth;
};

struct service_count {
	uint32_t first_slot;
	uint32_t next_serial;
	uint32_t live;	  /* BORN and RUNS */
	uint32_t counted; /* of these: not sent KILL */
};

struct workers {
	struct workers_world world;
	struct service_count *services;
	struct slot *slots;
	uint32_t slot_count, live, queued;
	uint32_t cursor; /* where to look for the next queued one: fair between services */
	uint32_t tokens; /* thousandths of a spawn */
	uint64_t tokens_ms;
	struct timer *later;
};

static const unsigned may_follow[] = {
	[SLOT_FREE] = BIT(SLOT_QUEUED),
	[SLOT_QUEUED] = BIT(SLOT_BORN) | BIT(SLOT_EXITED) | BIT(SLOT_FREE),
	[SLOT_BORN] = BIT(SLOT_RUNS) | BIT(SLOT_EXITED),
	[SLOT_RUNS] = BIT(SLOT_EXITED),
	[SLOT_EXITED] = BIT(SLOT_FREE),
};

static bool lives(enum slot_state state)
{
	return state == SLOT_BORN || state == SLOT_RUNS;
}

static void count_life(struct slot *s, int change)
{
	struct service_count *c = &s->all->services[s->service];

	c->live += (uint32_t)change;
	s->all->live += (uint32_t)change;
	if (!s->killed)
		c->counted += (uint32_t)change;
}

static void slot_set(struct slot *s, enum slot_state state)
{
	ASSERT(may_follow[s->state] & BIT(state));
	s->all->queued += (state == SLOT_QUEUED) - (s->state == SLOT_QUEUED);
	if (lives(state) != lives(s->state))
		count_life(s, lives(state) ? 1 : -1);
	s->state = state;
}

static void announce(struct slot *s)
{
	outlet_push(s->all->world.outlet, &s->news);
}

/* --- what the acceptor is told --- */

static int say_started(struct slot *s, int fd)
{
	struct link_record r = {.type = LINK_WORKER,
		.service = s->service,
		.slot = s->index,
		.serial = s->serial,
		.pid = s->pid,
		.created_ms = s->created_ms,
		.created_wall_ms = s->created_wall_ms};
	int fds[] = {s->parts.channel, s->parts.page, s->parts.bell};

	return link_send(fd, &r, fds, ARRAY_LEN(fds));
}

static int say_exited(struct slot *s, int fd)
{
	struct link_record r = {.type = LINK_EXITED,
		.service = s->service,
		.slot = s->index,
		.serial = s->serial,
		.pid = s->error ? 0 : s->pid,
		.status = s->status,
		.error = s->error};

	return link_send(fd, &r, NULL, 0);
}

static int say_slot(struct news *news, int fd)
{
	struct slot *s = (struct slot *)news;
	bool ran = s->state == SLOT_RUNS || (s->state == SLOT_EXITED && !s->error);
	int answer;

	if (ran && !s->started_said) {
		answer = say_started(s, fd);
		if (answer)
			return answer;
		s->started_said = true;
	}
	return s->state == SLOT_EXITED ? say_exited(s, fd) : 0;
}

void workers_announce(struct workers *all)
{
	for (uint32_t i = 0; i < all->slot_count; i++) {
		struct slot *s = &all->slots[i];

		s->started_said = false;
		if (s->state == SLOT_QUEUED)
			slot_set(s, SLOT_FREE);
		if (s->state == SLOT_RUNS || s->state == SLOT_EXITED)
			announce(s);
	}
}

/* --- birth and end --- */

static void close_birth(struct slot *s)
{
	s->birth = watch_free(s->birth);
	base_close(&s->birth_fd);
}

/* error: positive errno when it never ran, else 0 and status. */
static void ended(struct slot *s, int status, int error)
{
	s->status = status;
	s->error = error;
	slot_set(s, SLOT_EXITED);
	announce(s);
}

static const char *name_of(const struct slot *s)
{
	return settings_text(s->all->world.settings,
		services_settings(s->all->world.services, s->service)->name);
}

static void could_not_start(struct slot *s, int error, const char *step)
{
	const struct workers_world *w = &s->all->world;
	char why[200], quoted[LOG_QUOTE_BYTES];

	snprintf(why, sizeof(why), "%s: %s", step, strerror(error));
	log_event(EV_WORKER_SPAWN_FAILED, "worker=%s/%u why=%s", name_of(s), s->serial,
		log_quote(why, quoted));
	ended(s, 0, error);
	if ((error == ENOENT || error == EACCES || error == ENOEXEC) &&
		!s->all->services[s->service].live)
		w->ops->unusable(w->user, s->service, error, why);
}

static void begins_to_run(struct slot *s)
{
	const struct workers_world *w = &s->all->world;

	slot_set(s, SLOT_RUNS);
	log_event(EV_WORKER_SPAWN, "worker=%s/%u pid=%d image=%s", name_of(s), s->serial, s->pid,
		settings_text(w->settings, services_settings(w->services, s->service)->image));
	announce(s);
}

/* Reads what the exec step said. True: the image could not be run. */
static bool read_failure(struct slot *s, struct spec_failure *ret_failure)
{
	ssize_t got = read(s->birth_fd, ret_failure, sizeof(*ret_failure));

	close_birth(s);
	ret_failure->step[sizeof(ret_failure->step) - 1] = '\0';
	return got == sizeof(*ret_failure) && ret_failure->error > 0;
}

static void on_child(void *user, int status)
{
	struct slot *s = user;
	const struct workers_world *w = &s->all->world;
	struct spec_failure failure;

	s->child = NULL;
	if (s->state == SLOT_BORN && read_failure(s, &failure)) {
		could_not_start(s, failure.error, failure.step);
	} else {
		if (s->state == SLOT_BORN)
			begins_to_run(s);
		ended(s, status, 0);
	}
	w->ops->exited(w->user, s->service);
}

/* A failure leaves the slot BORN until the process, which is about to exit, has been reaped. */
static void on_birth(void *user, unsigned events)
{
	struct slot *s = user;
	int waiting = 0;

	if (ioctl(s->birth_fd, FIONREAD, &waiting) == 0 && waiting) {
		watch_set(s->birth, 0); /* on_child reads it */
	} else {
		close_birth(s);
		begins_to_run(s);
	}
}

static void add_log(struct slot *s)
{
	snprintf(s->log.label, sizeof(s->log.label), "%.80s/%u", name_of(s), s->serial);
	s->log.fd = s->parts.log;
	s->log.pid = s->pid;
	s->log.sink = logs_sink(s->all->world.logs, s->service);
	logs_add(s->all->world.logs, &s->log);
}

static int watch_birth(struct slot *s)
{
	const struct workers_world *w = &s->all->world;
	int bad = child_watch(w->children, s->pid, on_child, s, &s->child);

	if (!bad)
		bad = watch_new(w->loop, s->birth_fd, WATCH_READ, on_birth, s, &s->birth);
	if (bad && s->child)
		child_signal_group(s->child, SIGKILL); /* on_child tells the rest */
	else if (bad)
		kill(-s->pid, SIGKILL); /* the sweep reaps it */
	return s->child ? 0 : bad;
}

static int give_birth(struct slot *s)
{
	const struct workers_world *w = &s->all->world;
	struct birth b = {.settings = w->settings,
		.service = services_settings(w->services, s->service),
		.serial = s->serial,
		.bell = s->index,
		.bells = w->bells,
		.nofile = w->nofile};
	int bad = parts_make(&s->parts, birth_ring_len(&b));

	if (!bad)
		bad = birth_launch(&b, &s->parts, &s->pid, &s->birth_fd);
	parts_given(&s->parts);
	return bad ? bad : watch_birth(s);
}

static void start(struct slot *s)
{
	int bad;

	s->created_ms = clock_mono_ms();
	s->created_wall_ms = clock_wall_ms();
	bad = give_birth(s);
	if (bad) {
		could_not_start(s, -bad, "spawn");
		return;
	}
	slot_set(s, SLOT_BORN);
	add_log(s);
}

/* --- how many, how fast --- */

static void refill_tokens(struct workers *all)
{
	uint64_t now = clock_mono_ms();
	uint64_t more = (now - all->tokens_ms) * SPAWNS_PER_SECOND;

	all->tokens = (uint32_t)MIN(all->tokens + more, SPAWN_BURST * 1000u);
	all->tokens_ms = now;
}

static struct slot *next_queued(struct workers *all)
{
	while (all->slots[all->cursor].state != SLOT_QUEUED)
		all->cursor = (all->cursor + 1) % all->slot_count;
	return &all->slots[all->cursor];
}

static void start_queued(void *user)
{
	struct workers *all = user;

	refill_tokens(all);
	while (all->queued && all->tokens >= 1000) {
		struct slot *s = next_queued(all);

		all->cursor = (all->cursor + 1) % all->slot_count;
		all->tokens -= 1000;
		start(s);
	}
	if (all->queued)
		timer_in(all->later, 1000 / SPAWNS_PER_SECOND);
}

static bool may_run(const struct slot *s)
{
	const struct services *services = s->all->world.services;
	const struct service_settings *svc = services_settings(services, s->service);

	return services_state(services, s->service) == LINK_OPEN &&
		s->all->services[s->service].counted < svc->max_procs + svc->max_shutdown;
}

/* --- orders --- */

void workers_run(struct workers *all, uint32_t slot)
{
	struct slot *s = slot < all->slot_count ? &all->slots[slot] : NULL;

	if (!s || s->state != SLOT_FREE)
		return;
	s->serial = all->services[s->service].next_serial++;
	s->started_said = s->killed = false;
	s->error = s->status = 0;
	s->pid = 0;
	slot_set(s, SLOT_QUEUED);
	if (may_run(s))
		start_queued(all);
	else
		ended(s, 0, EDQUOT);
}

static struct slot *slot_of(struct workers *all, uint32_t slot, uint32_t serial)
{
	if (slot >= all->slot_count || all->slots[slot].state == SLOT_FREE)
		return NULL;
	return all->slots[slot].serial == serial ? &all->slots[slot] : NULL;
}

static void kill_slot(struct slot *s)
{
	child_signal_group(s->child, SIGKILL);
	if (!s->killed)
		s->all->services[s->service].counted--;
	s->killed = true;
}

void workers_signal(struct workers *all, uint32_t slot, uint32_t serial, int number)
{
	struct slot *s = slot_of(all, slot, serial);

	if (!s || !s->child)
		return;
	if (number == SIGTERM)
		child_signal(s->child, SIGTERM);
	else if (number == SIGKILL)
		kill_slot(s);
}

static void forget(struct slot *s)
{
	close_birth(s);
	outlet_forget(s->all->world.outlet, &s->news);
	logs_remove(s->all->world.logs, &s->log);
	parts_close(&s->parts);
}

void workers_release(struct workers *all, uint32_t slot, uint32_t serial)
{
	struct slot *s = slot_of(all, slot, serial);

	if (!s || s->state != SLOT_EXITED)
		return;
	forget(s);
	slot_set(s, SLOT_FREE);
}

void workers_kill_all(struct workers *all)
{
	for (uint32_t i = 0; i < all->slot_count; i++)
		if (all->slots[i].child)
			kill_slot(&all->slots[i]);
}

/* --- the tables --- */

static void count_slots(struct workers *all)
{
	for (uint32_t i = 0; i < services_count(all->world.services); i++) {
		all->services[i] = (struct service_count){
			.first_slot = all->slot_count, .next_serial = 1};
		all->slot_count += settings_worker_slots(services_settings(all->world.services, i));
	}
}

static void init_slots(struct workers *all)
{
	uint32_t service = 0;

	for (uint32_t i = 0; i < all->slot_count; i++) {
		while (service + 1 < services_count(all->world.services) &&
			all->services[service + 1].first_slot <= i)
			service++;
		all->slots[i] = (struct slot){.all = all,
			.index = i,
			.service = service,
			.news.say = say_slot,
			.parts = PARTS_NONE,
			.birth_fd = -1};
	}
}

int workers_new(const struct workers_world *world, struct workers **ret_workers)
{
	struct workers *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->world = *world;
	all->tokens = SPAWN_BURST * 1000u;
	all->tokens_ms = clock_mono_ms();
	all->services = calloc(services_count(world->services) + 1, sizeof(*all->services));
	if (all->services)
		count_slots(all);
	all->slots = calloc(all->slot_count + 1, sizeof(*all->slots));
	if (!all->services || !all->slots ||
		timer_new(world->loop, start_queued, all, &all->later)) {
		all->slot_count = 0;
		workers_free(all);
		return -ENOMEM;
	}
	init_slots(all);
	*ret_workers = all;
	return 0;
}

struct workers *workers_free(struct workers *all)
{
	for (uint32_t i = 0; all && i < all->slot_count; i++)
		forget(&all->slots[i]);
	if (all) {
		timer_free(all->later);
		free(all->slots);
		free(all->services);
	}
	free(all);
	return NULL;
}

uint32_t workers_slots(const struct workers *all)
{
	return all->slot_count;
}

uint32_t workers_live(const struct workers *all, uint32_t service)
{
	return all->services[service].live;
}

uint32_t workers_live_total(const struct workers *all)
{
	return all->live;
}

const struct parts *workers_parts(const struct workers *all, uint32_t slot)
{
	if (slot >= all->slot_count || all->slots[slot].parts.channel < 0)
		return NULL;
	return &all->slots[slot].parts;
}

uint32_t workers_service(const struct workers *all, uint32_t slot)
{
	return all->slots[slot].service;
}
