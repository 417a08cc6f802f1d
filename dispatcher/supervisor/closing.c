/* One service closed and opened again by an operator's order, without touching the others.
 *
 * Closing ends nothing by itself: the state is entered, and the operation is over; who is served goes on
 * until the deadline. Opening a service that still closes has to wait for the moment when the acceptor
 * has taken the last client from the old listeners, or these clients would be reset; then the ports are
 * opened anew, while the old workers drain on. */
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/restart.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define REASON_BYTES 600

/* A start that waits for the old listeners; by name, as a reload may renumber the services. */
struct sv_start {
	struct sv_start *next;
	uint64_t id;
	bool enable;
	char name[CLOSURE_NAME_BYTES];
};

/* --- what the operator is told --- */

static const char *closed_how(const struct closure *c)
{
	return c->lasts == LINK_LASTS_DISABLE ? "disabled" : "closed";
}

/* "disabled by uid=0 pid=7 at 2026-...", as far as it is known. */
static const char *who_closed(const struct closure *c, char ret_text[REASON_BYTES])
{
	char when[CLOCK_TEXT_BYTES];
	int len = snprintf(ret_text, REASON_BYTES, "%s", closed_how(c));

	if (*c->by)
		len += snprintf(ret_text + len, REASON_BYTES - (size_t)len, " by %s", c->by);
	if (c->at_wall_ms)
		snprintf(ret_text + len, REASON_BYTES - (size_t)len, " at %s",
			clock_format(c->at_wall_ms, when));
	return ret_text;
}

/* Ends with what could not be written down, if anything: it is in force all the same. */
static void end(struct sv *sv, uint64_t id, int status, int bad, const char *text)
{
	const char *dir = settings_text(sv->config.settings, sv->config.settings->state_dir);

	if (bad)
		ops_end_f(sv->ops, id, 1, "%s; not remembered: %s/disabled: %s", text, dir, strerror(-bad));
	else
		ops_end(sv->ops, id, status, text);
}

/* --- waiting starts --- */

static int wait_start(struct sv *sv, uint64_t id, bool enable, const char *name)
{
	struct sv_start *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->id = id;
	w->enable = enable;
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->next = sv->starts;
	sv->starts = w;
	return 0;
}

static struct sv_start *take_start(struct sv *sv, const char *name)
{
	for (struct sv_start **at = &sv->starts; *at; at = &(*at)->next) {
		struct sv_start *w = *at;

		if (name && strcmp(w->name, name))
			continue;
		*at = w->next;
		return w;
	}
	return NULL;
}

static void cancel_starts(struct sv *sv, const char *name, const char *why)
{
	struct sv_start *w;

	while ((w = take_start(sv, name))) {
		ops_end_f(sv->ops, w->id, 1, "%s: %s", w->name, why);
		free(w);
	}
}

/* --- start --- */

static bool is_running(struct sv *sv, uint64_t id, const struct link_record *order)
{
	if (order->service >= services_count(sv->services))
		ops_end(sv->ops, id, 1, "there is no such service");
	else if (sv->phase != SV_RUNS)
		ops_end(sv->ops, id, 1, "everything is being shut down");
	else if (reload_is_preparing(sv->reload))
		ops_end(sv->ops, id, 1, "a reload is under way: try again");
	else
		return true;
	return false;
}

/* The file wins; but what was remembered is forgotten when that was asked for. */
static void refuse_off(struct sv *sv, uint64_t id, uint32_t service, bool enable)
{
	const struct service_settings *svc = services_settings(sv->services, service);
	const char *name = services_name(sv->services, service);
	char text[REASON_BYTES];
	int bad = enable ? closures_open(sv->closures, name) : 0;

	services_announce_one(sv->services, service);
	if (svc->leaving)
		snprintf(text, sizeof(text), "%s is no longer in the configuration", name);
	else
		snprintf(text, sizeof(text), "%s is turned off in the configuration: %s%s", name,
			settings_text(sv->config.settings, svc->off_where),
			enable ? "; it is no longer disabled beside that" : "");
	end(sv, id, 1, bad, text);
}

