/* The report of whoever has the connection comes first: what the kernel says is kept for a moment, and then
 * frees only what is still open. Of servers that are adapted by notification nobody reports; then the
 * moment is short, as their room stands empty for it after each connection, and only there to hear of
 * a worker that was killed before its connections are taken for served. What was lost (the kernel's queue overflows under a burst), or ended
 * while no acceptor listened, is found by asking for all sockets there are. */
#include "dispatcher/acceptor/ends.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/pump.h"
#include "dispatcher/acceptor/sockdiag.h"
#include "dispatcher/procs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define WAIT_MS 100	    /* for a report */
#define WAIT_FOR_EXIT_MS 20 /* where there is none */
#define REST_MS 20	    /* many ends are heard together: nothing is urgent */
#define THEFT_MS 10	    /* books are closed meanwhile */
#define ASK_EVERY_MS 1000
#define MOST_AT_ONCE 256    /* then others have their turn */
#define WAITING 16384

/* The kernel says that it has ended. */
struct end {
	uint32_t service, conn, used;
	uint64_t due_ms;
};

enum { SOON, LATER, RINGS };

struct ring { /* the earliest first */
	struct end ends[WAITING];
	uint32_t first, count;
};

struct ends {
	struct sockdiag_ports ports;
	int heard_fd, asked_fd;
	struct service *services;
	uint32_t service_count;
	uv_poll_t heard;
	uv_timer_t timer, rest;
	struct ring rings[RINGS];
	uint64_t asked_ms;
	bool doubts; /* ask again */
	bool hurries; /* for a service whose connections nobody reports */
	uint8_t *seen; /* while asking: of the service that is asked about, by connection slot */
	const struct service *about;
	const struct slot *of;
	uint64_t unread, unsent;
};

/* --- what is still open a moment later --- */

static void set_timer(struct ends *e);

/* Old workers of another method may be about to report; what is settled already is passed over then. */
static bool nobody_reports(const struct service *svc)
{
	return svc->set->adapter_method == METHOD_NOTIFY;
}

static void keep(struct ends *e, const struct service *svc, uint32_t conn, uint64_t now_ms)
{
	bool soon = nobody_reports(svc);
	struct ring *r = &e->rings[soon ? SOON : LATER];
	struct end *end = &r->ends[(r->first + r->count) % WAITING];

	if (r->count == WAITING) {
		e->doubts = true;
		return;
	}
	*end = (struct end){svc->index, conn, svc->conns.table[conn].used,
		now_ms + (soon ? WAIT_FOR_EXIT_MS : WAIT_MS)};
	r->count++;
}

/* The worker that has it and could report it, but does not; NULL: it is settled, or will be. */
static struct slot *holder_of(struct service *svc, const struct end *end, uint64_t now_ms)
{
	const struct ledger_conn *c = &svc->conns.table[end->conn];

	for (int refreshed = 0;; refreshed++) {
		struct slot *s = c->worker < svc->slot_count ? &svc->slots[c->worker] : NULL;

		if (c->phase == LEDGER_FREE || c->used != end->used || !s || !s->serial || s->exited ||
			s->releasing || !s->kind.is_adapted)
			return NULL;
		if (refreshed)
			return s;
		service_refresh(svc, s, now_ms);
	}
}

/* Killed, its connections end before the news of its own end is here; they are lost, not served. */
static bool ends_itself(const struct slot *s)
{
	struct proc first;

	if (procs_read_one(s->pid, &first))
		return first.ends;
	return tgkill(s->pid, s->pid, 0) < 0 && errno == ESRCH; /* or /proc shows no others (hidepid) */
}

static void settle(struct service *svc, const struct end *end, uint64_t now_ms)
{
	struct slot *s = svc->pool ? holder_of(svc, end, now_ms) : NULL;

	if (!s || ends_itself(s))
		return;
	log_debug(LOG_CHANNEL, "worker=%s/%u connection=%u ended, as the kernel says", svc->name, s->serial,
		end->conn);
	svc->freed++;
	if (slot_freed(s, &svc->conns, end->conn))
		pool_taken(svc->pool, s->index, 1, now_ms);
	pool_done(svc->pool, s->index, 1, now_ms);
	service_note(s);
}

