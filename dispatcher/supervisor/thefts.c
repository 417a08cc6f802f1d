/* A thief may be stopped for ever by a hostile worker that holds the lock of its own socket, so it is
 * a process that can be left behind. It is not killed then: once the worker is dead the lock is free,
 * the thief's read ends, and it puts back what it got. Killed in that moment it would take sockets with
 * it. Until it has gone, the next theft from the same worker waits, or it would find the queue empty;
 * but not for long: the acceptor offers nothing while it waits, and a worker may take for ever to die.
 *
 *     NONE -> RUNS -> ENDED (result announced until seen) -> NONE
 *      +-> WAITS (an abandoned thief is still there) -> RUNS, or ENDED
 */
#include "dispatcher/supervisor/thefts.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/page.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/thief.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define WAIT_LIMIT_MS 20  /* for an abandoned thief, which ends at once when the worker has died */
#define READ_LIMIT_MS 100 /* one read of the queue takes longer: the worker holds the lock */
#define LOOK_MS 25
#define THEFT_LIMIT_MS 5000 /* of a thief that does not even read */

enum theft_state { THEFT_NONE, THEFT_WAITS, THEFT_RUNS, THEFT_ENDED };

struct theft {
	struct news news;
	struct theft *next;
	struct thefts *all;
	enum theft_state state;
	uint32_t service, slot, serial, target_count;
	struct link_target targets[LINK_TARGETS];
	enum link_theft result;
	int loot_fd;
	struct link_loot *loot;
	uint64_t started_ms;
	struct child *child; /* also of an abandoned thief, whatever the state */
	struct timer *look;
};

struct thefts {
	struct thefts_world world;
	struct theft *first; /* one for each slot that was ever robbed */
};

static const unsigned may_follow[] = {
	[THEFT_NONE] = BIT(THEFT_WAITS) | BIT(THEFT_RUNS),
	[THEFT_WAITS] = BIT(THEFT_RUNS) | BIT(THEFT_ENDED),
	[THEFT_RUNS] = BIT(THEFT_ENDED),
	[THEFT_ENDED] = BIT(THEFT_NONE),
};

static void theft_set(struct theft *t, enum theft_state state)
{
	ASSERT(may_follow[t->state] & BIT(state));
	t->state = state;
}

static int say_theft(struct news *news, int fd)
{
	struct theft *t = (struct theft *)news;
	bool ended = t->state == THEFT_ENDED;
	struct link_record r = {.type = ended ? LINK_STOLEN : LINK_STEALING,
		.service = t->service,
		.slot = t->slot,
		.serial = t->serial,
		.status = (int32_t)t->result,
		.target_count = t->target_count};

	if (t->state == THEFT_NONE)
		return 0;
	memcpy(r.targets, t->targets, sizeof(r.targets));
	return link_send(fd, &r, &t->loot_fd, ended && t->loot_fd >= 0);
}

static void drop_loot(struct theft *t)
{
	if (t->loot)
		munmap(t->loot, sizeof(*t->loot));
	t->loot = NULL;
	base_close(&t->loot_fd);
}

static void end_theft(struct theft *t, enum link_theft result)
{
	struct worker *victim = workers_at(t->all->world.workers, t->service, t->slot);

	if (victim)
		worker_forget_gifts(victim); /* the thief drops what it finds of them */
	timer_stop(t->look);
	t->result = result;
	theft_set(t, THEFT_ENDED);
	outlet_push(t->all->world.outlet, &t->news);
}

/* --- the process --- */

static void start(struct theft *t);

static void on_child(void *user, int status)
{
	struct theft *t = user;

	t->child = NULL;
	if (t->state == THEFT_RUNS)
		end_theft(t, status ? LINK_THEFT_FAILED : LINK_THEFT_DONE);
	else if (t->state == THEFT_WAITS)
		start(t);
}

static bool abandon(struct theft *t)
{
	uint32_t phase = THIEF_READS;

	return atomic_compare_exchange_strong(&t->loot->phase, &phase, THIEF_ABANDONED);
}

