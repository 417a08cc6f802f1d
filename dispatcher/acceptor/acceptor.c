/* Starts with nothing but the link. The supervisor says hello with the memory that outlives this
 * process, then everything that is, then "go": from there on this process accepts.
 *
 * Two timers: `due` for the earliest deadline of any service, and `tick`, which runs only while workers
 * have connections and have not been asked to ring. While connections come in, a tick only reads; the
 * first quiet one arms the bells, and the process sleeps. */
#include "dispatcher/acceptor/acceptor.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/certs.h"
#include "dispatcher/acceptor/control.h"
#include "dispatcher/acceptor/crew.h"
#include "dispatcher/acceptor/ends.h"
#include "dispatcher/acceptor/keeper.h"
#include "dispatcher/acceptor/lease.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/opening.h"
#include "dispatcher/acceptor/pump.h"
#include "dispatcher/acceptor/rescue.h"
#include "dispatcher/acceptor/sandbox.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/acceptor/theft.h"
#include "dispatcher/acceptor/unfit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TICK_MS 10

enum hello_fd { HELLO_SETTINGS, HELLO_LEDGER, HELLO_CONTROL, HELLO_LOG, HELLO_FDS };

static void on_due(uv_timer_t *timer);

static void schedule(struct acceptor *a, uint64_t due_ms)
{
	uint64_t now_ms = clock_mono_ms();

	a->due_ms = due_ms;
	if (due_ms == CLOCK_NEVER) {
		uv_timer_stop(&a->due_timer);
		return;
	}
	uv_update_time(&a->loop);
	/* Never 0: a timer that is due at once when its callback returns keeps libuv from its I/O. */
	uv_timer_start(&a->due_timer, on_due, due_ms > now_ms ? due_ms - now_ms : 1, 0);
}

static void on_tick(uv_timer_t *timer)
{
	struct acceptor *a = timer->data;
	uint64_t handed = 0, now_ms = clock_mono_ms();
	bool again = false, quiet;

	for (uint32_t i = 0; i < a->service_count; i++)
		handed += a->services[i].book->handed;
	quiet = handed == a->handed_at_tick;
	a->handed_at_tick = handed;
	for (uint32_t i = 0; i < a->service_count; i++)
		again |= pump_tick(&a->services[i], quiet, now_ms);
	if (again)
		uv_timer_start(timer, on_tick, TICK_MS, 0);
}

static void service_changed(struct service *svc)
{
	struct acceptor *a = svc->owner;
	uint64_t due_ms = pump_due(svc);

	if (due_ms < a->due_ms)
		schedule(a, due_ms);
	if (svc->busy && !uv_is_active((uv_handle_t *)&a->tick_timer))
		uv_timer_start(&a->tick_timer, on_tick, TICK_MS, 0);
	lease_look(a);
}

static void service_doubt(struct service *svc)
{
	const struct acceptor *a = svc->owner;

	ends_doubt(a->ends);
}

static uint64_t service_unread(struct service *svc, const struct slot *s)
{
	const struct acceptor *a = svc->owner;

	return ends_unread(a->ends, svc, s);
}

static const struct service_ops service_ops = {
	.changed = service_changed, .doubt = service_doubt, .unread = service_unread};

static void on_due(uv_timer_t *timer)
{
	struct acceptor *a = timer->data;
	uint64_t now_ms = clock_mono_ms(), due_ms = CLOCK_NEVER;

	for (uint32_t i = 0; i < a->service_count; i++) {
		pump_timer(&a->services[i], now_ms);
		due_ms = MIN(due_ms, pump_due(&a->services[i]));
	}
	schedule(a, due_ms);
}

static void *map_whole(int fd, int writable, size_t *ret_bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	*ret_bytes = (size_t)st.st_size;
	return page_map(fd, *ret_bytes, writable);
}

