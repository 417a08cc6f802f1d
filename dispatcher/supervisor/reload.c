/* A reload reads the files in a process of its own, binds what is new, starts a worker of each service
 * that needs new ones, has another acceptor read the new tables, and only when all of that has worked
 * replaces the acceptor and, while none runs, what is in force. Whatever fails before leaves everything
 * as it was. Certificates and keys are read each time, as they change without the configuration; when
 * nothing else does, or nothing else is asked for, they are in force at once.
 *
 *     IDLE -> READS -> KEYS -> BINDS (waits for ports that are being given up) -> TRIES (workers)
 *       ^       |        |       |                                                  |
 *       |<------+--------+-------+------ refused, failed, abandoned ------+---------+-> PREPARES (an acceptor)
 *       +------------------------- done, failed --------------------------+-- SWITCHES <----+
 */
#include "dispatcher/supervisor/reload.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "config/tables.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/certs.h"
#include "dispatcher/supervisor/delivery.h"
#include "dispatcher/supervisor/keyring.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/origin.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/swap.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define AGAIN_MS 100
#define WAIT_MS 10000 /* for what is under way: ports that are given up, another acceptor's start */
#define IN_FORCE "nothing has changed: what was in force stays in force"

enum reload_state { RELOAD_IDLE, RELOAD_READS, RELOAD_KEYS, RELOAD_BINDS, RELOAD_TRIES, RELOAD_PREPARES, RELOAD_SWITCHES };

struct reload {
	struct sv *sv;
	struct news news;
	enum reload_state state;
	uint64_t id;
	bool is_dry, is_tls; /* enum link_reload */
	bool has_asked; /* the acceptor that is being prepared is ours */
	uint64_t began_ms, began_wall_ms;
	struct reader *reader;
	struct reader_result read; /* until it is applied */
	struct keyring_reader *keys;
	struct swap *swap;
	struct timer *again;
	uint64_t wait_until_ms;
	FILE *out; /* the words for the operator, text once it is flushed */
	char *text;
	size_t size;
	int commit; /* what swap_commit answered */
	uint64_t last_wall_ms; /* of the last that ended, 0: none */
	int last_status;
	char last_text[LINK_TEXT_BYTES];
};

static const unsigned may_follow[] = {
	[RELOAD_IDLE] = BIT(RELOAD_READS) | BIT(RELOAD_KEYS),
	[RELOAD_READS] = BIT(RELOAD_KEYS) | BIT(RELOAD_IDLE),
	[RELOAD_KEYS] = BIT(RELOAD_BINDS) | BIT(RELOAD_IDLE),
	[RELOAD_BINDS] = BIT(RELOAD_TRIES) | BIT(RELOAD_IDLE),
	[RELOAD_TRIES] = BIT(RELOAD_PREPARES) | BIT(RELOAD_IDLE),
	[RELOAD_PREPARES] = BIT(RELOAD_SWITCHES) | BIT(RELOAD_IDLE),
	[RELOAD_SWITCHES] = BIT(RELOAD_IDLE),
};

static void set_state(struct reload *r, enum reload_state state)
{
	bool was_idle = r->state == RELOAD_IDLE, is_idle = state == RELOAD_IDLE;

	ASSERT(may_follow[r->state] & BIT(state));
	r->state = state;
	if (was_idle != is_idle && !r->is_dry)
		sv_reloading(r->sv, was_idle);
}

/* --- the end --- */

static int say_loaded(struct news *news, int fd)
{
	const struct reload *r = (struct reload *)((char *)news - offsetof(struct reload, news));
	struct link_record record = {.type = LINK_LOADED,
		.created_wall_ms = r->sv->loaded_wall_ms,
		.deadline_ms = r->last_wall_ms,
		.status = r->last_status,
		.number = origin_changed(r->sv->origin)};

	memcpy(record.text, r->last_text, sizeof(record.text));
	return link_send(fd, &record, NULL, 0);
}

void reload_announce(struct reload *r)
{
	outlet_push(baton_outlet(r->sv->baton), &r->news);
}

/* The first line that is not about the file as such. */
static const char *gist(const char *text)
{
	static const char *const notes[] = {"warning: ", "not enforced: "};
	const char *next;

	for (size_t i = 0; i < ARRAY_LEN(notes); i++)
		if (strncmp(text, notes[i], strlen(notes[i])) == 0 && (next = strchr(text, '\n')))
			return gist(next + 1);
	return text;
}

static void log_result(const struct reload *r, int status)
{
	char quoted[LOG_QUOTE_BYTES];

	log_quote(gist(r->text), quoted);
	if (status)
		log_event(EV_RELOAD_REFUSED, "text=%s", quoted);
	else if (!r->is_tls)
		log_event(EV_RELOADED, "config_hash=%s text=%s", r->sv->config.settings->hash, quoted);
}

