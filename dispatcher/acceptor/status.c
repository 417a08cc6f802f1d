/* Status from memory: pages, pools, ledger, and the kernel's figures of the listeners. Nothing here
 * needs a free worker or a file that may hang, and no document is ever whole in memory. */
#include "dispatcher/acceptor/status.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/certs.h"
#include "dispatcher/acceptor/full.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/pump.h"
#include "dispatcher/acceptor/state.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define SLOTS_AT_ONCE 256

static json_t *time_text(uint64_t wall_ms)
{
	char text[CLOCK_TEXT_BYTES];

	return wall_ms ? json_string(clock_format(wall_ms, text)) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *worker_id(const struct service *svc, uint32_t serial)
{
	return json_sprintf("%s/%u", svc->name, serial);
}

static json_t *texts(const struct settings *s, struct settings_list list)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < list.count; i++)
		json_array_append_new(array, json_string(settings_list_text(s, list, i)));
	return array;
}

static json_t *block(const struct ledger_block *b, uint64_t now_ms)
{
	bool ends = b->until_ms != CLOCK_NEVER;
	char prefix[BLOCKS_TEXT_BYTES];
	json_t *o = json_object();

	json_object_set_new(o, "prefix", json_string(blocks_format(b, prefix)));
	json_object_set_new(o, "since", time_text(b->since_wall_ms));
	json_object_set_new(o, "seconds_left",
		ends ? json_real((double)(b->until_ms - now_ms) / 1000) : json_null());
	json_object_set_new(o, "refused", number(b->refused));
	return o;
}

static json_t *blocks(struct acceptor *a)
{
	uint64_t now_ms = clock_mono_ms();
	const struct ledger_block *b = NULL;
	json_t *array = json_array();

	blocks_expire(&a->blocks, now_ms);
	while ((b = blocks_next(&a->blocks, b)))
		json_array_append_new(array, block(b, now_ms));
	return array;
}

static json_t *last_reload(const struct acceptor *a)
{
	json_t *o;

	if (!a->reload.wall_ms)
		return json_null();
	o = json_object();
	json_object_set_new(o, "at", time_text(a->reload.wall_ms));
	json_object_set_new(o, "status", json_integer(a->reload.status));
	json_object_set_new(o, "text", json_string(a->reload.text));
	return o;
}

static json_t *dispatcher(struct acceptor *a)
{
	const struct settings *s = a->settings;
	json_t *d = json_object();

	json_object_set_new(d, "version", json_string(VERSION));
	json_object_set_new(d, "supervisor_pid", a->uplink.alive ? number((uint64_t)a->supervisor_pid)
								 : json_null());
	json_object_set_new(d, "supervisor_version", text_or_null(a->supervisor_version));
	json_object_set_new(d, "upgraded", time_text(a->upgraded_wall_ms));
	json_object_set_new(d, "supervisor_gone", time_text(a->orphaned_wall_ms));
	json_object_set_new(d, "acceptor_pid", json_integer(getpid()));
	json_object_set_new(d, "acceptor_starts", number(a->starts));
	json_object_set_new(d, "started", time_text(a->started_wall_ms));
	json_object_set_new(d, "config_file", text_or_null(settings_text(s, s->config_file)));
	json_object_set_new(d, "config_hash", json_string(s->hash));
	json_object_set_new(d, "config_loaded", time_text(a->loaded_wall_ms));
	json_object_set_new(d, "last_reload", last_reload(a));
	json_object_set_new(d, "config_changed_on_disk", json_boolean(a->config_changed));
	json_object_set_new(d, "not_enforced", texts(s, s->not_enforced));
	json_object_set_new(d, "blocks", blocks(a));
	json_object_set_new(d, "log_lines_dropped", number(log_dropped()));
	return d;
}

/* The tables and what is listened on have the same order. */
static bool is_tls(const struct service *svc, uint32_t index)
{
	return index < svc->set->listeners.count &&
	       settings_listeners(svc->settings, svc->set)[index].tls;
}

