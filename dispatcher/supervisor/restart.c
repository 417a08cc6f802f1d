/* The replacing is done by the acceptor's pool; here the workers are marked, which outlives every
 * acceptor, and what would take too many processes is refused: beside the pool at most MAX_PROCS old
 * workers may drain for as long as their clients like. With a deadline there is no such limit, so that
 * it is also the way to be rid of them. */
#include "dispatcher/supervisor/restart.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/workers.h"

struct restart {
	struct workers *all;
	uint32_t service, slots;
	const struct service_settings *set;
	const char *name;
	const struct link_record *order;
	FILE *report;
};

/* The living worker of slot; NULL: there is none. */
static struct worker *living(const struct restart *r, uint32_t slot)
{
	struct worker *w = workers_at(r->all, r->service, slot);

	return w && worker_lives(w) ? w : NULL;
}

static bool is_meant(const struct restart *r, const struct worker *w)
{
	return !r->order->serial || (w->slot == r->order->slot && w->serial == r->order->serial);
}

/* Those that shall be replaced already, and those that this order adds. */
static void count(const struct restart *r, uint32_t *ret_old, uint32_t *ret_more)
{
	*ret_old = *ret_more = 0;
	for (uint32_t i = 0; i < r->slots; i++) {
		const struct worker *w = living(r, i);

		if (!w)
			continue;
		*ret_old += worker_is_ordered(w);
		*ret_more += is_meant(r, w) && !worker_is_ordered(w);
	}
}

static int refuse_state(const struct restart *r, enum link_service_state state)
{
	switch (state) {
	case LINK_FAILED:
		fprintf(r->report, "refused: %s could not be opened; it is tried again every few seconds",
			r->name);
		break;
	case LINK_CLOSING:
		fprintf(r->report, "refused: %s is closing", r->name);
		break;
	default:
		fprintf(r->report, "refused: %s is closed; to open it: dispatcherctl start %s", r->name,
			r->name);
	}
	return 1;
}

static int refuse_gone(const struct restart *r)
{
	fprintf(r->report, "refused: %s/%u has ended", r->name, r->order->serial);
	return 1;
}

static int refuse_too_many(const struct restart *r, uint32_t old)
{
	fprintf(r->report,
		"refused: %u workers of %s still serve from before the last restart, and no more than %u "
		"(MAX_PROCS) may at a time:\n",
		old, r->name, r->set->max_procs);
	for (uint32_t i = 0; i < r->slots; i++) {
		const struct worker *w = living(r, i);
		char since[CLOCK_TEXT_BYTES];

		if (w && worker_is_ordered(w))
			fprintf(r->report, "%s/%u pid %d, to be replaced since %s\n", r->name, w->serial,
				(int)w->pid, clock_format(w->stale.since_wall_ms, since));
	}
	fprintf(r->report, "to end them: dispatcherctl restart %s --drain 1m", r->name);
	return 1;
}

static void mark(const struct restart *r)
{
	uint64_t now_ms = clock_mono_ms();
	unsigned marked = 0;

	for (uint32_t i = 0; i < r->slots; i++) {
		struct worker *w = living(r, i);

		if (!w || !is_meant(r, w))
			continue;
		worker_replace(w, LINK_STALE_RESTARTED, r->order->deadline_ms, now_ms);
		fprintf(r->report, "%s%s/%u", marked++ ? " " : "to be replaced: ", r->name, w->serial);
	}
	if (!marked)
		fprintf(r->report, "%s has no worker to replace", r->name);
}

int restart_workers(struct workers *all, struct services *services, const struct settings *settings,
	const struct link_record *order, FILE *report)
{
	struct restart r = {.all = all, .service = order->service, .order = order, .report = report};
	uint32_t old, more;

	if (order->service >= services_count(services)) {
		fprintf(report, "refused: there is no such service");
		return 1;
	}
	r.set = services_settings(services, r.service);
	r.name = settings_text(settings, r.set->name);
	r.slots = workers_slots(all, r.service);
	if (services_state(services, r.service) != LINK_OPEN)
		return refuse_state(&r, services_state(services, r.service));
	count(&r, &old, &more);
	if (order->serial && (order->slot >= r.slots || !living(&r, order->slot) ||
			!is_meant(&r, living(&r, order->slot))))
		return refuse_gone(&r);
	if (old && more && old + more > r.set->max_procs && order->deadline_ms == UINT64_MAX)
		return refuse_too_many(&r, old);
	mark(&r);
	return 0;
}

void restart_reopened(struct workers *all, uint32_t service, uint64_t deadline_ms)
{
	uint64_t now_ms = clock_mono_ms();
	uint64_t left_ms = deadline_ms - MIN(deadline_ms, now_ms);

	for (uint32_t i = 0; i < workers_slots(all, service); i++) {
		struct worker *w = workers_at(all, service, i);

		if (w && worker_lives(w))
			worker_replace(w, LINK_STALE_RESTARTED,
				deadline_ms == CLOCK_NEVER ? UINT64_MAX : left_ms, now_ms);
	}
}

void sv_restart(struct sv *sv, const struct link_record *order)
{
	OWNS_MEM char *text = NULL;
	size_t size = 0;
	FILE *report = open_memstream(&text, &size);
	int status = 1;

	if (report) {
		status = restart_workers(sv->workers, sv->services, sv->config.settings, order, report);
		fclose(report);
	}
	ops_end(sv->ops, order->id, status, text ? text : "out of memory");
}
