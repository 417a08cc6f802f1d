/* The acceptor's orders, as a table. Of the acceptor only numbers in range are believed; every limit is
 * enforced by the module that carries the order out. What an operator wants is an operation (ops.h): it
 * is begun here, and each of its functions ends it, at once or later. */
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/certs.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/records.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/workers.h"

#include <signal.h>

typedef void order_fn(struct sv *sv, const struct link_record *order);

static void order_up(struct sv *sv, const struct link_record *order)
{
	sv_accepts(sv);
}

static void order_pong(struct sv *sv, const struct link_record *order)
{
	sv_answered(sv);
}

static void order_run(struct sv *sv, const struct link_record *order)
{
	workers_run(sv->workers, order->service, order->slot);
}

static void order_signal(struct sv *sv, const struct link_record *order)
{
	workers_signal(sv->workers, order->service, order->slot, order->serial, (int)order->number);
}

static void order_release(struct sv *sv, const struct link_record *order)
{
	workers_release(sv->workers, order->service, order->slot, order->serial);
}

static void order_examine(struct sv *sv, const struct link_record *order)
{
	workers_examine(sv->workers, order->service, order->slot, order->serial);
}

static void order_steal(struct sv *sv, const struct link_record *order)
{
	thefts_steal(sv->thefts, order);
}

static void order_stolen_seen(struct sv *sv, const struct link_record *order)
{
	thefts_seen(sv->thefts, order->service, order->slot);
}

static void order_shutdown(struct sv *sv, const struct link_record *order)
{
	if (order->number)
		sv_kill(sv, "control");
	else
		sv_drain(sv, "control", order->deadline_ms);
}

static void order_idle(struct sv *sv, const struct link_record *order)
{
	if (order->service >= services_count(sv->services))
		return;
	services_idle(sv->services, order->service, order->round);
	sv_look(sv);
}

static void order_reopen(struct sv *sv, const struct link_record *order)
{
	const char *failed = logs_reopen(sv->logs);

	services_reopen_logs(sv->services);
	if (failed)
		ops_end_f(sv->ops, order->id, 1, "%s cannot be opened: its lines go to stderr", failed);
	else
		ops_end(sv->ops, order->id, 0, "the log files are open again");
}

static void signal_worker(void *user, const char *name, int number)
{
	struct sv *sv = user;

	workers_signal_named(sv->workers, name, number);
}

static void record_ended(void *user, uint64_t id, const char *file, const char *text)
{
	struct sv *sv = user;

	if (!id)
		return;
	if (file)
		ops_end_f(sv->ops, id, 0, "killed; %s tells what it was doing", file);
	else
		ops_end_f(sv->ops, id, 0, "killed; no record: %s", text);
}

int sv_make_records(struct sv *sv)
{
	static const struct records_ops ops = {.signal = signal_worker, .ended = record_ended};
	struct records_world world = {.loop = &sv->loop,
		.children = sv->children,
		.logs = sv->logs,
		.config = &sv->config,
		.ledger = &sv->ledger_fd,
		.ops = &ops,
		.user = sv};

	return records_new(&world, &sv->records);
}

static bool record(struct sv *sv, const struct worker *w, const struct link_record *order)
{
	char quoted[LOG_QUOTE_BYTES], why[LOG_QUOTE_BYTES + 16];
	struct records_subject subject = {.id = order->id,
		.service = w->service,
		.slot = w->slot,
		.name = w->log.label,
		.image = w->image,
		.why = why,
		.pid = w->pid,
		.signal = order->number == SIGABRT ? SIGABRT : SIGKILL,
		.kill_ms = services_settings(sv->services, w->service)->kill_ms,
		.created_ms = w->created_ms,
		.created_wall_ms = w->created_wall_ms,
		.page = w->parts.page,
		.log = &w->log};

	snprintf(why, sizeof(why), "%s%s", order->id ? "ordered by " : "",
		log_quote(order->text, quoted));
	return records_kill(sv->records, &subject);
}

/* With an id it is an operator's, without one the acceptor's: of a worker that hangs. */
static void order_record(struct sv *sv, const struct link_record *order)
{
	const struct worker *w = workers_at(sv->workers, order->service, order->slot);
	const char *refusal = NULL;

	if (!w || w->serial != order->serial || !w->child)
		refusal = "this worker does not run any more";
	else if (!record(sv, w, order))
		refusal = "this worker is being killed already";
	if (refusal && order->id)
		ops_end(sv->ops, order->id, 1, refusal);
}

static order_fn *const orders[] = {
	[LINK_PONG] = order_pong,
	[LINK_UP] = order_up,
	[LINK_RUN] = order_run,
	[LINK_SIGNAL] = order_signal,
	[LINK_RELEASE] = order_release,
	[LINK_STEAL] = order_steal,
	[LINK_STOLEN_SEEN] = order_stolen_seen,
	[LINK_SHUTDOWN] = order_shutdown,
	[LINK_DRAINED] = sv_drained,
	[LINK_IDLE] = order_idle,
	[LINK_RESTART] = sv_restart,
	[LINK_CLOSE] = sv_close,
	[LINK_START] = sv_start,
	[LINK_RENEW] = sv_renew,
	[LINK_UPGRADE] = sv_upgrade,
	[LINK_RELOAD] = reload_order,
	[LINK_REOPEN] = order_reopen,
	[LINK_EXAMINE] = order_examine,
	[LINK_RECORD] = order_record,
};

static bool is_operation(const struct link_record *order)
{
	return order->type >= LINK_RESTART && (order->type < LINK_RECORD ||
		(order->type == LINK_RECORD && order->id));
}

/* Whom an operation is about, as the operator would name it. */
static const char *subject_of(const struct sv *sv, const struct link_record *order, char *ret_text,
	size_t size)
{
	bool of_service = order->type == LINK_RESTART || order->type == LINK_CLOSE ||
		order->type == LINK_START || order->type == LINK_RECORD;
	const char *name;

	if (!of_service)
		return NULL;
	if (order->service >= services_count(sv->services))
		return "nobody";
	name = settings_text(sv->config.settings, services_settings(sv->services, order->service)->name);
	if (order->serial)
		snprintf(ret_text, size, "%s/%u", name, order->serial);
	else
		snprintf(ret_text, size, "%s", name);
	return ret_text;
}

void sv_order(void *user, const struct link_record *order)
{
	struct sv *sv = user;
	char subject[LINK_TEXT_BYTES];

	if (order->type >= ARRAY_LEN(orders) || !orders[order->type])
		return;
	if (is_operation(order) &&
		ops_begin(sv->ops, order, subject_of(sv, order, subject, sizeof(subject))))
		return;
	orders[order->type](sv, order);
}

void sv_announce(void *user)
{
	struct sv *sv = user;

	sv_announce_lease(sv);
	reload_announce(sv->reload);
	services_announce(sv->services);
	workers_announce(sv->workers);
	certs_announce(sv->certs);
	thefts_announce(sv->thefts);
	ops_announce(sv->ops);
}
