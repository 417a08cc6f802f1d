/* The life of one worker process. What connects it (parts) outlives the process, so that what it has
 * not read can be given to others; that ends when the acceptor says that everything is settled. */
#include "dispatcher/supervisor/worker.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/msg.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/adaptation.h"
#include "dispatcher/supervisor/birth.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/kin.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/spec.h"
#include "dispatcher/supervisor/unfit.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#define DAEMON_MS 60000 /* a first process that leaves later than that has served */

static const unsigned may_follow[] = {
	[WORKER_QUEUED] = BIT(WORKER_BORN) | BIT(WORKER_EXITED),
	[WORKER_BORN] = BIT(WORKER_RUNS) | BIT(WORKER_EXITED),
	[WORKER_RUNS] = BIT(WORKER_EXITED),
	[WORKER_EXITED] = 0,
};

static void set_state(struct worker *w, enum worker_state state)
{
	enum worker_state before = w->state;

	ASSERT(may_follow[before] & BIT(state));
	w->state = state;
	w->world->ops->became(w->world->user, w, before);
}

bool worker_lives(const struct worker *w)
{
	return w->state == WORKER_BORN || w->state == WORKER_RUNS;
}

/* --- what the acceptor is told --- */

static int say_started(struct worker *w, int fd)
{
	struct link_record r = {.type = LINK_WORKER,
		.service = w->service,
		.slot = w->slot,
		.serial = w->serial,
		.number = w->ring_len,
		.status = w->kind,
		.error = w->stop_signal,
		.id = w->listeners,
		.pid = w->pid,
		.created_ms = w->created_ms,
		.created_wall_ms = w->created_wall_ms};
	int fds[] = {w->parts.channel, w->parts.page, w->parts.doorbell, w->parts.bell};

	return link_send(fd, &r, fds, ARRAY_LEN(fds));
}

static int say_stale(struct worker *w, int fd)
{
	struct link_record r = {.type = LINK_STALE,
		.service = w->service,
		.slot = w->slot,
		.serial = w->serial,
		.number = w->stale.why,
		.deadline_ms = w->stale.drain_ms,
		.created_ms = w->stale.since_ms};

	return link_send(fd, &r, NULL, 0);
}

static int say_exited(struct worker *w, int fd)
{
	struct link_record r = {.type = LINK_EXITED,
		.service = w->service,
		.slot = w->slot,
		.serial = w->serial,
		.pid = w->error ? 0 : w->pid,
		.status = w->status,
		.error = w->error};

	return link_send(fd, &r, NULL, 0);
}

static int say_image(struct worker *w, int fd)
{
	struct link_record r = {.type = LINK_IMAGE,
		.service = w->service,
		.slot = w->slot,
		.serial = w->serial,
		.number = w->image_replaced};

	return link_send(fd, &r, NULL, 0);
}

static int say_unfit(struct worker *w, int fd)
{
	struct link_record r = {.type = LINK_UNFIT,
		.service = w->service,
		.slot = w->slot,
		.serial = w->serial};

	memcpy(r.text, w->unfit, sizeof(r.text));
	return link_send(fd, &r, NULL, 0);
}

static int say_worker(struct news *news, int fd)
{
	struct worker *w = (struct worker *)news;
	bool ran = w->state == WORKER_RUNS || (w->state == WORKER_EXITED && !w->error);
	int answer;

	if (ran && !w->started_said) {
		answer = say_started(w, fd);
		if (answer)
			return answer;
		w->started_said = true;
	}
	if (w->state == WORKER_RUNS && w->stale.why && !w->stale_said) {
		answer = say_stale(w, fd);
		if (answer)
			return answer;
		w->stale_said = true;
	}
	if (w->state == WORKER_RUNS && w->image_said != w->image_replaced) {
		answer = say_image(w, fd);
		if (answer)
			return answer;
		w->image_said = w->image_replaced;
	}
	if (ran && *w->unfit && !w->unfit_said) {
		answer = say_unfit(w, fd);
		if (answer)
			return answer;
		w->unfit_said = true;
	}
	return w->state == WORKER_EXITED ? say_exited(w, fd) : 0;
}