static int map_settings(struct acceptor *a, int fd)
{
	size_t bytes = 0;
	void *block = map_whole(fd, 0, &bytes);

	if (!block || settings_check(block, bytes))
		return -EBADMSG;
	if (a->settings) /* those that it was prepared with */
		munmap((void *)a->settings, a->settings->bytes);
	a->settings = block;
	a->service_count = a->settings->services.count;
	return 0;
}

static int map_ledger(struct acceptor *a, int fd)
{
	size_t bytes = 0;

	a->ledger = map_whole(fd, 1, &bytes);
	return a->ledger ? ledger_check_own(a->ledger, bytes, a->service_count) : -errno;
}

static int init_services(struct acceptor *a)
{
	struct opening o = {.hand = a->hand,
		.slot_ops = &pump_slot_ops,
		.listener_ops = &pump_listener_ops};
	int error = uplink_size(&a->uplink, a->service_count);

	if (a->service_count > HAND_SERVICES)
		return -E2BIG;
	a->services = calloc(a->service_count + 1, sizeof(*a->services));
	if (!a->services)
		return -ENOMEM;
	for (uint32_t i = 0; !error && i < a->service_count; i++) {
		struct service *svc = &a->services[i];

		svc->uplink = &a->uplink;
		svc->blocks = &a->blocks;
		svc->endings = &a->endings;
		svc->loop = &a->loop;
		svc->owner = a;
		svc->ops = &service_ops;
		error = opening_init(svc, i, a->settings, a->ledger, &o);
		if (!error)
			error = uplink_slots(&a->uplink, i, svc->slot_count);
	}
	return error;
}

static int hello(struct acceptor *a, const struct link_record *r, const int *fds)
{
	int error = map_settings(a, fds[HELLO_SETTINGS]);

	a->supervisor_pid = r->pid;
	a->starts = r->number;
	a->started_wall_ms = r->created_wall_ms;
	a->upgraded_wall_ms = r->id;
	snprintf(a->supervisor_version, sizeof(a->supervisor_version), "%.31s", r->text);
	log_to(fds[HELLO_LOG]);
	if (!error)
		error = map_ledger(a, fds[HELLO_LEDGER]);
	if (!error)
		blocks_init(&a->blocks, ledger_blocks(a->ledger));
	if (!error)
		error = init_services(a);
	if (!error)
		log_set_debug(a->settings->debug);
	close(fds[HELLO_SETTINGS]);
	close(fds[HELLO_LEDGER]);
	if (!error)
		error = control_new_consume(a, fds[HELLO_CONTROL]);
	else
		close(fds[HELLO_CONTROL]);
	return error;
}

static void enter_sandbox(struct acceptor *a)
{
	int error;

	if (a->sandboxed)
		return;
	a->ends = ends_open(a->settings);
	error = sandbox_enter();
	a->sandboxed = true;
	if (error)
		log_event(EV_INTERNAL, "where=sandbox why=%s", strerrorname_np(-error));
}

/* Everything that could fail, or takes its time, before the one who accepts now is asked to end. */
static int prepare(struct acceptor *a, int settings_fd)
{
	int error = map_settings(a, settings_fd);

	close(settings_fd);
	if (error)
		return error;
	enter_sandbox(a);
	uplink_prepared(&a->uplink);
	return 0;
}

static void go(struct acceptor *a)
{
	uint32_t adopted = 0;
	uint64_t now_ms = clock_mono_ms();

	enter_sandbox(a);
	for (uint32_t i = 0; i < a->service_count; i++)
		adopted += a->services[i].attached;
	log_event(EV_ACCEPTOR_START, "pid=%d adopted=%u", (int)getpid(), adopted);
	a->hand->service_count = a->service_count;
	for (uint32_t i = 0; i < a->service_count; i++)
		line_begin(&a->services[i]);
	if (a->park >= 0)
		rescue_take(a, a->park);
	a->going = true;
	control_open(a->control);
	ends_start(a->ends, &a->loop, a->services, a->service_count);
	for (uint32_t i = 0; i < a->service_count; i++) {
		crew_go(&a->services[i], now_ms);
		pump_run(&a->services[i], now_ms);
	}
	uplink_up(&a->uplink);
	schedule(a, 0);
	uv_timer_start(&a->tick_timer, on_tick, TICK_MS, 0);
}