/* A dry run is not remembered as the last reload. */
static void remember(struct reload *r, int status)
{
	if (r->is_dry)
		return;
	r->last_wall_ms = clock_wall_ms();
	r->last_status = status;
	snprintf(r->last_text, sizeof(r->last_text), "%s", gist(r->text));
	log_result(r, status);
	reload_announce(r);
}

static void free_all(struct reload *r)
{
	timer_stop(r->again);
	r->reader = reader_free(r->reader);
	reader_result_free(&r->read);
	r->keys = keyring_cancel(r->keys);
	secrets_discard(r->sv->secrets);
	r->swap = swap_free(r->swap);
	if (r->out)
		fclose(r->out);
	r->out = NULL;
	free(r->text);
	r->text = NULL;
}

bool reload_is_preparing(const struct reload *r)
{
	return r->state > RELOAD_KEYS;
}

/* The words so far, and last, are what the operator is told. */
static void end(struct reload *r, int status, const char *last)
{
	if (last)
		fprintf(r->out, "%s\n", last);
	fflush(r->out);
	set_state(r, RELOAD_IDLE);
	remember(r, status);
	ops_end(r->sv->ops, r->id, status, r->text);
	free_all(r);
	if (r->sv->phase == SV_RUNS)
		sv_try_starts(r->sv); /* they waited for this, too */
}

static void refuse(struct reload *r)
{
	end(r, 1, r->is_dry ? NULL : IN_FORCE);
}

static void fail(struct reload *r, const char *what, int bad)
{
	fprintf(r->out, "%s: %s\n", what, strerror(-bad));
	refuse(r);
}

void reload_abandon(struct reload *r)
{
	if (r->state == RELOAD_IDLE || r->state == RELOAD_SWITCHES)
		return; /* the commit sees that everything ends */
	if (r->state == RELOAD_PREPARES && r->has_asked)
		baton_discard(r->sv->baton);
	fprintf(r->out, "everything is being shut down\n");
	refuse(r);
}

/* --- the change --- */

/* Certificates that were prepared are in force, and whoever lives gets them. */
static void use_keys(struct reload *r)
{
	OWNS_MEM char *services = secrets_changes(r->sv->secrets);
	char quoted[LOG_QUOTE_BYTES];

	secrets_commit(r->sv->secrets, r->sv->config.settings);
	delivery_push(r->sv->delivery);
	certs_announce(r->sv->certs);
	if (services && *services)
		log_event(EV_TLS_CHANGED, "services=%s", log_quote(services, quoted));
}

static void on_swap(void *user)
{
	struct reload *r = user;

	r->commit = r->sv->phase == SV_RUNS ? swap_commit(r->swap, r->began_ms) : -ESHUTDOWN;
	if (r->commit)
		return;
	r->sv->loaded_wall_ms = r->began_wall_ms;
	use_keys(r);
	origin_set(r->sv->origin, r->sv->file.settings);
	sv_adapt(r->sv, swap_diff(r->swap)->changes);
}

static void on_done(void *user)
{
	struct reload *r = user;

	if (r->commit)
		fail(r, "cannot make the new tables", r->commit);
	else
		end(r, 0, NULL);
}

static void on_prepared(void *user, const char *error)
{
	struct reload *r = user;

	if (!error && baton_switch(r->sv->baton, on_swap, on_done, r))
		error = "the new acceptor is gone already";
	if (error) {
		fprintf(r->out, "%s\n", error);
		refuse(r);
		return;
	}
	set_state(r, RELOAD_SWITCHES);
}

/* --- what comes before --- */

/* False: it is time to give up. */
static bool wait_on(struct reload *r)
{
	uint64_t now_ms = clock_mono_ms();

	if (!r->wait_until_ms)
		r->wait_until_ms = now_ms + WAIT_MS;
	if (now_ms >= r->wait_until_ms)
		return false;
	timer_in(r->again, AGAIN_MS);
	return true;
}

static void prepare_acceptor(struct reload *r)
{
	const struct reader_result *tables = swap_tables(r->swap);
	int bad;

	sv_need_descriptors(r->sv, tables->settings);
	bad = baton_prepare(r->sv->baton, tables->settings, tables->fd, on_prepared, r);

	r->has_asked = !bad;
	if (bad == -EBUSY && wait_on(r))
		return;
	if (bad)
		fail(r, "cannot start another acceptor", bad);
}