void worker_announce(struct worker *w)
{
	if (w->slot != WORKER_NO_SLOT)
		outlet_push(w->world->outlet, &w->news);
}

void worker_image_replaced(struct worker *w, bool replaced)
{
	w->image_replaced = replaced;
	if (w->image_said != replaced)
		worker_announce(w);
}

/* --- to be replaced --- */

bool worker_is_ordered(const struct worker *w)
{
	return w->stale.why == LINK_STALE_RESTARTED || w->stale.why == LINK_STALE_CHANGED;
}

static uint64_t deadline(uint64_t since_ms, uint64_t drain_ms)
{
	return drain_ms < UINT64_MAX - since_ms ? since_ms + drain_ms : UINT64_MAX;
}

void worker_replace(struct worker *w, enum link_stale why, uint64_t drain_ms, uint64_t since_ms)
{
	const struct worker_stale *s = &w->stale;

	if (worker_is_ordered(w) && (why == LINK_STALE_MEMORY ||
			deadline(since_ms, drain_ms) >= deadline(s->since_ms, s->drain_ms)))
		return;
	if (!s->why || !worker_is_ordered(w))
		w->stale.since_wall_ms = clock_wall_ms();
	w->stale.why = why;
	w->stale.drain_ms = drain_ms;
	w->stale.since_ms = since_ms;
	w->stale_said = false;
	if (w->state == WORKER_RUNS)
		worker_announce(w);
}

/* --- birth and end --- */

static void close_birth(struct worker *w)
{
	w->birth = watch_free(w->birth);
	base_close(&w->birth_fd);
}

/* error: positive errno when it never ran, else 0 and status. */
static void ended(struct worker *w, int status, int error)
{
	w->status = status;
	w->error = error;
	set_state(w, WORKER_EXITED);
	worker_announce(w);
}

static void could_not_start(struct worker *w, int error, const char *step)
{
	char why[200], quoted[LOG_QUOTE_BYTES];

	snprintf(why, sizeof(why), "%s: %s", step, strerror(error));
	log_event(EV_WORKER_SPAWN_FAILED, "worker=%s why=%s", w->log.label, log_quote(why, quoted));
	ended(w, 0, error);
	if (error == ENOENT || error == EACCES || error == ENOEXEC)
		w->world->ops->unusable(w->world->user, w, error, why);
}

static void begins_to_run(struct worker *w)
{
	set_state(w, WORKER_RUNS);
	log_event(EV_WORKER_SPAWN, "worker=%s pid=%d image=%s", w->log.label, w->pid, w->image);
	worker_announce(w);
}

/* Reads what the exec step said. True: the image could not be run. */
static bool read_failure(struct worker *w, struct spec_failure *ret_failure)
{
	ssize_t got = read(w->birth_fd, ret_failure, sizeof(*ret_failure));

	close_birth(w);
	ret_failure->step[sizeof(ret_failure->step) - 1] = '\0';
	return got == sizeof(*ret_failure) && ret_failure->error > 0;
}

static unsigned kill_kin(const struct worker *w)
{
	struct kin_of of = {.pid = w->pid, .page = w->parts.page, .log = w->parts.log};

	return kin_kill(w->world->kin, &of);
}

/* Its first process has gone: so do all others. Where that one left by itself, and in peace, it was meant
 * to: the others were to go on as a daemon, which nobody could look after. */
static void end_kin(struct worker *w, int status)
{
	unsigned others = kill_kin(w);

	if (others && !status && !w->stopping && !w->killed &&
		clock_mono_ms() - w->created_ms < DAEMON_MS)
		worker_unfit(w, "it went into the background", unfit_foreground(w->image));
}

