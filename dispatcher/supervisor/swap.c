/* What is in force is held by sv alone (config, file, ledger_fd), and by the modules that keep tables by
 * service. Each gets its next tables ready first, where it may fail; the commit only exchanges. */
#include "dispatcher/supervisor/swap.h"
#include "common/base.h"
#include "common/log.h"
#include "config/schema.h"
#include "config/tables.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/canary.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/ledgers.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/restart.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>


struct swap {
	struct sv *sv;
	struct reader_result read;   /* the file, and how it differs from the last */
	struct reader_result tables; /* the same, with what must stay for a while */
	struct reader_result old_file, old_config; /* once committed: what was in force before */
	uint32_t *map; /* for each service of the tables its index at present, or LEDGER_NONE */
	bool *closing; /* for each: it closes at present, and shall open again */
	struct canary **canaries;
	uint32_t canary_count, waiting;
	bool bound, committed;
	swap_tried *tried;
	void *user;
};

/* --- tables --- */

static bool *services_to_keep(struct sv *sv)
{
	uint32_t count = services_count(sv->services);
	bool *keep = calloc(count + 1, sizeof(*keep));

	for (uint32_t i = 0; keep && i < count; i++)
		keep[i] = services_state(sv->services, i) != LINK_CLOSED ||
			workers_in_use(sv->workers, i) || ledgers_is_used(sv->ledger_fd, i);
	return keep;
}

static int seal(struct settings *made, struct reader_result *ret_tables)
{
	OWNS_FD int fd = sealed_memory("settings");
	void *memory = NULL;
	size_t bytes = 0;
	int bad = MIN(fd, 0);

	if (!bad)
		bad = sealed_fill(fd, made, made->bytes);
	if (!bad)
		bad = sealed_map(fd, &memory, &bytes);
	if (bad)
		return bad;
	ret_tables->settings = memory;
	ret_tables->fd = base_steal_fd(&fd);
	return 0;
}

static int make_tables(struct swap *s, const struct reader_result *read)
{
	OWNS_MEM bool *keep = services_to_keep(s->sv);
	OWNS_MEM struct settings *made =
		keep ? tables_make(read->settings, s->sv->config.settings, keep) : NULL;

	return made ? seal(made, &s->tables) : -ENOMEM;
}

static int make_map(struct swap *s)
{
	const struct settings *tables = s->tables.settings, *before = s->sv->config.settings;
	uint32_t count = tables->services.count;

	s->map = calloc(count + 1, sizeof(*s->map));
	s->closing = calloc(count + 1, sizeof(*s->closing));
	for (uint32_t i = 0; s->map && i < count; i++)
		s->map[i] = tables_find(before, settings_text(tables, settings_service(tables, i)->name));
	return s->map && s->closing ? 0 : -ENOMEM;
}

int swap_new(struct sv *sv, struct reader_result *read, struct swap **ret_swap)
{
	struct swap *s = calloc(1, sizeof(*s));
	int bad;

	_Static_assert(LEDGER_NONE == UINT32_MAX, "tables_find says the same");
	if (!s)
		return -ENOMEM;
	s->sv = sv;
	s->read.fd = s->tables.fd = s->old_file.fd = s->old_config.fd = -1;
	bad = make_tables(s, read);
	if (!bad)
		bad = make_map(s);
	if (bad) {
		swap_free(s);
		return bad;
	}
	s->read = *read;
	*read = (struct reader_result){.fd = -1};
	*ret_swap = s;
	return 0;
}

static void free_canaries(struct swap *s)
{
	while (s->canary_count)
		canary_free(s->canaries[--s->canary_count]);
	free(s->canaries);
	s->canaries = NULL;
}

struct swap *swap_free(struct swap *s)
{
	if (!s)
		return NULL;
	free_canaries(s);
	if (s->bound) {
		services_discard(s->sv->services);
		workers_discard(s->sv->workers);
	}
	reader_result_settle(&s->read);
	if (!s->committed) {
		reader_result_free(&s->read);
		reader_result_free(&s->tables);
	}
	reader_result_free(&s->old_file);
	reader_result_free(&s->old_config);
	logs_settle(s->sv->logs);
	free(s->map);
	free(s->closing);
	free(s);
	return NULL;
}

const struct reader_result *swap_tables(const struct swap *s)
{
	return &s->tables;
}

const struct diff *swap_diff(const struct swap *s)
{
	return s->read.diff;
}