/* Old workers may stand beside the new ones up to max_procs. */
static bool is_crowded(struct sv *sv, const struct link_record *order)
{
	const struct service_settings *svc = services_settings(sv->services, order->service);
	const char *name = services_name(sv->services, order->service);
	const struct closure *c = closures_find(sv->closures, name);
	uint32_t live = workers_live(sv->workers, order->service);
	char who[REASON_BYTES];

	if (live <= svc->max_procs)
		return false;
	ops_end_f(sv->ops, order->id, 1, "%s: %u workers of it still finish what they serve, and %u may "
		"beside new ones (%s); wait, or cut their connections with shutdown --now", name, live,
		svc->max_procs, c ? who_closed(c, who) : "it closes");
	return true;
}

/* Tries it now. False: it has to wait. */
static bool open_now(struct sv *sv, uint64_t id, uint32_t service)
{
	const char *name = services_name(sv->services, service);
	enum link_service_state before = services_state(sv->services, service);
	uint64_t deadline_ms = services_deadline(sv->services, service);
	char why[LINK_TEXT_BYTES] = "", text[REASON_BYTES];
	int answer = services_start(sv->services, service, why), bad = 0;

	if (answer == SERVICES_LATER)
		return false;
	if (!answer && before == LINK_CLOSING)
		restart_reopened(sv->workers, service, deadline_ms);
	if (!answer || before != LINK_CLOSING)
		bad = closures_open(sv->closures, name);
	if (answer && before == LINK_CLOSING)
		snprintf(text, sizeof(text), "%s cannot be opened and stays closed: %s", name, why);
	else if (answer)
		snprintf(text, sizeof(text), "%s cannot be opened: %s; it is tried again", name, why);
	else
		snprintf(text, sizeof(text), before == LINK_OPEN ? "%s is open, and waits no longer if it did"
								 : "%s is open", name);
	end(sv, id, answer ? 1 : 0, bad, text);
	return true;
}

void sv_start(struct sv *sv, const struct link_record *order)
{
	bool enable = order->number == LINK_LASTS_DISABLE;
	const struct closure *c;
	const char *name;
	char who[REASON_BYTES];

	if (!is_running(sv, order->id, order))
		return;
	name = services_name(sv->services, order->service);
	c = closures_find(sv->closures, name);
	if (!services_settings(sv->services, order->service)->enabled)
		refuse_off(sv, order->id, order->service, enable);
	else if (c && c->lasts == LINK_LASTS_DISABLE && !enable)
		ops_end_f(sv->ops, order->id, 1, "%s was %s; enable it", name, who_closed(c, who));
	else if (services_state(sv->services, order->service) == LINK_CLOSING && is_crowded(sv, order))
		return;
	else if (!open_now(sv, order->id, order->service) && wait_start(sv, order->id, enable, name))
		ops_end(sv->ops, order->id, 1, "out of memory");
}

void sv_drained(struct sv *sv, const struct link_record *order)
{
	if (order->service >= services_count(sv->services))
		return;
	services_drained(sv->services, order->service, order->round);
	sv_try_starts(sv);
}

static bool find_service(const struct sv *sv, const char *name, uint32_t *ret_service)
{
	for (uint32_t i = 0; i < services_count(sv->services); i++) {
		*ret_service = i;
		if (strcmp(services_name(sv->services, i), name) == 0)
			return true;
	}
	return false;
}

/* A reload may have come between. False: it has to wait on. */
static bool end_start(struct sv *sv, const struct sv_start *w)
{
	uint32_t service;

	if (!find_service(sv, w->name, &service))
		ops_end_f(sv->ops, w->id, 1, "there is no service %s any more", w->name);
	else if (!services_settings(sv->services, service)->enabled)
		refuse_off(sv, w->id, service, w->enable);
	else
		return open_now(sv, w->id, service);
	return true;
}