static void on_child(void *user, int status)
{
	struct worker *w = user;
	const struct worker_world *world = w->world;
	struct spec_failure failure;

	w->child = NULL;
	if (w->state == WORKER_BORN && read_failure(w, &failure)) {
		could_not_start(w, failure.error, failure.step);
	} else {
		if (w->state == WORKER_BORN)
			begins_to_run(w);
		if (w->kind != LINK_NATIVE)
			end_kin(w, status);
		ended(w, status, 0);
	}
	world->ops->reaped(world->user, w);
}

/* A failure leaves it BORN until the process, which is about to exit, has been reaped. */
static void on_birth(void *user, unsigned events)
{
	struct worker *w = user;
	int waiting = 0;

	if (ioctl(w->birth_fd, FIONREAD, &waiting) == 0 && waiting) {
		watch_set(w->birth, 0); /* on_child reads it */
	} else {
		close_birth(w);
		begins_to_run(w);
	}
}

static int watch_birth(struct worker *w)
{
	const struct worker_world *world = w->world;
	int bad = child_watch(world->children, w->pid, on_child, w, &w->child);

	if (!bad)
		bad = watch_new(world->loop, w->birth_fd, WATCH_READ, on_birth, w, &w->birth);
	if (bad && w->child)
		child_signal_group(w->child, SIGKILL); /* on_child tells the rest */
	else if (bad)
		kill(-w->pid, SIGKILL); /* the sweep reaps it */
	return w->child ? 0 : bad;
}

static void note_kind(struct worker *w, const struct birth *b)
{
	if (b->service->adapter != ADAPTER_SERVER)
		return;
	w->kind = b->service->stop_style == STOP_EOF ? LINK_ADAPTED_EOF : LINK_ADAPTED;
	w->stop_signal = (int)b->service->stop_signal;
	w->listeners = adaptation_listeners(b->settings, b->service);
}

static int give_birth(struct worker *w, const struct birth *b)
{
	int bad;

	w->ring_len = birth_ring_len(b);
	w->image = strdup(settings_text(b->settings, b->service->image));
	if (!w->image)
		return -ENOMEM;
	note_kind(w, b);
	bad = parts_make(&w->parts, w->ring_len, birth_page_bytes(b));
	if (!bad)
		bad = birth_launch(b, &w->parts, &w->pid, &w->birth_fd);
	parts_given(&w->parts);
	return bad ? bad : watch_birth(w);
}

static void name_it(struct worker *w, const char *service)
{
	snprintf(w->log.label, sizeof(w->log.label), "%.80s/%u", service, w->serial);
}

static void add_log(struct worker *w, uint32_t sink)
{
	w->log.fd = w->parts.log;
	w->log.pid = w->pid;
	w->log.sink = sink;
	logs_add(w->world->logs, &w->log);
}

/* --- certificates and ticket keys --- */

static bool give(const struct worker *w, enum msg_type type, int fd)
{
	uint8_t buf[16];
	struct msg_writer m;
	int answer;

	msg_begin(&m, buf, sizeof(buf), type);
	answer = chan_send(w->parts.channel, buf, (size_t)msg_end(&m), &fd, 1);
	return !answer || answer == CHAN_GONE;
}

bool worker_give(struct worker *w, const struct secrets_gift *gift)
{
	if (gift->bundle_fd >= 0 && w->bundle_serial != gift->bundle_serial) {
		if (!give(w, MSG_TLS, gift->bundle_fd))
			return false;
		w->bundle_serial = gift->bundle_serial;
	}
	if (gift->tickets_fd >= 0 && w->tickets_serial != gift->tickets_serial) {
		if (!give(w, MSG_TICKETS, gift->tickets_fd))
			return false;
		w->tickets_serial = gift->tickets_serial;
	}
	return true;
}

/* Behind MSG_SETUP and before anything that the acceptor sends, which hears of it later. */
static void give_first(struct worker *w, const char *service)
{
	struct secrets_gift gift;

	if (!w->world->secrets)
		return;
	gift = secrets_gift(w->world->secrets, service, w->is_trial);
	worker_give(w, &gift);
}

