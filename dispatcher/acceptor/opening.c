/* How a service begins: its memory, its state as the supervisor tells it, its listeners. */
#include "dispatcher/acceptor/opening.h"
#include "common/base.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define DRAIN_LEAST_MS 100  /* handshakes that are under way still arrive */
#define DRAIN_MOST_MS  2000 /* then who waits is let down: nobody has room */

static struct pool_limits pool_limits_of(const struct service *svc)
{
	const struct service_settings *set = svc->set;

	return (struct pool_limits){
		.slots = svc->slot_count,
		.min_procs = set->min_procs,
		.max_procs = set->max_procs,
		.min_conns = set->min_conns,
		.max_conns = set->max_conns,
		.max_shutdown = set->max_shutdown,
		.max_handoffs = set->max_handoffs,
		.max_life_conns = set->max_life_conns,
		.max_life_ms = set->max_life_ms,
		.max_idle_ms = set->max_idle_ms,
		.start_ms = set->start_ms,
		.handoff_ms = set->handoff_ms,
		.drain_ms = set->drain_ms,
		.kill_ms = set->kill_ms,
		.burst = svc->burst,
	};
}

static int init_sources(struct service *svc)
{
	uint32_t most = svc->conns.count;
	uint8_t key[16];
	void *memory;

	if (!svc->set->max_conns_per_source)
		return 0;
	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	memory = calloc(1, sources_bytes(most));
	if (!memory)
		return -ENOMEM;
	svc->sources = sources_init(memory, most, key);
	return 0;
}

static void init_slots(struct service *svc, const struct slot_ops *ops)
{
	struct ledger_worker *books = ledger_workers(svc->ledger, svc->index);

	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];

		s->index = i;
		s->chan = s->bell_fd = -1;
		s->book = &books[i];
		s->owner = svc;
		s->ops = ops;
	}
}

static void init_listeners(struct service *svc, const struct listener_ops *ops)
{
	const struct settings_listener *set = settings_listeners(svc->settings, svc->set);

	for (uint32_t i = 0; i < svc->listener_count; i++)
		svc->listeners[i] = (struct listener){.fd = -1,
			.next_fd = -1,
			.index = i,
			.name = settings_text(svc->settings, set[i].name),
			.leaving = set[i].leaving,
			.owner = svc,
			.ops = ops};
}

int opening_init(struct service *svc, uint32_t index, const struct settings *settings,
	struct ledger *ledger, const struct opening *o)
{
	struct ledger_need has = ledger_has(ledger, index);
	struct pool_limits limits;
	int bad;

	svc->index = index;
	svc->settings = settings;
	svc->set = settings_service(settings, index);
	svc->name = settings_text(settings, svc->set->name);
	svc->has_adapted = svc->set->adapter == ADAPTER_SERVER;
	svc->burst = svc->has_adapted ? 1 : POOL_BURST;
	svc->ledger = ledger;
	svc->in_hand = o->hand;
	svc->hand = &o->hand->services[index];
	snprintf(svc->hand->name, sizeof(svc->hand->name), "%s", svc->name);
	svc->book = ledger_service(ledger, index);
	svc->slot_count = has.workers;
	svc->listener_count = svc->set->listeners.count;
	svc->slots = calloc(svc->slot_count, sizeof(*svc->slots));
	svc->listeners = calloc(svc->listener_count + 1, sizeof(*svc->listeners));
	limits = pool_limits_of(svc);
	svc->pool_memory = calloc(1, pool_bytes(&limits));
	if (!svc->slots || !svc->listeners || !svc->pool_memory)
		return -ENOMEM;
	if (pool_slots(&limits) != svc->slot_count)
		return -EBADMSG; /* the ledger has no place for what the settings ask for */
	bad = limits_make(&svc->limits, settings, svc->set);
	if (bad && bad != -ENOBUFS) /* no worker could be set up with so many names either */
		return bad;
	svc->full.len = refusal_make(settings_text(settings, svc->set->refuse_text), svc->full.text);
	conns_init(&svc->conns, ledger_conns(ledger, index), has.conns);
	init_slots(svc, o->slot_ops);
	init_listeners(svc, o->listener_ops);
	bad = svc->has_adapted ? cookies_init(&svc->cookies, &svc->conns) : 0;
	return bad ? bad : init_sources(svc);
}