static json_t *listeners(const struct service *svc, uint64_t *ret_waiting, uint64_t *ret_drops)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < svc->listener_count; i++) {
		uint32_t now, most, drops;
		json_t *l;

		if (svc->listeners[i].leaving && svc->listeners[i].fd < 0)
			continue;
		l = json_object();
		listener_figures(&svc->listeners[i], &now, &most, &drops);
		json_object_set_new(l, "address", json_string(svc->listeners[i].name));
		json_object_set_new(l, "open", json_boolean(svc->listeners[i].fd >= 0));
		json_object_set_new(l, "tls", json_boolean(is_tls(svc, i)));
		json_object_set_new(l, "backlog_now", number(now));
		json_object_set_new(l, "backlog_max", number(most));
		json_object_set_new(l, "drops", number(drops));
		json_array_append_new(array, l);
		*ret_waiting += now;
		*ret_drops += drops;
	}
	return array;
}

static const char *worker_state(const struct pool_worker *w)
{
	switch (w->state) {
	case POOL_STARTING:
		return "starting";
	case POOL_RETIRING:
		return "retiring";
	case POOL_KILLED:
	case POOL_EXITED:
		return "killed";
	default:
		return "serving";
	}
}

static json_t *since(uint64_t mono_ms, uint64_t now_ms)
{
	return mono_ms ? time_text(clock_wall_ms() - (now_ms - mono_ms)) : json_null();
}

static json_t *seconds_or_null(bool is_there, uint64_t ms)
{
	return is_there ? json_real((double)ms / 1000) : json_null();
}

static const char *waits_for(const struct pool_worker *w)
{
	if (!w->wants_rest)
		return NULL;
	return w->has_place ? "replacement" : "place";
}

/* Why a worker goes or should go, since when, how long it may take, and what it waits for. */
static void add_leaving(json_t *o, const struct pool_worker *w, uint64_t now_ms)
{
	bool has_deadline = w->state == POOL_RETIRING && w->deadline_ms != POOL_NEVER;

	json_object_set_new(o, "retiring_since", since(w->retired_ms, now_ms));
	json_object_set_new(o, "retiring_seconds", seconds_or_null(w->retired_ms, now_ms - w->retired_ms));
	json_object_set_new(o, "wants_rest",
		text_or_null(w->wants_rest ? pool_reason_name(w->wants_reason) : NULL));
	json_object_set_new(o, "waits_for", text_or_null(waits_for(w)));
	json_object_set_new(o, "stale", text_or_null(w->stale ? pool_reason_name(w->stale) : NULL));
	json_object_set_new(o, "stale_since", since(w->stale_ms, now_ms));
	json_object_set_new(o, "drain_seconds",
		seconds_or_null(w->stale && w->drain_ms != POOL_NEVER, w->drain_ms));
	json_object_set_new(o, "deadline_seconds", seconds_or_null(has_deadline,
		w->deadline_ms > now_ms ? w->deadline_ms - now_ms : 0));
}

static json_t *worker(const struct service *svc, const struct slot *s, uint64_t now_ms)
{
	const struct pool_worker *w = service_pool_worker(s);
	bool has_reason = w->reason != POOL_NO_REASON;
	char line[PAGE_LINE_BYTES] = "";
	json_t *o = json_object();

	if (s->page)
		page_copy_line(s->page, line);
	json_object_set_new(o, "id", worker_id(svc, s->serial));
	json_object_set_new(o, "pid", json_integer(s->pid));
	json_object_set_new(o, "state", json_string(worker_state(w)));
	json_object_set_new(o, "suspect", json_boolean(w->state == POOL_SUSPECT));
	json_object_set_new(o, "connections", number(w->load));
	json_object_set_new(o, "unread", number(w->unread));
	json_object_set_new(o, "peak_connections", number(w->peak));
	json_object_set_new(o, "served", number(slot_served(s)));
	json_object_set_new(o, "given", number(s->book->given));
	json_object_set_new(o, "started", time_text(s->book->created_wall_ms));
	json_object_set_new(o, "ready", time_text(s->wall_ready_ms));
	json_object_set_new(o, "age_seconds", json_real((double)(now_ms - s->book->created_ms) / 1000));
	json_object_set_new(o, "retire_reason",
		has_reason ? json_string(pool_reason_name(w->reason)) : json_null());
	add_leaving(o, w, now_ms);
	json_object_set_new(o, "image_replaced", json_boolean(s->image_replaced));
	json_object_set_new(o, "line", text_or_null(line));
	return o;
}