/* --- what changes --- */

/* How the service of the tables differs; NULL: it is leaving. The file's services come first. */
static const struct diff_service *change_of(const struct swap *s, uint32_t service)
{
	return service < s->read.settings->services.count ? diff_service(s->read.diff, service) : NULL;
}

static bool needs_new_workers(const struct swap *s, uint32_t service)
{
	const struct diff_service *d = change_of(s, service);

	return d && d->kind == DIFF_CHANGED && d->changes & SCHEMA_WORKERS;
}

/* --- too many old ones --- */

static void tell_crowd(const struct swap *s, uint32_t service, uint32_t old, FILE *tell)
{
	const struct settings *tables = s->tables.settings;
	const struct service_settings *svc = settings_service(tables, service);
	const char *name = settings_text(tables, svc->name);

	fprintf(tell, "%s: %u workers of it still finish what they serve, and no more than %u (MAX_PROCS) may "
		"beside new ones:", name, old, svc->max_procs);
	for (uint32_t i = 0; i < workers_slots(s->sv->workers, s->map[service]); i++) {
		const struct worker *w = workers_at(s->sv->workers, s->map[service], i);

		if (w && worker_lives(w) && (s->closing[service] || worker_is_ordered(w)))
			fprintf(tell, " %s/%u (pid %d)", name, w->serial, (int)w->pid);
	}
	fputs("; wait, or end them with --drain\n", tell);
}

/* Old workers may stand beside new ones up to max_procs, as with restart and start. */
static bool is_crowded(struct swap *s, uint32_t service, FILE *tell)
{
	const struct service_settings *svc = settings_service(s->tables.settings, service);
	uint32_t old = 0, more = 0;

	if (!s->closing[service] && !needs_new_workers(s, service))
		return false;
	for (uint32_t i = 0; i < workers_slots(s->sv->workers, s->map[service]); i++) {
		const struct worker *w = workers_at(s->sv->workers, s->map[service], i);

		if (!w || !worker_lives(w))
			continue;
		old += s->closing[service] || worker_is_ordered(w);
		more += !s->closing[service] && !worker_is_ordered(w);
	}
	if (old <= svc->max_procs && (!more || !old || old + more <= svc->max_procs))
		return false;
	tell_crowd(s, service, old, tell);
	return true;
}

static bool are_crowded(struct swap *s, FILE *tell)
{
	bool any = false;

	for (uint32_t i = 0; i < s->read.settings->services.count; i++) {
		const struct settings *tables = s->tables.settings;
		const struct service_settings *svc = settings_service(tables, i);

		s->closing[i] = s->map[i] != LEDGER_NONE && svc->enabled &&
			services_state(s->sv->services, s->map[i]) == LINK_CLOSING &&
			!closures_find(s->sv->closures, settings_text(tables, svc->name));
		any |= is_crowded(s, i, tell);
	}
	return any;
}

/* --- listeners and slots --- */

int swap_bind(struct swap *s, FILE *tell)
{
	int answer;

	_Static_assert((int)SERVICES_WAIT == (int)SWAP_WAIT && (int)SERVICES_REFUSED == (int)SWAP_REFUSED,
		"the same answers");
	if (are_crowded(s, tell))
		return SWAP_REFUSED;
	answer = services_prepare(s->sv->services, s->tables.settings, s->map, tell);
	if (answer)
		return answer;
	answer = workers_prepare(s->sv->workers, s->map, s->tables.settings);
	if (answer)
		services_discard(s->sv->services);
	else
		s->bound = true;
	return answer;
}

/* --- workers for trial --- */

static bool needs_trial(const struct swap *s, uint32_t service)
{
	const struct diff_service *d = change_of(s, service);

	if (!d || !services_will_open(s->sv->services, service))
		return false;
	return d->kind == DIFF_NEW || !d->was_enabled || needs_new_workers(s, service);
}

static void on_tried(void *user, struct canary *c, const char *error)
{
	struct swap *s = user;
	const struct settings *tables = s->tables.settings;
	char text[400];

	if (error) {
		snprintf(text, sizeof(text), "%s: %s",
			settings_text(tables, settings_service(tables, canary_service(c))->name), error);
		s->tried(s->user, text);
		return;
	}
	s->waiting--;
	if (!s->waiting)
		s->tried(s->user, NULL);
}