/* Whose books cannot be written now waits, and all others with it: it takes milliseconds. */
static bool is_closed(const struct service *svc)
{
	return svc->theft.victim || !svc->active;
}

static void settle_ring(struct ends *e, struct ring *r, uint64_t now_ms)
{
	uint32_t last = UINT32_MAX;

	while (r->count && r->ends[r->first].due_ms <= now_ms) {
		struct end end = r->ends[r->first];
		struct service *svc = &e->services[end.service];

		if (is_closed(svc))
			break;
		r->first = (r->first + 1) % WAITING;
		r->count--;
		settle(svc, &end, now_ms);
		if (last != end.service && last != UINT32_MAX)
			pump_run(&e->services[last], now_ms);
		last = end.service;
	}
	if (last == UINT32_MAX)
		return;
	pump_run(&e->services[last], now_ms);
	e->services[last].ops->changed(&e->services[last]);
}

static void settle_due(struct ends *e, uint64_t now_ms)
{
	for (unsigned i = 0; i < RINGS; i++)
		settle_ring(e, &e->rings[i], now_ms);
}

/* --- asking --- */

static void mark_seen(void *user, const struct sockdiag_socket *one)
{
	struct ends *e = user;
	uint32_t conn = cookies_find(&e->about->cookies, &e->about->conns, one->cookie);

	if (conn != CONNS_NONE && one->is_open)
		e->seen[conn] = 1;
}

/* Nothing can be accepted or given while this runs, so what is open and unseen has ended. */
static int ask_about(struct ends *e, const struct service *svc, uint64_t now_ms)
{
	OWNS_MEM uint8_t *seen = calloc(svc->conns.count + 1, 1);
	int bad;

	if (!seen)
		return -ENOMEM;
	e->about = svc;
	e->seen = seen;
	bad = sockdiag_each(e->asked_fd, &e->ports, mark_seen, e);
	e->seen = NULL;
	for (uint32_t i = 0; !bad && i < svc->conns.count; i++) {
		const struct ledger_conn *c = &svc->conns.table[i];

		if (c->phase != LEDGER_FREE && c->cookie && c->worker != CONNS_NONE && !seen[i])
			keep(e, svc, i, now_ms);
	}
	return bad;
}

static void ask(struct ends *e, uint64_t now_ms)
{
	int bad = 0;

	e->doubts = false;
	e->asked_ms = now_ms;
	for (uint32_t i = 0; !bad && i < e->service_count; i++)
		if (e->services[i].cookies.heads && e->services[i].conns.open)
			bad = ask_about(e, &e->services[i], now_ms);
	if (bad)
		log_event(EV_INTERNAL, "where=sock_diag why=%s", strerrorname_np(-bad));
}

static void add_unread(void *user, const struct sockdiag_socket *one)
{
	struct ends *e = user;
	uint32_t conn = cookies_find(&e->about->cookies, &e->about->conns, one->cookie);

	if (!conns_of(&e->about->conns, conn, e->of->index))
		return;
	e->unread += one->unread_bytes;
	e->unsent += one->unsent_bytes;
}

uint64_t ends_unread(struct ends *e, const struct service *svc, const struct slot *s)
{
	if (!e || !svc->cookies.heads)
		return 0;
	e->about = svc;
	e->of = s;
	e->unread = e->unsent = 0;
	return sockdiag_each(e->asked_fd, &e->ports, add_unread, e) || e->unsent ? 0 : e->unread;
}

/* --- time --- */

static void on_timer(uv_timer_t *timer)
{
	struct ends *e = timer->data;
	uint64_t now_ms = clock_mono_ms();

	if (e->doubts && now_ms >= e->asked_ms + ASK_EVERY_MS)
		ask(e, now_ms);
	settle_due(e, now_ms);
	set_timer(e);
}