static void on_tried(void *user, const char *error)
{
	struct reload *r = user;

	if (error) {
		fprintf(r->out, "%s\n", error);
		refuse(r);
		return;
	}
	set_state(r, RELOAD_PREPARES);
	r->wait_until_ms = 0;
	prepare_acceptor(r);
}

static void bind_new(struct reload *r)
{
	int answer = swap_bind(r->swap, r->out);

	if (answer == SWAP_WAIT && wait_on(r))
		return;
	if (answer == SWAP_WAIT)
		fprintf(r->out, "an address that is wanted anew is still being given up; try again\n");
	if (answer > 0) {
		refuse(r);
		return;
	}
	if (!answer) {
		set_state(r, RELOAD_TRIES);
		answer = swap_try_workers(r->swap, on_tried, r);
	}
	if (answer)
		fail(r, "cannot get the new configuration ready", answer);
}

static void on_again(void *user)
{
	struct reload *r = user;

	if (r->state == RELOAD_BINDS)
		bind_new(r);
	else if (r->state == RELOAD_PREPARES)
		prepare_acceptor(r);
}

/* --- the files --- */

static void on_told(void *user, enum load_severity severity, const char *text)
{
	static const char *const names[] = {[LOAD_NOT_ENFORCED] = "not enforced: ",
		[LOAD_WARNING] = "warning: ", [LOAD_ERROR] = ""};
	struct reload *r = user;
	const char *name = (size_t)severity < ARRAY_LEN(names) ? names[severity] : NULL;

	fprintf(r->out, "%s%s\n", name ? name : "", text);
}

/* Those that are not being replaced already. */
static uint32_t count_of(const struct workers *workers, uint32_t service)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < workers_slots(workers, service); i++) {
		const struct worker *w = workers_at(workers, service, i);

		count += w && worker_lives(w) && !worker_is_ordered(w);
	}
	return count;
}

/* How many workers each service of the file in force has. */
static uint32_t *count_workers(const struct sv *sv)
{
	const struct settings *file = sv->file.settings;
	uint32_t *counts = calloc(file->services.count + 1, sizeof(*counts));

	for (uint32_t i = 0; counts && i < file->services.count; i++) {
		uint32_t at = tables_find(sv->config.settings,
			settings_text(file, settings_service(file, i)->name));

		if (at != UINT32_MAX)
			counts[i] = count_of(sv->workers, at);
	}
	return counts;
}

static bool is_same(const struct sv *sv, const struct reader_result *read)
{
	const struct diff *d = read->diff;

	for (uint32_t i = 0; i < d->services.count; i++)
		if (diff_service(d, i)->kind != DIFF_SAME)
			return false;
	return !d->changes && strcmp(sv->file.settings->hash, read->settings->hash) == 0;
}

/* What differs, and in certificates too: these alone change nothing that a diff shows. */
static void say_changes(struct reload *r, bool same)
{
	OWNS_MEM uint32_t *workers = count_workers(r->sv);
	OWNS_MEM char *services = secrets_changes(r->sv->secrets);
	bool any = services && *services;

	if (r->read.diff && !(same && any))
		diff_print(r->read.diff, workers, r->out);
	else if (!r->read.diff && !any)
		fputs("nothing changes\n", r->out);
	if (any)
		fprintf(r->out, "tls: other certificates or options for %s, no worker is replaced for it\n",
			services);
}

/* The configuration is what it was. */
static void end_same(struct reload *r)
{
	if (!r->is_dry)
		use_keys(r);
	if (!r->is_dry && !r->is_tls) {
		origin_set(r->sv->origin, r->read.settings);
		r->sv->loaded_wall_ms = r->began_wall_ms;
	}
	end(r, 0, NULL);
}

static void apply(struct reload *r)
{
	bool same = r->is_tls || is_same(r->sv, &r->read);
	int bad;

	say_changes(r, same);
	if (same || r->is_dry) {
		end_same(r);
		return;
	}
	bad = swap_new(r->sv, &r->read, &r->swap);
	if (bad) {
		fail(r, "cannot make the new tables", bad);
		return;
	}
	set_state(r, RELOAD_BINDS);
	bind_new(r);
}

/* --- certificates and keys --- */

static const struct settings *wanted(const struct reload *r)
{
	return r->is_tls ? r->sv->file.settings : r->read.settings;
}

static void on_keys(void *user, int answer, int status, struct keyring *ring)
{
	struct reload *r = user;
	char text[LOG_STATUS_BYTES];

	r->keys = NULL;
	if (!answer)
		answer = secrets_prepare_consume(r->sv->secrets, ring, wanted(r));
	if (!answer) {
		apply(r);
		return;
	}
	if (answer == KEYRING_CRASHED)
		fprintf(r->out, "the reader of the certificates ended by %s\n",
			log_status(status, text));
	else if (answer < 0)
		fprintf(r->out, "the certificates cannot be read: %s\n", strerror(-answer));
	refuse(r);
}