void worker_forget_gifts(struct worker *w)
{
	w->bundle_serial = w->tickets_serial = 0;
}

void worker_start(struct worker *w, const struct settings *s, const struct service_settings *svc,
	uint32_t sink)
{
	struct birth b = {
		.settings = s, .service = svc, .serial = w->serial, .nofile = w->world->nofile};
	int bad;

	w->created_ms = clock_mono_ms();
	w->created_wall_ms = clock_wall_ms();
	name_it(w, settings_text(s, svc->name));
	bad = give_birth(w, &b);
	if (bad) {
		could_not_start(w, -bad, "spawn");
		return;
	}
	set_state(w, WORKER_BORN);
	add_log(w, sink);
	give_first(w, settings_text(s, svc->name));
}

void worker_refuse(struct worker *w, int error)
{
	ended(w, 0, error);
}

void worker_signal(struct worker *w, int number)
{
	if (!w->child)
		return;
	if (number == SIGTERM && w->kind != LINK_NATIVE) {
		w->stopping = true;
		child_signal(w->child, w->stop_signal);
	} else if (number == SIGTERM || number == SIGABRT) {
		child_signal(w->child, number);
	}
	if (number != SIGKILL)
		return;
	if (w->kind != LINK_NATIVE)
		kill_kin(w);
	child_signal_group(w->child, SIGKILL);
	w->killed = true;
}

void worker_unfit(struct worker *w, const char *why, const char *remedy)
{
	char quoted[LOG_QUOTE_BYTES], quoted_remedy[LOG_QUOTE_BYTES];

	log_event(EV_WORKER_UNFIT, "worker=%s pid=%d why=%s remedy=%s", w->log.label, w->pid,
		log_quote(why, quoted), log_quote(remedy, quoted_remedy));
	snprintf(w->unfit, sizeof(w->unfit), "%.120s: %.120s", why, remedy);
	w->unfit_said = false;
	worker_announce(w);
}

int worker_new(const struct worker_world *world, uint32_t service, uint32_t slot, uint32_t serial,
	struct worker **ret_worker)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->world = world;
	w->service = service;
	w->slot = slot;
	w->serial = serial;
	w->news.say = say_worker;
	w->parts = PARTS_NONE;
	w->birth_fd = -1;
	*ret_worker = w;
	return 0;
}

void worker_move(struct worker *w, const struct worker_world *world, uint32_t service, uint32_t slot)
{
	w->world = world;
	w->service = service;
	w->slot = slot;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	if (w->child)
		child_forget(w->child);
	close_birth(w);
	outlet_forget(w->world->outlet, &w->news);
	logs_remove(w->world->logs, &w->log);
	parts_close(&w->parts);
	free(w->image);
	free(w);
	return NULL;
}

/* --- over an exec --- */

static const struct {
	const char *key;
	size_t at;
} parts_fields[] = {
	{"channel_fd", offsetof(struct parts, channel)},
	{"channel_worker_fd", offsetof(struct parts, channel_worker)},
	{"page_fd", offsetof(struct parts, page)},
	{"bell_fd", offsetof(struct parts, bell)},
	{"doorbell_fd", offsetof(struct parts, doorbell)},
	{"log_fd", offsetof(struct parts, log)},
};

static int *part_at(const struct parts *parts, size_t at)
{
	return (int *)((char *)parts + at);
}