static void set_timer(struct ends *e)
{
	uint64_t now_ms = clock_mono_ms(), due_ms = CLOCK_NEVER;

	for (unsigned i = 0; i < RINGS; i++)
		if (e->rings[i].count)
			due_ms = MIN(due_ms, MAX(e->rings[i].ends[e->rings[i].first].due_ms, now_ms + THEFT_MS));
	if (e->doubts)
		due_ms = MIN(due_ms, MAX(e->asked_ms + ASK_EVERY_MS, now_ms + THEFT_MS));
	if (due_ms == CLOCK_NEVER)
		return;
	uv_update_time(e->timer.loop);
	uv_timer_start(&e->timer, on_timer, due_ms - now_ms, 0);
}

void ends_doubt(struct ends *e)
{
	if (!e || e->doubts)
		return;
	e->doubts = true;
	set_timer(e);
}

/* --- hearing --- */

static void ended(struct ends *e, uint64_t cookie, uint64_t now_ms)
{
	for (uint32_t i = 0; i < e->service_count; i++) {
		const struct service *svc = &e->services[i];
		uint32_t conn = CONNS_NONE;

		if (svc->cookies.heads)
			conn = cookies_find(&svc->cookies, &svc->conns, cookie);
		if (conn == CONNS_NONE)
			continue;
		keep(e, svc, conn, now_ms);
		return;
	}
}

static void on_heard(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *rest)
{
	struct ends *e = rest->data;

	uv_poll_start(&e->heard, UV_READABLE, on_heard);
}

static void on_heard(uv_poll_t *poll, int status, int events)
{
	struct ends *e = poll->data;
	uint64_t cookie, now_ms = clock_mono_ms();
	int answer = 1;

	for (unsigned n = 0; answer && n < MOST_AT_ONCE; n++) {
		answer = sockdiag_next_end(e->heard_fd, &cookie);
		if (answer == 1)
			ended(e, cookie, now_ms);
		else if (answer < 0)
			e->doubts = true;
	}
	if (!answer && !e->hurries) {
		uv_poll_stop(poll);
		uv_timer_start(&e->rest, on_rested, REST_MS, 0);
	}
	if (!uv_is_active((uv_handle_t *)&e->timer) || uv_timer_get_due_in(&e->timer) > WAIT_FOR_EXIT_MS)
		set_timer(e);
}

/* --- life --- */

static void add_ports(struct ends *e, const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *l = settings_listeners(s, svc);

	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (l[i].addr.family != AF_UNIX)
			sockdiag_add_port(&e->ports, l[i].addr.port);
}

static int open_both(struct ends *e)
{
	e->asked_fd = sockdiag_open();
	if (e->asked_fd < 0)
		return e->asked_fd;
	e->heard_fd = sockdiag_open_ends(&e->ports);
	return MIN(e->heard_fd, 0);
}

struct ends *ends_open(const struct settings *settings)
{
	struct ends *e = calloc(1, sizeof(*e));
	int bad = e ? 0 : -ENOMEM;

	for (uint32_t i = 0; e && i < settings->services.count; i++) {
		const struct service_settings *svc = settings_service(settings, i);

		if (svc->adapter == ADAPTER_SERVER)
			add_ports(e, settings, svc);
	}
	if (e && e->ports.count)
		bad = open_both(e);
	if (!bad && e->ports.count)
		return e;
	if (bad)
		log_event(EV_INTERNAL, "where=sock_diag why=%s", strerrorname_np(-bad));
	free(e);
	return NULL;
}

void ends_start(struct ends *e, uv_loop_t *loop, struct service *services, uint32_t count)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < count; i++)
		e->hurries |= nobody_reports(&services[i]);
	e->services = services;
	e->service_count = count;
	e->heard.data = e->timer.data = e->rest.data = e;
	uv_timer_init(loop, &e->timer);
	uv_timer_init(loop, &e->rest);
	if (uv_poll_init(loop, &e->heard, e->heard_fd) == 0)
		uv_poll_start(&e->heard, UV_READABLE, on_heard);
	e->doubts = true; /* what ended before */
	set_timer(e);
}