static bool is_in_force(void *user, const char *service, uint64_t digest)
{
	const struct reload *r = user;

	return secrets_is_in_force(r->sv->secrets, service, digest);
}

static void read_keys(struct reload *r)
{
	struct keyring_request request = {.settings = wanted(r),
		.settings_fd = r->is_tls ? r->sv->file.fd : r->read.fd,
		.tell = on_told,
		.is_in_force = is_in_force,
		.user = r};
	int bad;

	set_state(r, RELOAD_KEYS);
	bad = keyring_start(&r->sv->loop, r->sv->children, &request, on_keys, &r->keys);
	if (bad)
		fail(r, "cannot start the reader of the certificates", bad);
}

/* --- the beginning --- */

static void on_read(void *user, int answer, int status, struct reader_result *read)
{
	struct reload *r = user;
	char text[LOG_STATUS_BYTES];

	r->reader = NULL;
	if (!answer) {
		r->read = *read;
		read_keys(r);
		return;
	}
	if (answer == READER_CRASHED)
		fprintf(r->out, "the reader of the configuration ended by %s\n",
			log_status(status, text));
	else if (answer < 0)
		fprintf(r->out, "the configuration cannot be read: %s\n", strerror(-answer));
	refuse(r);
}

static void read_file(struct reload *r)
{
	struct sv *sv = r->sv;
	struct reader_request request = {
		.path = settings_text(sv->file.settings, sv->file.settings->config_file),
		.old_fd = sv->file.fd,
		.old = sv->file.settings,
		.tell = on_told,
		.user = r};
	int bad;

	set_state(r, RELOAD_READS);
	bad = reader_start(&sv->loop, sv->children, &request, on_read, &r->reader);
	if (bad)
		fail(r, "cannot start the reader of the configuration", bad);
}

/* Why none can begin now; NULL: it can. */
static const char *what_is_in_the_way(const struct sv *sv)
{
	if (sv->phase != SV_RUNS)
		return "everything is being shut down";
	if (sv->upgrade)
		return "an upgrade is under way; ask again when it has ended";
	if (sv->reload->state != RELOAD_IDLE)
		return "another reload is under way; ask again when it has ended";
	return NULL;
}

void reload_order(struct sv *sv, const struct link_record *order)
{
	struct reload *r = sv->reload;
	const char *refusal = what_is_in_the_way(sv);

	if (refusal) {
		ops_end(sv->ops, order->id, 1, refusal);
		return;
	}
	r->out = open_memstream(&r->text, &r->size);
	if (!r->out) {
		ops_end(sv->ops, order->id, 1, "out of memory");
		return;
	}
	r->id = order->id;
	r->is_dry = order->number & LINK_RELOAD_DRY;
	r->is_tls = order->number & LINK_RELOAD_TLS;
	r->has_asked = false;
	r->began_ms = clock_mono_ms();
	r->began_wall_ms = clock_wall_ms();
	r->wait_until_ms = 0;
	if (r->is_tls)
		read_keys(r);
	else
		read_file(r);
}

/* --- over an exec --- */

void reload_save(const struct reload *r, json_t *root)
{
	snapshot_put(root, "reload_wall_ms", r->last_wall_ms);
	snapshot_put(root, "reload_status", (uint64_t)r->last_status);
	snapshot_put_text(root, "reload_text", r->last_text);
}

void reload_restore(struct reload *r, const json_t *root)
{
	const char *text = snapshot_text(root, "reload_text");

	r->last_wall_ms = snapshot_number(root, "reload_wall_ms", 0);
	r->last_status = (int)snapshot_number(root, "reload_status", 0);
	snprintf(r->last_text, sizeof(r->last_text), "%s", text ? text : "");
}

/* --- life --- */

int reload_new(struct sv *sv, struct reload **ret_reload)
{
	struct reload *r = calloc(1, sizeof(*r));
	int bad;

	if (!r)
		return -ENOMEM;
	r->sv = sv;
	r->news.say = say_loaded;
	r->read.fd = -1;
	bad = timer_new(&sv->loop, on_again, r, &r->again);
	if (bad)
		free(r);
	else
		*ret_reload = r;
	return bad;
}

struct reload *reload_free(struct reload *r)
{
	if (!r)
		return NULL;
	free_all(r);
	outlet_forget(baton_outlet(r->sv->baton), &r->news);
	timer_free(r->again);
	free(r);
	return NULL;
}