void sv_try_starts(struct sv *sv)
{
	struct sv_start **at = &sv->starts;

	while (*at && !reload_is_preparing(sv->reload)) {
		struct sv_start *w = *at;

		if (!end_start(sv, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}

void sv_warn_of_closures(const struct sv *sv)
{
	const struct closure *c;
	uint32_t service;

	for (unsigned i = 0; (c = closures_at(sv->closures, i)); i++)
		if (!find_service(sv, c->name, &service))
			log_event(EV_CONFIG_WARNING,
				"text=\"%s/disabled: there is no service %s; it stays disabled\"",
				settings_text(sv->config.settings, sv->config.settings->state_dir), c->name);
}

/* --- close --- */

/* Only a shutdown has a time of its own; a service that is disabled lets its clients end when they like. */
static uint64_t deadline_of(const struct service_settings *svc, const struct link_record *order)
{
	bool given = order->deadline_ms != UINT64_MAX, disable = order->number == LINK_LASTS_DISABLE;
	uint64_t now = clock_mono_ms(), wait_ms = given ? order->deadline_ms : svc->shutdown_ms;

	if (!given && (disable || !wait_ms))
		return CLOCK_NEVER;
	return wait_ms > CLOCK_NEVER - 1 - now ? CLOCK_NEVER : now + wait_ms;
}

static void tell_closing(struct sv *sv, const struct link_record *order, int bad, bool already)
{
	uint64_t deadline = services_deadline(sv->services, order->service), now = clock_mono_ms();
	char text[REASON_BYTES];
	int len = snprintf(text, sizeof(text), "%s %s, %u workers finish what they serve",
		services_name(sv->services, order->service), already ? "was closing already" : "is closing",
		workers_live(sv->workers, order->service));

	if (deadline != CLOCK_NEVER)
		snprintf(text + len, sizeof(text) - (size_t)len, " within %.1f s",
			(double)(MAX(deadline, now) - now) / 1000);
	end(sv, order->id, 0, bad, text);
}

static void tell_closed(struct sv *sv, const struct link_record *order, int bad, const char *before)
{
	char text[2 * REASON_BYTES];

	snprintf(text, sizeof(text), "%s is closed%s%s", services_name(sv->services, order->service),
		*before ? "; before, it was " : "", before);
	end(sv, order->id, 0, bad, text);
}

static int note_closure(struct sv *sv, const struct link_record *order, char ret_before[REASON_BYTES])
{
	struct closure c = {.at_wall_ms = clock_wall_ms(), .lasts = LINK_LASTS_SHUTDOWN};
	const char *name = services_name(sv->services, order->service);
	const struct closure *before = closures_find(sv->closures, name);

	ret_before[0] = '\0';
	if (before)
		who_closed(before, ret_before);
	if (order->number == LINK_LASTS_DISABLE)
		c.lasts = LINK_LASTS_DISABLE;
	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.by, sizeof(c.by), "%s", order->text);
	return closures_close(sv->closures, &c);
}

static void close_service(struct sv *sv, const struct link_record *order)
{
	uint32_t i = order->service;
	const struct service_settings *svc = services_settings(sv->services, i);
	bool closing = services_state(sv->services, i) == LINK_CLOSING;

	if (services_state(sv->services, i) == LINK_FAILED && !workers_live(sv->workers, i))
		services_closed(sv->services, i);
	else if (!closing || order->deadline_ms != UINT64_MAX)
		services_closing(sv->services, i, deadline_of(svc, order));
	services_announce_one(sv->services, i);
}

void sv_close(struct sv *sv, const struct link_record *order)
{
	char before[REASON_BYTES];
	bool already;
	int bad;

	if (!is_running(sv, order->id, order))
		return;
	bad = note_closure(sv, order, before);
	if (bad == -ENOMEM && !closures_find(sv->closures, services_name(sv->services, order->service))) {
		ops_end(sv->ops, order->id, 1, "out of memory");
		return;
	}
	cancel_starts(sv, services_name(sv->services, order->service), "closed again");
	already = services_state(sv->services, order->service) == LINK_CLOSING;
	close_service(sv, order);
	if (services_state(sv->services, order->service) == LINK_CLOSING)
		tell_closing(sv, order, bad, already);
	else
		tell_closed(sv, order, bad, before);
}

void sv_cancel_starts(struct sv *sv)
{
	cancel_starts(sv, NULL, "everything is being shut down");
}