static struct service *service_of_slot(struct acceptor *a, const struct link_record *r)
{
	struct service *svc = r->service < a->service_count ? &a->services[r->service] : NULL;

	return svc && r->slot < svc->slot_count ? svc : NULL;
}

static void drop(const int *fds, unsigned count)
{
	while (count)
		close(fds[--count]);
}

static void slot_record(struct acceptor *a, const struct link_record *r, int *fds, unsigned count)
{
	struct service *svc = service_of_slot(a, r);
	uint64_t now_ms = clock_mono_ms();

	if (svc && r->type == LINK_WORKER && count == SLOT_FDS)
		crew_came(svc, r, fds, now_ms);
	else if (svc && r->type == LINK_STOLEN && count <= 1)
		pump_theft_ended(svc, r, count ? fds[0] : -1, now_ms);
	else
		drop(fds, count);
	if (svc && r->type == LINK_EXITED)
		crew_exited(svc, r, now_ms);
	else if (svc && r->type == LINK_STALE)
		crew_stale(svc, r, now_ms);
	else if (svc && r->type == LINK_IMAGE)
		crew_image(svc, r);
	else if (svc && r->type == LINK_UNFIT)
		unfit_told(svc, r);
	else if (svc && r->type == LINK_STEALING)
		theft_found(svc, r);
	if (svc && a->going) {
		pump_run(svc, clock_mono_ms());
		service_changed(svc);
	}
}

static void queue_consume(struct service *svc, const int *fds)
{
	int error = line_open_consume(svc, fds);

	if (error)
		log_event(EV_INTERNAL, "where=queue why=%s", strerrorname_np(-error));
}

static void service_record(struct acceptor *a, const struct link_record *r, int *fds, unsigned count)
{
	struct service *svc = r->service < a->service_count ? &a->services[r->service] : NULL;

	if (svc && r->type == LINK_LISTENER && count <= 1)
		opening_listener(svc, r, count ? fds[0] : -1);
	else if (svc && r->type == LINK_QUEUE && count == 2)
		queue_consume(svc, fds);
	else if (svc && r->type == LINK_TLS && count <= 1)
		certs_keep_consume(svc, count ? fds[0] : -1);
	else
		drop(fds, count);
	if (svc && r->type == LINK_SERVICE)
		opening_state(svc, r, clock_mono_ms());
	if (svc && a->going) {
		pump_run(svc, clock_mono_ms());
		service_changed(svc);
	}
}

/* Both ends of the channel between keepers and the acceptors that follow. */
static void park_consume(struct acceptor *a, int *fds, unsigned count)
{
	if (count != 2 || a->park >= 0) {
		drop(fds, count);
		return;
	}
	hand_store(&a->hand->park, fds[0]);
	a->park = fds[1];
}

/* Whoever understands the first words wrongly could do nothing right behind them. */
static void first_words(struct acceptor *a, const struct link_record *r, int *fds, unsigned count)
{
	int error = -EBADMSG;

	if (r->type == LINK_HELLO && count == HELLO_FDS)
		error = hello(a, r, fds);
	else if (r->type == LINK_PREPARE && count == 1 && !a->settings)
		error = prepare(a, fds[0]);
	else
		drop(fds, count);
	if (!error)
		return;
	log_event(EV_INTERNAL, "where=hello why=%s", strerrorname_np(-error));
	uv_stop(&a->loop);
}

static void loaded(struct acceptor *a, const struct link_record *r)
{
	a->loaded_wall_ms = r->created_wall_ms;
	a->config_changed = r->number;
	a->reload.wall_ms = r->deadline_ms;
	a->reload.status = r->status;
	memcpy(a->reload.text, r->text, sizeof(a->reload.text));
}

