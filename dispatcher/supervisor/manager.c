/* The service manager's view of us. Looked at in each turn of the loop, which turns when something
 * has happened, and every two seconds for what only changes slowly; said when it is another. Where
 * nobody wants to know, none of this runs.
 *
 * The watchdog's word is given by a loop that turns, for an acceptor that answers: it is asked each
 * time, and whoever has not answered by the next time is killed, so that another starts. Only where
 * that does not help, the manager acts. */
#include "common/base.h"
#include "common/clock.h"
#include "common/ledger.h"
#include "common/log.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/notify.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LOOK_MS 2000

struct manager {
	struct sv *sv;
	struct notify notify;
	uv_prepare_t turn;
	struct timer *look, *watchdog;
	uint64_t watchdog_ms;
	struct news ping;
	bool asked; /* the acceptor, and it has not answered */
	bool ready_said, stopping_said;
	uint64_t states; /* digest of what is told at once */
	char said[NOTIFY_STATUS_BYTES];
};

/* --- facts --- */

static uint64_t count_connections(const struct sv *sv)
{
	struct stat st;
	uint64_t count;
	void *memory;

	if (fstat(sv->ledger_fd, &st) < 0 || st.st_size <= 0)
		return 0;
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, sv->ledger_fd, 0);
	if (memory == MAP_FAILED)
		return 0;
	count = ledger_open_connections(
		memory, (size_t)st.st_size, services_count(sv->services));
	munmap(memory, (size_t)st.st_size);
	return count;
}

static void gather(const struct sv *sv, struct notify_facts *ret_facts)
{
	struct notify_facts f = {.ends = sv->phase != SV_RUNS,
		.accepts = baton_accepts(sv->baton),
		.succeeds = !sv->former,
		.services = services_count(sv->services)};

	for (uint32_t i = 0; i < f.services; i++) {
		enum link_service_state state = services_state(sv->services, i);

		f.in_state[state]++;
		if (state == LINK_FAILED && !f.failed) {
			f.failed = services_name(sv->services, i);
			f.why = services_why(sv->services, i);
		}
	}
	*ret_facts = f;
}

static uint64_t digest(const struct notify_facts *f)
{
	uint64_t d = f->ends | (uint64_t)f->accepts << 1 | (uint64_t)f->succeeds << 2;

	for (size_t i = 0; i < ARRAY_LEN(f->in_state); i++)
		d = d * 1000003 + f->in_state[i];
	return d;
}

/* --- words --- */

static void tell_status(struct manager *m, const struct notify_facts *f)
{
	char status[NOTIFY_STATUS_BYTES], text[NOTIFY_STATUS_BYTES + 16];

	notify_status(f, status);
	if (strcmp(status, m->said) == 0)
		return;
	snprintf(text, sizeof(text), "STATUS=%s", status);
	if (notify_send(&m->notify, text) != NOTIFY_LATER)
		memcpy(m->said, status, sizeof(m->said));
}

static void tell_phase(struct manager *m, const struct notify_facts *f)
{
	char text[64];

	if (f->accepts && !m->ready_said && !f->ends) {
		snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", getpid());
		m->ready_said = notify_send(&m->notify, text) != NOTIFY_LATER;
	}
	if (f->ends && !m->stopping_said)
		m->stopping_said = notify_send(&m->notify, "STOPPING=1") != NOTIFY_LATER;
}

static void tell(struct manager *m, struct notify_facts *f)
{
	f->workers = workers_live_total(m->sv->workers);
	f->connections = count_connections(m->sv);
	m->states = digest(f);
	tell_phase(m, f);
	tell_status(m, f);
}

static void on_turn(uv_prepare_t *turn)
{
	struct manager *m = turn->data;
	struct notify_facts f;

	gather(m->sv, &f);
	if (digest(&f) != m->states)
		tell(m, &f);
}

static void on_look(void *user)
{
	struct manager *m = user;
	struct notify_facts f;

	gather(m->sv, &f);
	tell(m, &f);
	timer_in(m->look, LOOK_MS);
}

/* --- the watchdog --- */

static int say_ping(struct news *news, int fd)
{
	struct link_record r = {.type = LINK_PING};

	return link_send(fd, &r, NULL, 0);
}

static void on_watchdog(void *user)
{
	struct manager *m = user;
	bool accepts = baton_accepts(m->sv->baton);

	timer_in(m->watchdog, m->watchdog_ms / 2);
	if (accepts && m->asked) {
		m->asked = false;
		log_event(EV_ACCEPTOR_HANGS, "silent_ms=%" PRIu64, m->watchdog_ms / 2);
		baton_kill(m->sv->baton);
		return;
	}
	notify_send(&m->notify, "WATCHDOG=1");
	if (!accepts)
		return;
	m->asked = true;
	outlet_push(baton_outlet(m->sv->baton), &m->ping);
}

void sv_answered(struct sv *sv)
{
	if (sv->manager)
		sv->manager->asked = false;
}

void sv_reloading(struct sv *sv, bool begins)
{
	char text[80];

	if (!sv->manager)
		return;
	snprintf(
		text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
	notify_send(&sv->manager->notify, begins ? text : "READY=1");
}

/* --- life --- */

static int start(struct manager *m)
{
	int bad = timer_new(&m->sv->loop, on_look, m, &m->look);

	if (!bad)
		bad = timer_new(&m->sv->loop, on_watchdog, m, &m->watchdog);
	if (bad)
		return bad;
	timer_in(m->look, LOOK_MS);
	if (m->watchdog_ms)
		timer_in(m->watchdog, m->watchdog_ms / 2);
	uv_prepare_init(&m->sv->loop, &m->turn);
	m->turn.data = m;
	return uv_prepare_start(&m->turn, on_turn);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void sv_manager_start(struct sv *sv)
{
	struct manager *m = calloc(1, sizeof(*m));
	int answer = m ? notify_open(&m->notify) : -ENOMEM;

	if (!answer) {
		m->sv = sv;
		m->ping.say = say_ping;
		m->watchdog_ms = notify_watchdog_ms(
			getpid(), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
		sv->manager = m;
		answer = start(m);
		if (answer)
			sv_manager_stop(sv);
	} else {
		free(m);
	}
	if (answer < 0)
		log_event(EV_INTERNAL, "where=notify why=\"%s\"", strerror(-answer));
}

void sv_manager_stop(struct sv *sv)
{
	struct manager *m = sv->manager;

	sv->manager = NULL;
	if (!m)
		return;
	outlet_forget(baton_outlet(sv->baton), &m->ping);
	notify_close(&m->notify);
	timer_free(m->look);
	timer_free(m->watchdog);
	if (m->turn.data)
		uv_close((uv_handle_t *)&m->turn, on_closed);
	else
		free(m);
}