static bool is_shown(const struct slot *s)
{
	return s->serial && !s->releasing;
}

static json_t *workers(const struct service *svc, uint64_t now_ms)
{
	json_t *array = json_array();

	for (uint32_t i = 0; svc->pool && i < svc->slot_count; i++)
		if (is_shown(&svc->slots[i]))
			json_array_append_new(array, worker(svc, &svc->slots[i], now_ms));
	return array;
}

static json_t *last_exit(const struct service *svc)
{
	const struct ledger_service *b = svc->book;
	json_t *o;
	char status[LOG_STATUS_BYTES];

	if (!b->last_exit_wall_ms)
		return json_null();
	o = json_object();
	json_object_set_new(o, "worker", worker_id(svc, b->last_serial));
	json_object_set_new(o, "status", json_string(log_status(b->last_status, status)));
	json_object_set_new(o, "at", time_text(b->last_exit_wall_ms));
	return o;
}

static const char *state_name(const struct service *svc)
{
	static const char *const names[] = {
		[LINK_CLOSED] = "closed",
		[LINK_FAILED] = "failed",
		[LINK_OPEN] = "open",
		[LINK_CLOSING] = "closing",
	};

	return names[svc->state];
}

static uint64_t capacity(const struct service *svc)
{
	return (uint64_t)svc->set->max_procs * svc->set->max_conns;
}

/* Who closed it, when, and what opens it again. */
static void put_closure(json_t *o, const struct service *svc)
{
	const char *off = svc->set->leaving ? "no longer in the configuration"
					     : settings_text(svc->settings, svc->set->off_where);
	const char *until = NULL;

	if (*svc->closed_by)
		until = svc->closed_lasts == LINK_LASTS_DISABLE ? "enable" : "start";
	json_object_set_new(o, "closed_by", text_or_null(off ? off : svc->closed_by));
	json_object_set_new(o, "closed_at", time_text(off ? 0 : svc->closed_wall_ms));
	json_object_set_new(o, "closed_until", text_or_null(off ? "configuration" : until));
}

static void put_limits(json_t *o, const struct service *svc)
{
	const struct service_settings *set = svc->set;

	json_object_set_new(o, "min_procs", number(set->min_procs));
	json_object_set_new(o, "max_procs", number(set->max_procs));
	json_object_set_new(o, "min_conns", number(set->min_conns));
	json_object_set_new(o, "max_conns", number(set->max_conns));
	json_object_set_new(o, "max_shutdown", number(set->max_shutdown));
	json_object_set_new(o, "capacity", number(capacity(svc)));
	json_object_set_new(o, "headroom", number(capacity(svc) - MIN(capacity(svc), svc->conns.open - line_count(svc))));
}

/* How many workers there are of each state that status knows. */
static json_t *worker_states(const struct service *svc)
{
	static const char *const names[] = {"starting", "serving", "retiring", "killed"};
	unsigned counts[ARRAY_LEN(names)] = {0};
	json_t *o = json_object();

	for (uint32_t i = 0; svc->pool && i < svc->slot_count; i++) {
		const char *state;

		if (!is_shown(&svc->slots[i]))
			continue;
		state = worker_state(service_pool_worker(&svc->slots[i]));
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			counts[k] += !strcmp(state, names[k]);
	}
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		json_object_set_new(o, names[k], number(counts[k]));
	return o;
}