static void on_look(void *user)
{
	struct theft *t = user;
	uint64_t now = clock_mono_ms();
	bool reads;

	if (t->state == THEFT_WAITS) {
		end_theft(t, LINK_THEFT_HUNG);
		return;
	}
	reads = atomic_load(&t->loot->phase) == THIEF_READS;

	if (reads && now >= atomic_load(&t->loot->reading_ms) + READ_LIMIT_MS && abandon(t)) {
		end_theft(t, LINK_THEFT_HUNG);
		return;
	}
	if (!reads && now >= t->started_ms + THEFT_LIMIT_MS && t->child)
		child_signal(t->child, SIGKILL);
	timer_in(t->look, LOOK_MS);
}

static int make_loot(struct theft *t)
{
	t->loot_fd = page_memory("loot", sizeof(*t->loot));
	if (t->loot_fd < 0) {
		int bad = t->loot_fd;

		t->loot_fd = -1;
		return bad;
	}
	t->loot = page_map(t->loot_fd, sizeof(*t->loot), 1);
	return t->loot ? 0 : -errno;
}

/* A target that is not there any more gets no room; its place in the list stays. */
static int launch_thief(struct theft *t, const struct parts *victim, int null)
{
	const struct thefts_world *w = &t->all->world;
	int fds[SPEC_MAX_FDS] = {null, w->log, w->log, victim->channel_worker, victim->channel,
		t->loot_fd};
	const char *arguments[LINK_TARGETS + 2] = {"--role=thief"};
	char rooms[LINK_TARGETS][12];
	struct launch l = {.title = "dispatcher: thief",
		.image = LAUNCH_SELF,
		.arguments = arguments,
		.uid = w->config->settings->uid,
		.gid = w->config->settings->gid,
		.umask = 077,
		.fds = fds,
		.fd_count = THIEF_TARGETS + t->target_count};
	pid_t pid;
	int bad;

	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, *w->nofile, *w->nofile};
	for (uint32_t i = 0; i < t->target_count; i++) {
		const struct parts *target = workers_parts(w->workers, t->service, t->targets[i].slot);

		snprintf(rooms[i], sizeof(rooms[i]), "%u", target ? t->targets[i].room : 0);
		arguments[i + 1] = rooms[i];
		fds[THIEF_TARGETS + i] = target ? target->channel : null;
	}
	bad = launch(&l, &pid, NULL);
	return bad ? bad : child_watch(w->children, pid, on_child, t, &t->child);
}

static void start(struct theft *t)
{
	const struct parts *victim = workers_parts(t->all->world.workers, t->service, t->slot);
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int bad = victim && null >= 0 ? make_loot(t) : -ENOENT;

	theft_set(t, THEFT_RUNS);
	t->started_ms = clock_mono_ms();
	if (!bad)
		bad = launch_thief(t, victim, null);
	if (bad)
		end_theft(t, LINK_THEFT_FAILED);
	else
		timer_in(t->look, LOOK_MS);
}

/* --- orders --- */

static bool is_sound(const struct thefts *all, const struct link_record *order)
{
	const struct workers *workers = all->world.workers;

	if (!workers_parts(workers, order->service, order->slot) || order->target_count > LINK_TARGETS)
		return false;
	for (uint32_t i = 0; i < order->target_count; i++) {
		uint32_t slot = order->targets[i].slot;

		if (slot >= workers_slots(workers, order->service) || slot == order->slot)
			return false;
	}
	return true;
}

static struct theft *find(const struct thefts *all, uint32_t service, uint32_t slot)
{
	struct theft *t = all->first;

	while (t && (t->service != service || t->slot != slot))
		t = t->next;
	return t;
}

static struct theft *theft_of(struct thefts *all, uint32_t service, uint32_t slot)
{
	struct theft *t = find(all, service, slot);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t || timer_new(all->world.loop, on_look, t, &t->look)) {
		free(t);
		return NULL;
	}
	t->all = all;
	t->service = service;
	t->slot = slot;
	t->news.say = say_theft;
	t->loot_fd = -1;
	t->next = all->first;
	all->first = t;
	return t;
}