void worker_save(const struct worker *w, json_t *o)
{
	snapshot_put_text(o, "name", w->log.label);
	snapshot_put(o, "serial", w->serial);
	snapshot_put(o, "state", w->state);
	snapshot_put(o, "killed", w->killed);
	snapshot_put(o, "stale", w->stale.why);
	snapshot_put(o, "stale_drain_ms", w->stale.drain_ms);
	snapshot_put(o, "stale_since_ms", w->stale.since_ms);
	snapshot_put(o, "stale_since_wall_ms", w->stale.since_wall_ms);
	snapshot_put(o, "pid", (uint64_t)w->pid);
	snapshot_put(o, "status", (uint64_t)w->status);
	snapshot_put(o, "error", (uint64_t)w->error);
	snapshot_put(o, "created_ms", w->created_ms);
	snapshot_put(o, "created_wall_ms", w->created_wall_ms);
	snapshot_put(o, "ring_len", w->ring_len);
	snapshot_put(o, "bundle_serial", w->bundle_serial);
	snapshot_put(o, "tickets_serial", w->tickets_serial);
	snapshot_put(o, "kind", w->kind);
	snapshot_put(o, "stop_signal", (uint64_t)w->stop_signal);
	snapshot_put(o, "listeners", w->listeners);
	snapshot_put(o, "stopping", w->stopping);
	snapshot_put_text(o, "image", w->image);
	snapshot_put_fd(o, "birth_fd", w->birth_fd);
	for (size_t i = 0; i < ARRAY_LEN(parts_fields); i++)
		snapshot_put_fd(o, parts_fields[i].key, *part_at(&w->parts, parts_fields[i].at));
}

/* One that died meanwhile was not reaped: its pid is its own, and its end is told as any other. */
static int watch_again(struct worker *w)
{
	const struct worker_world *world = w->world;
	int bad = worker_lives(w) ? child_watch(world->children, w->pid, on_child, w, &w->child) : 0;

	if (!bad && w->state == WORKER_BORN)
		bad = watch_new(world->loop, w->birth_fd, WATCH_READ, on_birth, w, &w->birth);
	return bad;
}

static void restore_facts(struct worker *w, const json_t *o)
{
	const char *name = snapshot_text(o, "name"), *image = snapshot_text(o, "image");

	snprintf(w->log.label, sizeof(w->log.label), "%s", name ? name : "");
	w->state = (enum worker_state)snapshot_number(o, "state", WORKER_EXITED);
	w->killed = snapshot_number(o, "killed", 0);
	w->stale = (struct worker_stale){.why = (enum link_stale)snapshot_number(o, "stale", LINK_STALE_NOT),
		.drain_ms = snapshot_number(o, "stale_drain_ms", UINT64_MAX),
		.since_ms = snapshot_number(o, "stale_since_ms", 0),
		.since_wall_ms = snapshot_number(o, "stale_since_wall_ms", 0)};
	w->pid = (pid_t)snapshot_number(o, "pid", 0);
	w->status = (int)snapshot_number(o, "status", 0);
	w->error = (int)snapshot_number(o, "error", 0);
	w->created_ms = snapshot_number(o, "created_ms", 0);
	w->created_wall_ms = snapshot_number(o, "created_wall_ms", 0);
	w->ring_len = (uint32_t)snapshot_number(o, "ring_len", 0);
	w->bundle_serial = snapshot_number(o, "bundle_serial", 0);
	w->tickets_serial = snapshot_number(o, "tickets_serial", 0);
	w->kind = (enum link_kind)snapshot_number(o, "kind", LINK_NATIVE);
	w->stop_signal = (int)snapshot_number(o, "stop_signal", 0);
	w->listeners = snapshot_number(o, "listeners", 0);
	w->stopping = snapshot_number(o, "stopping", 0);
	w->image = strdup(image ? image : "");
}

struct worker *worker_restore(const struct worker_world *world, json_t *o, uint32_t service, uint32_t slot)
{
	struct worker *w = NULL;

	if (worker_new(world, service, slot, (uint32_t)snapshot_number(o, "serial", 0), &w))
		return NULL;
	restore_facts(w, o);
	w->birth_fd = snapshot_fd(o, "birth_fd");
	for (size_t i = 0; i < ARRAY_LEN(parts_fields); i++)
		*part_at(&w->parts, parts_fields[i].at) = snapshot_fd(o, parts_fields[i].key);
	return w->image && !watch_again(w) ? w : worker_free(w);
}

void worker_log_to(struct worker *w, uint32_t sink)
{
	if (w->parts.log >= 0)
		add_log(w, sink);
}