static void put_counters(json_t *o, const struct service *svc, uint64_t now_ms)
{
	const struct ledger_service *b = svc->book;
	uint64_t held_ms = b->held_ms + (svc->held ? now_ms - b->held_since_ms : 0);
	uint64_t until = svc->pool ? pool_backoff_until(svc->pool) : 0;
	uint64_t open = svc->conns.open - svc->stash.count - line_count(svc);

	json_object_set_new(o, "connections", number(svc->conns.open));
	json_object_set_new(o, "peak_connections", number(b->peak));
	json_object_set_new(o, "accepted", number(b->accepted));
	json_object_set_new(o, "handed", number(b->handed));
	json_object_set_new(o, "done", number(b->handed - MIN(b->handed, b->lost + open)));
	json_object_set_new(o, "lost", number(b->lost));
	json_object_set_new(o, "stolen_back", number(b->stolen_back));
	json_object_set_new(o, "refused", number(b->refused));
	json_object_set_new(o, "left", number(b->left));
	json_object_set_new(o, "rescued", number(b->rescued));
	json_object_set_new(o, "freed", number(svc->freed));
	json_object_set_new(o, "unfit", text_or_null(svc->unfit));
	json_object_set_new(o, "spawns", number(b->spawns));
	json_object_set_new(o, "held", json_boolean(svc->held));
	json_object_set_new(o, "held_since",
		time_text(svc->held ? clock_wall_ms() - (now_ms - b->held_since_ms) : 0));
	json_object_set_new(o, "held_seconds", json_real((double)held_ms / 1000));
	json_object_set_new(o, "backoff_seconds",
		json_real(until > now_ms ? (double)(until - now_ms) / 1000 : 0.0));
	json_object_set_new(o, "last_exit", last_exit(svc));
}

/* Who waits for a worker, and who was refused one: null where nobody ever is. */
static json_t *queue(const struct service *svc, uint64_t now_ms)
{
	const struct ledger_service *b = svc->book;
	uint32_t now = line_count(svc);
	json_t *o;

	if (!full_refuses(svc) && !now)
		return json_null();
	o = json_object();
	json_object_set_new(o, "size", number(full_refuses(svc) ? svc->set->queue_size : 0));
	json_object_set_new(o, "timeout_seconds",
		seconds_or_null(full_refuses(svc), svc->set->queue_ms));
	json_object_set_new(o, "now", number(now));
	json_object_set_new(o, "peak", number(b->queue_peak));
	json_object_set_new(o, "oldest_seconds",
		seconds_or_null(now, now ? now_ms - queue_head(&svc->line->queue).since_ms : 0));
	json_object_set_new(o, "longest_seconds", json_real((double)b->longest_ms / 1000));
	json_object_set_new(o, "refused_full", number(b->refused_full));
	json_object_set_new(o, "refused_late", number(b->refused_late));
	return o;
}

static json_t *service(struct service *svc, uint64_t now_ms)
{
	uint64_t waiting = svc->stash.count + line_count(svc), drops = 0;
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(svc->name));
	json_object_set_new(o, "state", json_string(state_name(svc)));
	json_object_set_new(o, "why", text_or_null(svc->why));
	put_closure(o, svc);
	json_object_set_new(o, "settled", json_boolean(service_settled(svc)));
	json_object_set_new(o, "listeners", listeners(svc, &waiting, &drops));
	put_limits(o, svc);
	put_counters(o, svc, now_ms);
	json_object_set_new(o, "waiting", number(waiting));
	json_object_set_new(o, "queue", queue(svc, now_ms));
	json_object_set_new(o, "tls", certs_status(svc));
	json_object_set_new(o, "listen_overflows", number(drops));
	json_object_set_new(o, "worker_states", worker_states(svc));
	json_object_set_new(o, "workers", workers(svc, now_ms));
	return o;
}

/* --- documents in pieces --- */

static void dump_consume(json_t *value, FILE *out)
{
	json_dumpf(value, out, JSON_COMPACT);
	json_decref(value);
}

/* One that a reload took away is no news any more once nothing of it is left. */
static bool is_told(const struct answer *an, const struct service *svc)
{
	if (svc->set->leaving && svc->state == LINK_CLOSED && !svc->attached)
		return false;
	return !an->only || an->only == svc;
}

/* The next service that the answer is about, from an->service on; NULL: there is none left. */
static struct service *next_service(struct answer *an)
{
	struct acceptor *a = an->acceptor;

