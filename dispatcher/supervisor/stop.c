/* The end: services close and drain, then acceptor, then logger, so that who serves and who tells about
 * it outlive what they serve. The acceptor sees to the workers' deadlines; the limit here is a safety
 * net behind the last of them. */
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <inttypes.h>

#define GRACE_MS 5000
#define TELL_MS 500 /* for the acceptor to tell about workers that were killed */

static const unsigned may_follow[] = {
	[SV_RUNS] = BIT(SV_DRAINS) | BIT(SV_KILLS),
	[SV_DRAINS] = BIT(SV_KILLS) | BIT(SV_ENDS),
	[SV_KILLS] = BIT(SV_ENDS),
	[SV_ENDS] = 0,
};

static void set_phase(struct sv *sv, enum sv_phase phase)
{
	ASSERT(may_follow[sv->phase] & BIT(phase));
	sv->phase = phase;
}

static void on_logger_gone(void *user)
{
	struct sv *sv = user;

	uv_stop(&sv->loop);
}

static void on_acceptor_gone(void *user)
{
	struct sv *sv = user;

	log_event(EV_STOPPED, "pid=%d", getpid());
	logs_stop(sv->logs, on_logger_gone, sv);
}

static void end(struct sv *sv)
{
	set_phase(sv, SV_ENDS);
	timer_stop(sv->limit);
	baton_stop(sv->baton, on_acceptor_gone, sv);
}

/* The acceptor tells about the last worker before it says that none is left; but where all are killed,
 * a dead acceptor is not waited for. */
static bool is_finished(const struct sv *sv, uint32_t service)
{
	return services_state(sv->services, service) == LINK_CLOSING &&
		!workers_live(sv->workers, service) &&
		(services_is_idle(sv->services, service) ||
			(sv->phase == SV_KILLS && !baton_accepts(sv->baton)));
}

void sv_look(struct sv *sv)
{
	if (sv->phase == SV_ENDS)
		return;
	for (uint32_t i = 0; i < services_count(sv->services); i++)
		if (is_finished(sv, i))
			services_closed(sv->services, i);
	sv_try_starts(sv);
	if (sv->phase != SV_RUNS && services_all_closed(sv->services) && !workers_have_kin(sv->workers))
		end(sv);
	else if (sv->phase == SV_KILLS && !workers_live_total(sv->workers))
		timer_in(sv->limit, TELL_MS);
}

/* Past the limit of a drain come the kills; past the limit of these, what cannot even be killed stays
 * behind. */
void sv_on_limit(void *user)
{
	struct sv *sv = user;

	if (sv->phase == SV_DRAINS)
		sv_kill(sv, "limit");
	else
		end(sv);
}

static uint64_t deadline_of(uint64_t now_ms, uint64_t wait_ms)
{
	return wait_ms ? now_ms + wait_ms : CLOCK_NEVER;
}

/* A service has its own time, but not more than the dispatcher has for everything. */
static uint64_t configured_deadline(const struct sv *sv, const struct service_settings *svc, uint64_t now_ms)
{
	uint64_t own = deadline_of(now_ms, svc->shutdown_ms);
	uint64_t whole = deadline_of(now_ms, sv->config.settings->shutdown_ms);

	return MIN(own, whole);
}

/* Closes all services, each within the configured time or within_ms. Returns the last of their deadlines, with
 * the time for KILL behind TERM. */
static uint64_t close_services(struct sv *sv, bool at_once, uint64_t within_ms)
{
	uint64_t now = clock_mono_ms(), last = now;

	for (uint32_t i = 0; i < services_count(sv->services); i++) {
		const struct service_settings *svc = services_settings(sv->services, i);
		uint64_t deadline = now;

		if (!at_once && within_ms == SV_AS_CONFIGURED)
			deadline = configured_deadline(sv, svc, now);
		else if (!at_once)
			deadline = now + within_ms;
		if (services_state(sv->services, i) == LINK_FAILED && !workers_live(sv->workers, i))
			services_closed(sv->services, i);
		else
			services_closing(sv->services, i, deadline);
		deadline = services_state(sv->services, i) == LINK_CLOSING ? services_deadline(sv->services, i)
									   : now;
		last = MAX(last, deadline == CLOCK_NEVER ? CLOCK_NEVER : deadline + svc->kill_ms);
	}
	return last;
}

static void begin_to_drain(struct sv *sv)
{
	sv_upgrade_cancel(sv);
	set_phase(sv, SV_DRAINS);
	reload_abandon(sv->reload);
	sv_cancel_starts(sv);
}

/* A drain that is under way may be hurried, never slowed down. */
void sv_drain(struct sv *sv, const char *by, uint64_t within_ms)
{
	bool is_given = within_ms != SV_AS_CONFIGURED;
	uint64_t last;

	if (sv->phase != SV_RUNS && !(sv->phase == SV_DRAINS && is_given))
		return;
	log_event(EV_STOPPING, "by=%s deadline_ms=%" PRIu64, by,
		is_given ? within_ms : sv->config.settings->shutdown_ms);
	if (sv->phase == SV_RUNS)
		begin_to_drain(sv);
	last = close_services(sv, false, within_ms);
	if (last != CLOCK_NEVER)
		timer_in(sv->limit, last - clock_mono_ms() + GRACE_MS);
	sv_look(sv);
}

void sv_kill(struct sv *sv, const char *by)
{
	if (sv->phase != SV_RUNS && sv->phase != SV_DRAINS)
		return;
	sv_upgrade_cancel(sv);
	log_event(EV_STOPPING, "by=%s deadline_ms=0", by);
	sv_cancel_starts(sv);
	close_services(sv, true, SV_AS_CONFIGURED);
	set_phase(sv, SV_KILLS);
	reload_abandon(sv->reload);
	workers_kill_all(sv->workers);
	timer_in(sv->limit, GRACE_MS);
	sv_look(sv);
}