static void on_record(void *user, const struct link_record *r, int *fds, unsigned count)
{
	struct acceptor *a = user;

	if (!a->services) {
		first_words(a, r, fds, count);
		return;
	}
	switch (r->type) {
	case LINK_PARK:
		park_consume(a, fds, count);
		break;
	case LINK_GO:
		go(a);
		break;
	case LINK_SERVICE:
	case LINK_LISTENER:
	case LINK_QUEUE:
	case LINK_TLS:
		service_record(a, r, fds, count);
		break;
	case LINK_LEASE:
		drop(fds, count);
		a->borrows = r->number;
		break;
	case LINK_LOADED:
		drop(fds, count);
		loaded(a, r);
		break;
	case LINK_PING:
		drop(fds, count);
		uplink_pong(&a->uplink);
		break;
	case LINK_RESULT:
		if (count > 1)
			drop(fds + 1, count - 1);
		results_keep_consume(&a->results, r, count ? fds[0] : -1);
		break;
	default:
		slot_record(a, r, fds, count);
	}
}

/* Serves on: what runs goes on running; nothing can be started. Without services, nothing to do. */
static void on_gone(void *user)
{
	struct acceptor *a = user;

	log_event(EV_SUPERVISOR_GONE, "pid=%d", a->supervisor_pid);
	a->orphaned_wall_ms = clock_wall_ms();
	if (!a->going) {
		uv_stop(&a->loop);
		return;
	}
	for (uint32_t i = 0; i < a->service_count; i++)
		pump_orphaned(&a->services[i], clock_mono_ms());
	if (a->borrows)
		lease_retire(a);
}

static const struct uplink_ops uplink_ops = {.record = on_record, .gone = on_gone};

static void on_term(uv_signal_t *handle, int number)
{
	uv_stop(handle->loop);
}

/* On a CPU that is busy, a client that connects shall not interrupt who computes there: this process
 * runs when its turn comes, and then takes all who wait in one batch (sched(7), SCHED_BATCH). That saves
 * a tenth of the cost of a connection under load; on a CPU that is idle it changes nothing. */
static void prefer_batches(void)
{
	struct sched_param none = {0};

	sched_setscheduler(0, SCHED_BATCH, &none);
}

/* A ^C at the terminal reaches the whole foreground group; the supervisor decides. */
static void ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

static int start(struct acceptor *a)
{
	int error = uv_loop_init(&a->loop);

	if (error)
		return error;
	prefer_batches();
	uv_timer_init(&a->loop, &a->due_timer);
	uv_timer_init(&a->loop, &a->tick_timer);
	uv_signal_init(&a->loop, &a->on_term);
	a->due_timer.data = a->tick_timer.data = a;
	a->due_ms = CLOCK_NEVER;
	error = uv_signal_start(&a->on_term, on_term, SIGTERM);
	return error ? error : uplink_init(&a->uplink, &a->loop, &uplink_ops, a);
}

/* Without one it accepts all the same: only a crash in the wrong moment would cost anything. */
static void start_keeper(const struct hand *hand, void (*become)(void *user), void *user)
{
	int error = keeper_start(hand, become, user);

	if (error)
		log_event(EV_INTERNAL, "where=keeper why=%s", strerrorname_np(-error));
}

int acceptor_main(void (*become_keeper)(void *user), void *user)
{
	struct hand *hand = hand_new();
	struct acceptor *a = NULL;
	int error = hand ? 0 : -errno;

	ignore_signals();
	if (!error) {
		start_keeper(hand, become_keeper, user);
		a = calloc(1, sizeof(*a));
		error = a ? start(a) : -ENOMEM;
	}
	if (error) {
		fprintf(stderr, "dispatcher: acceptor: %s\n", strerror(-error));
		return 1;
	}
	a->hand = hand;
	endings_init(&a->endings, &a->loop, hand);
	a->park = -1;
	uv_run(&a->loop, UV_RUN_DEFAULT);
	return a->going ? 0 : 1;
}