	while (an->service < a->service_count && !is_told(an, &a->services[an->service]))
		an->service++;
	return an->service < a->service_count ? &a->services[an->service] : NULL;
}

bool status_more(struct answer *an, FILE *out)
{
	uint64_t now_ms = clock_mono_ms();
	struct service *svc = next_service(an);

	if (!an->begun) {
		fputs("{\"dispatcher\":", out);
		dump_consume(dispatcher(an->acceptor), out);
		fputs(",\n\"services\":[", out);
	}
	if (!svc) {
		fputs("]}\n", out);
		return false;
	}
	pump_tick(svc, false, now_ms);
	fputs(an->item++ ? ",\n" : "\n", out);
	dump_consume(service(svc, now_ms), out);
	an->begun = true;
	an->service++;
	return true;
}

/* What counts as one source: the address cut at SOURCE_PREFIX. */
static json_t *source_name(const struct service *svc, const struct addr *peer)
{
	unsigned bits = peer->family == AF_INET ? svc->set->source_prefix4 : svc->set->source_prefix6;
	unsigned whole = peer->family == AF_INET ? 32 : 128;
	struct addr masked = *peer;
	char text[ADDR_TEXT_BYTES];

	if (peer->family != AF_INET && peer->family != AF_INET6)
		return json_string(addr_format(peer, text));
	addr_mask(&masked, bits);
	addr_format_ip(&masked, text);
	return bits < whole ? json_sprintf("%s/%u", text, bits) : json_string(text);
}

static json_t *connection(const struct service *svc, const struct ledger_conn *c, uint64_t now_ms)
{
	char peer[ADDR_TEXT_BYTES];
	bool queued = c->phase == LEDGER_QUEUED;
	json_t *o = json_object();

	json_object_set_new(o, "service", json_string(svc->name));
	json_object_set_new(o, "worker",
		queued ? json_null() : worker_id(svc, svc->slots[c->worker].serial));
	json_object_set_new(o, "peer", json_string(addr_format(&c->peer, peer)));
	json_object_set_new(o, "source", source_name(svc, &c->peer));
	json_object_set_new(o, "listener", json_string(svc->listeners[c->listener].name));
	json_object_set_new(o, "since", time_text(c->accepted_wall_ms));
	json_object_set_new(o, "seconds", json_real((double)(now_ms - c->accepted_ms) / 1000));
	return o;
}

static bool is_wanted(const struct answer *an, const struct service *svc, const struct ledger_conn *c)
{
	if (c->phase == LEDGER_QUEUED)
		return !an->only_serial;
	if (c->phase == LEDGER_FREE || c->worker == CONNS_NONE)
		return false;
	return !an->only_serial || svc->slots[c->worker].serial == an->only_serial;
}

/* A part of the table of one service: what opens or closes meanwhile may be in it or not. */
bool status_connections_more(struct answer *an, FILE *out)
{
	uint64_t now_ms = clock_mono_ms();
	struct service *svc = next_service(an);
	uint32_t end;

	if (!svc) {
		fputs(an->begun ? "]\n" : "[]\n", out);
		return false;
	}
	if (!an->item)
		pump_tick(svc, false, now_ms);
	end = MIN(an->item + SLOTS_AT_ONCE, svc->conns.count);
	for (; an->item < end; an->item++) {
		const struct ledger_conn *c = &svc->conns.table[an->item];

		if (!is_wanted(an, svc, c))
			continue;
		fputs(an->begun ? ",\n" : "[\n", out);
		dump_consume(connection(svc, c, now_ms), out);
		an->begun = true;
	}
	if (an->item >= svc->conns.count) {
		an->service++;
		an->item = 0;
	}
	return true;
}

json_t *status_result(const struct result *r)
{
	char id[20];
	json_t *o = json_object();

	snprintf(id, sizeof(id), "%016" PRIx64, r->id);
	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "verb", json_string(r->verb));
	json_object_set_new(o, "status", json_integer(r->status));
	json_object_set_new(o, "ended", time_text(r->ended_wall_ms));
	json_object_set_new(o, "text", json_string(r->report ? r->report : ""));
	return o;
}