void thefts_steal(struct thefts *all, const struct link_record *order)
{
	struct theft *t =
		is_sound(all, order) ? theft_of(all, order->service, order->slot) : NULL;

	if (!t)
		return;
	if (t->serial != order->serial) /* another worker's: nobody asks for it any more */
		thefts_seen(all, order->service, order->slot);
	if (t->state != THEFT_NONE) {
		outlet_push(all->world.outlet, &t->news);
		return;
	}
	t->serial = order->serial;
	t->target_count = order->target_count;
	memcpy(t->targets, order->targets, sizeof(t->targets));
	if (t->child) {
		theft_set(t, THEFT_WAITS);
		timer_in(t->look, WAIT_LIMIT_MS);
	} else {
		start(t);
	}
}

void thefts_seen(struct thefts *all, uint32_t service, uint32_t slot)
{
	struct theft *t = find(all, service, slot);

	if (!t || t->state != THEFT_ENDED)
		return;
	outlet_forget(all->world.outlet, &t->news);
	drop_loot(t);
	theft_set(t, THEFT_NONE);
}

void thefts_adopt(struct thefts *all, const uint32_t *map, uint32_t services)
{
	for (struct theft *t = all->first; t; t = t->next) {
		uint32_t service = 0;

		while (service < services && map[service] != t->service)
			service++;
		t->service = service < services ? service : UINT32_MAX; /* of a service that had nobody left */
	}
}

void thefts_announce(struct thefts *all)
{
	for (struct theft *t = all->first; t; t = t->next)
		if (t->state != THEFT_NONE)
			outlet_push(all->world.outlet, &t->news);
}

int thefts_new(const struct thefts_world *world, struct thefts **ret_thefts)
{
	struct thefts *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->world = *world;
	*ret_thefts = all;
	return 0;
}

struct thefts *thefts_free(struct thefts *all)
{
	struct theft *t;

	while (all && (t = all->first)) {
		all->first = t->next;
		outlet_forget(all->world.outlet, &t->news);
		drop_loot(t);
		timer_free(t->look);
		free(t);
	}
	free(all);
	return NULL;
}

/* --- over an exec --- */

bool thefts_under_way(const struct thefts *all)
{
	for (const struct theft *t = all->first; t; t = t->next)
		if (t->state == THEFT_WAITS || t->state == THEFT_RUNS)
			return true;
	return false;
}

static void save_theft(const struct theft *t, json_t *o)
{
	snapshot_put(o, "service", t->service);
	snapshot_put(o, "slot", t->slot);
	snapshot_put(o, "serial", t->serial);
	snapshot_put(o, "result", t->result);
	snapshot_put_fd(o, "loot_fd", t->loot_fd);
	for (uint32_t i = 0; i < t->target_count; i++) {
		json_t *target = snapshot_add(o, "targets");

		snapshot_put(target, "slot", t->targets[i].slot);
		snapshot_put(target, "room", t->targets[i].room);
	}
}

void thefts_save(const struct thefts *all, json_t *root)
{
	for (const struct theft *t = all->first; t; t = t->next)
		if (t->state == THEFT_ENDED)
			save_theft(t, snapshot_add(root, "thefts"));
}

static int restore_theft(struct thefts *all, json_t *o)
{
	struct theft *t = theft_of(all, (uint32_t)snapshot_number(o, "service", 0),
		(uint32_t)snapshot_number(o, "slot", 0));
	json_t *target;
	size_t i;

	if (!t)
		return -ENOMEM;
	t->serial = (uint32_t)snapshot_number(o, "serial", 0);
	t->result = (enum link_theft)snapshot_number(o, "result", LINK_THEFT_FAILED);
	t->loot_fd = snapshot_fd(o, "loot_fd");
	json_array_foreach(json_object_get(o, "targets"), i, target) {
		if (i == LINK_TARGETS)
			break;
		t->targets[t->target_count++] = (struct link_target){
			.slot = (uint32_t)snapshot_number(target, "slot", 0),
			.room = (uint32_t)snapshot_number(target, "room", 0)};
	}
	t->state = THEFT_ENDED;
	return 0;
}

int thefts_restore(struct thefts *all, json_t *root)
{
	json_t *theft;
	int bad = 0;
	size_t i;

	json_array_foreach(json_object_get(root, "thefts"), i, theft)
		if (!bad)
			bad = restore_theft(all, theft);
	return bad;
}