static void close_listeners(struct service *svc)
{
	for (uint32_t i = 0; i < svc->listener_count; i++)
		listener_close(&svc->listeners[i]);
}

void opening_pool(struct service *svc, uint64_t now_ms)
{
	struct pool_limits limits = pool_limits_of(svc);

	svc->drained = svc->idle_told = false;
	if (!svc->attached || !svc->pool)
		svc->pool = pool_init(svc->pool_memory, &limits, now_ms);
	else
		pool_reopened(svc->pool, now_ms);
}

static void begin_closing(struct service *svc, const struct link_record *r, uint64_t now_ms)
{
	uint64_t left = r->deadline_ms > now_ms ? r->deadline_ms - now_ms : 0;

	if (!svc->pool)
		opening_pool(svc, now_ms);
	svc->drained = svc->idle_told = false;
	svc->close_deadline_ms = r->deadline_ms;
	svc->drain_from_ms = now_ms + MIN(left, (uint64_t)DRAIN_LEAST_MS);
	svc->drain_until_ms = now_ms + MIN(left / 2, (uint64_t)DRAIN_MOST_MS);
}

/* An earlier deadline was given to a close that is under way. */
static void hurry(struct service *svc, const struct link_record *r, uint64_t now_ms)
{
	uint64_t left = r->deadline_ms > now_ms ? r->deadline_ms - now_ms : 0;

	if (r->deadline_ms >= svc->close_deadline_ms)
		return;
	svc->close_deadline_ms = r->deadline_ms;
	svc->drain_until_ms = MIN(svc->drain_until_ms, now_ms + MIN(left / 2, (uint64_t)DRAIN_MOST_MS));
	if (svc->drained)
		pool_close(svc->pool, r->deadline_ms, now_ms);
}

/* tries: changes when somebody wants that what backs off is tried at once. */
static void open_or_try(struct service *svc, bool was_open, bool is_same, bool try_now, uint64_t now_ms)
{
	if (!is_same)
		close_listeners(svc); /* of an earlier round */
	if (!was_open || !is_same)
		opening_pool(svc, now_ms);
	if (!was_open || !is_same || try_now)
		pool_try_now(svc->pool, now_ms);
}

static void note_words(struct service *svc, const struct link_record *r)
{
	static const char none[LINK_TEXT_BYTES];
	bool failed = svc->state == LINK_FAILED;

	memcpy(svc->why, failed ? r->text : none, sizeof(svc->why));
	memcpy(svc->closed_by, failed ? none : r->text, sizeof(svc->closed_by));
	svc->closed_wall_ms = r->created_wall_ms;
	svc->closed_lasts = (enum link_lasts)r->status;
}

void opening_state(struct service *svc, const struct link_record *r, uint64_t now_ms)
{
	enum link_service_state before = svc->state;
	bool is_same = svc->round == r->round, try_now = svc->tries != r->tries;

	svc->state = (enum link_service_state)r->number;
	svc->round = r->round;
	svc->tries = r->tries;
	svc->reopened_ms = r->reopened_ms;
	if (svc->active)
		service_reopen_logs(svc);
	note_words(svc, r);
	switch (svc->state) {
	case LINK_OPEN:
		open_or_try(svc, before == LINK_OPEN, is_same, try_now, now_ms);
		break;
	case LINK_CLOSING:
		if (before != LINK_CLOSING || !is_same)
			begin_closing(svc, r, now_ms);
		else
			hurry(svc, r, now_ms);
		break;
	case LINK_CLOSED:
	case LINK_FAILED:
		close_listeners(svc);
		break;
	}
}

void opening_listener(struct service *svc, const struct link_record *r, int fd)
{
	struct listener *l;
	int error;

	l = r->number < svc->listener_count ? &svc->listeners[r->number] : NULL;
	if (l && fd < 0)
		listener_close(l);
	if (!l || fd < 0 || (l->fd >= 0 && !l->closing)) {
		base_close(&fd);
		return;
	}
	error = listener_open_consume(l, svc->loop, fd);
	if (error)
		log_event(EV_INTERNAL, "where=listener why=%s", strerrorname_np(-error));
}