static int try_one(struct swap *s, uint32_t service)
{
	struct sv *sv = s->sv;
	const struct settings *tables = s->tables.settings;
	const struct service_settings *svc = settings_service(tables, service);
	int bad = canary_start(workers_shared(sv->workers), tables, service,
		workers_next_serial(sv->workers, service),
		logs_sink(sv->logs, settings_text(tables, svc->logfile)), on_tried, s,
		&s->canaries[s->canary_count]);

	if (bad)
		return bad;
	s->canary_count++;
	s->waiting++;
	return 0;
}

int swap_try_workers(struct swap *s, swap_tried *tried, void *user)
{
	uint32_t count = s->tables.settings->services.count;
	int bad = 0;

	s->tried = tried;
	s->user = user;
	s->canaries = calloc(count + 1, sizeof(struct canary *));
	if (!s->canaries)
		return -ENOMEM;
	for (uint32_t i = 0; !bad && i < count; i++)
		if (needs_trial(s, i))
			bad = try_one(s, i);
	if (!bad && !s->canary_count)
		tried(user, NULL);
	return bad;
}

/* --- commit --- */

static void replace_workers(struct swap *s, uint32_t service, uint64_t since_ms)
{
	struct workers *workers = s->sv->workers;

	for (uint32_t i = 0; i < workers_slots(workers, service); i++) {
		struct worker *w = workers_at(workers, service, i);

		if (w)
			worker_replace(w, LINK_STALE_CHANGED, UINT64_MAX, since_ms);
	}
}

static void place_canaries(struct swap *s)
{
	while (s->canary_count) {
		struct canary *c = s->canaries[--s->canary_count];
		uint32_t service = canary_service(c);

		if (canary_has_ended(c) || !workers_have_place(s->sv->workers, service))
			canary_free(c); /* the pool starts another */
		else
			workers_place(s->sv->workers, service, canary_steal(c));
	}
}

/* What living workers write goes where the settings say now. */
static void redirect_logs(struct swap *s, uint32_t service)
{
	struct sv *sv = s->sv;
	const struct settings *tables = s->tables.settings;
	uint32_t sink = logs_sink(sv->logs,
		settings_text(tables, settings_service(tables, service)->logfile));

	for (uint32_t i = 0; i < workers_slots(sv->workers, service); i++) {
		struct worker *w = workers_at(sv->workers, service, i);

		if (w)
			logs_redirect(sv->logs, &w->log, sink);
	}
}

static void adopt_all(struct swap *s, const struct ledger_need *needs, uint64_t since_ms)
{
	struct sv *sv = s->sv;
	uint32_t count = s->tables.settings->services.count;

	services_adopt(sv->services);
	workers_adopt(sv->workers, needs);
	thefts_adopt(sv->thefts, s->map, count);
	for (uint32_t i = 0; i < count; i++)
		if (s->closing[i] && services_state(sv->services, i) == LINK_OPEN)
			restart_reopened(sv->workers, i, UINT64_MAX);
		else if (needs_new_workers(s, i))
			replace_workers(s, i, since_ms);
	place_canaries(s);
	for (uint32_t i = 0; i < count; i++)
		redirect_logs(s, i);
	s->bound = false;
}

static void need_slots_in_use(const struct swap *s, struct ledger_need *needs)
{
	for (uint32_t i = 0; i < s->tables.settings->services.count; i++)
		needs[i].workers = MAX(needs[i].workers, workers_in_use(s->sv->workers, s->map[i]));
}

int swap_commit(struct swap *s, uint64_t since_ms)
{
	struct sv *sv = s->sv;
	uint32_t count = s->tables.settings->services.count;
	OWNS_MEM struct ledger_need *needs = ledgers_needs(s->tables.settings);
	OWNS_FD int ledger = -1;

	if (!needs)
		return -ENOMEM;
	need_slots_in_use(s, needs);
	ledger = ledgers_carry(sv->ledger_fd, needs, count, s->map);
	if (ledger < 0)
		return ledger;
	if (!workers_have_room(sv->workers, needs))
		return -EBADMSG; /* no acceptor of ours writes to slots that it never had */
	base_close(&sv->ledger_fd);
	sv->ledger_fd = base_steal_fd(&ledger);
	s->old_file = sv->file;
	s->old_config = sv->config;
	sv->file = (struct reader_result){.fd = s->read.fd, .settings = s->read.settings};
	sv->config = s->tables;
	s->committed = true;
	adopt_all(s, needs, since_ms);
	return 0;
}
