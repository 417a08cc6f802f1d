/* Orders to the supervisor as dirty bits: an order is sent at once when there is room, else when the
 * link becomes writable. A bit stands for the newest order of its kind, so nothing queues up; only an
 * operator's orders stand for themselves, a few at a time. Bits of
 * one slot go out lowest first, which is the order in which they make sense.
 *
 * A record whose descriptors find no place is lost with all that it says, so a record is read only when
 * there is place for the most that one brings; until then it waits in the channel. */
#include "dispatcher/acceptor/uplink.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#define MOST_FDS 5   /* LINK_HELLO brings as many */
#define AGAIN_MS 100

enum slot_bit { SLOT_STOLEN_SEEN, SLOT_SIGNAL, SLOT_RECORD, SLOT_RELEASE, SLOT_RUN, SLOT_STEAL,
	SLOT_EXAMINE, 	SLOT_BITS };
enum service_bit { SERVICE_DRAINED, SERVICE_IDLE, SERVICE_BITS };
enum general_bit { GENERAL_PREPARED, GENERAL_PONG, GENERAL_UP, GENERAL_SHUTDOWN, GENERAL_BITS };

static const enum link_type slot_types[SLOT_BITS] = {
	[SLOT_STOLEN_SEEN] = LINK_STOLEN_SEEN,
	[SLOT_SIGNAL] = LINK_SIGNAL,
	[SLOT_RECORD] = LINK_RECORD,
	[SLOT_RELEASE] = LINK_RELEASE,
	[SLOT_RUN] = LINK_RUN,
	[SLOT_STEAL] = LINK_STEAL,
	[SLOT_EXAMINE] = LINK_EXAMINE,
};
static const enum link_type service_types[SERVICE_BITS] = {
	[SERVICE_DRAINED] = LINK_DRAINED,
	[SERVICE_IDLE] = LINK_IDLE,
};
static const enum link_type general_types[GENERAL_BITS] = {
	[GENERAL_PREPARED] = LINK_PREPARED,
	[GENERAL_PONG] = LINK_PONG,
	[GENERAL_UP] = LINK_UP,
	[GENERAL_SHUTDOWN] = LINK_SHUTDOWN,
};

static void lost(struct uplink *u)
{
	if (!u->alive)
		return;
	u->alive = false;
	uv_poll_stop(&u->poll);
	uv_timer_stop(&u->again);
	u->ops->gone(u->user);
}

/* True when the record went out. */
static bool send_record(struct uplink *u, struct link_record *r)
{
	int answer = link_send(u->fd, r, NULL, 0);

	if (answer == CHAN_GONE || answer < 0)
		lost(u);
	return !answer;
}

static bool send_slot(struct uplink *u, uint32_t service, uint32_t slot)
{
	struct uplink_order *o = &u->services[service].slots[slot];

	for (unsigned bit = 0; bit < SLOT_BITS; bit++) {
		struct link_record r = {.type = (uint16_t)slot_types[bit],
			.service = service, .slot = slot, .serial = o->serial,
			.number = bit == SLOT_RECORD ? o->record_signal : o->signal};

		if (!(o->pending & BIT(bit)))
			continue;
		if (bit == SLOT_STEAL) {
			r.target_count = o->target_count;
			memcpy(r.targets, o->targets, o->target_count * sizeof(*o->targets));
		}
		if (bit == SLOT_RECORD)
			snprintf(r.text, sizeof(r.text), "%s", o->why);
		if (!send_record(u, &r))
			return false;
		o->pending &= ~BIT(bit);
	}
	return true;
}

static bool send_bits(struct uplink *u, uint32_t *pending, const enum link_type *types, unsigned bits,
	uint32_t service)
{
	for (unsigned bit = 0; bit < bits; bit++) {
		struct link_record r = {.type = (uint16_t)types[bit], .service = service};

		if (types[bit] == LINK_SHUTDOWN) {
			r.number = u->shutdown_now;
			r.deadline_ms = u->shutdown_ms;
		}
		if (types == service_types)
			r.round = u->rounds[service];
		if (!(*pending & BIT(bit)))
			continue;
		if (!send_record(u, &r))
			return false;
		*pending &= ~BIT(bit);
	}
	return true;
}

/* Each stands for itself: unlike the others it has an id, and somebody who waits for its result. */
static bool send_operations(struct uplink *u)
{
	while (u->operation_count) {
		if (!send_record(u, &u->operations[0]))
			return false;
		u->operation_count--;
		memmove(u->operations, u->operations + 1, u->operation_count * sizeof(*u->operations));
	}
	return true;
}

static bool send_service(struct uplink *u, uint32_t service)
{
	struct uplink_service *svc = &u->services[service];

	if (!send_bits(u, &svc->pending, service_types, SERVICE_BITS, service))
		return false;
	for (uint32_t i = 0; i < svc->slot_count; i++)
		if (svc->slots[i].pending && !send_slot(u, service, i))
			return false;
	return true;
}

static bool send_all(struct uplink *u)
{
	if (!send_bits(u, &u->general, general_types, GENERAL_BITS, 0) || !send_operations(u))
		return false;
	for (uint32_t i = 0; i < u->service_count; i++)
		if (!send_service(u, i))
			return false;
	return true;
}

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct uplink *u)
{
	int events = (u->starved ? 0 : UV_READABLE) | (u->dirty ? UV_WRITABLE : 0);

	if (events)
		uv_poll_start(&u->poll, events, on_event);
	else
		uv_poll_stop(&u->poll);
}

static void flush(struct uplink *u)
{
	bool was_dirty = u->dirty;

	if (!u->alive)
		return;
	u->dirty = !send_all(u);
	if (u->alive && u->dirty != was_dirty)
		watch(u);
}

static bool can_hold(const struct uplink *u)
{
	int fds[MOST_FDS];
	unsigned got = 0;

	while (got < MOST_FDS && (fds[got] = fcntl(u->fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		got++;
	for (unsigned i = 0; i < got; i++)
		close(fds[i]);
	return got == MOST_FDS;
}

static void on_again(uv_timer_t *again)
{
	struct uplink *u = again->data;

	u->starved = false;
	watch(u);
}

static void starve(struct uplink *u)
{
	u->starved = true;
	watch(u);
	uv_timer_start(&u->again, on_again, AGAIN_MS, 0);
}

static void receive(struct uplink *u)
{
	struct link_record r;
	int fds[CHAN_MAX_FDS];

	for (unsigned n = 0; u->alive && n < 64; n++) {
		unsigned count = 0;
		int answer;

		if (!can_hold(u)) {
			starve(u);
			return;
		}
		answer = link_recv(u->fd, &r, fds, &count);
		if (answer == CHAN_EMPTY)
			return;
		if (answer) {
			if (answer < 0)
				log_event(EV_INTERNAL, "where=link why=%s", strerror(-answer));
			lost(u);
			return;
		}
		u->ops->record(u->user, &r, fds, count);
	}
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct uplink *u = poll->data;

	if (status < 0 || events & UV_READABLE)
		receive(u);
	if (events & UV_WRITABLE)
		flush(u);
}

int uplink_init(struct uplink *u, uv_loop_t *loop, const struct uplink_ops *ops, void *user)
{
	int error;

	*u = (struct uplink){.fd = LINK_FD, .alive = true, .ops = ops, .user = user};
	error = uv_poll_init(loop, &u->poll, u->fd);
	if (error)
		return error;
	u->poll.data = u->again.data = u;
	uv_timer_init(loop, &u->again);
	return uv_poll_start(&u->poll, UV_READABLE, on_event);
}

int uplink_size(struct uplink *u, uint32_t services)
{
	u->services = calloc(services + 1, sizeof(*u->services));
	u->rounds = calloc(services + 1, sizeof(*u->rounds));
	if (!u->services || !u->rounds)
		return -ENOMEM;
	u->service_count = services;
	return 0;
}

bool uplink_has_hung_up(const struct uplink *u)
{
	struct pollfd p = {.fd = u->fd};

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

int uplink_slots(struct uplink *u, uint32_t service, uint32_t slots)
{
	struct uplink_service *svc = &u->services[service];

	svc->slots = calloc(slots + 1, sizeof(*svc->slots));
	if (!svc->slots)
		return -ENOMEM;
	svc->slot_count = slots;
	return 0;
}

static struct uplink_order *order_of(struct uplink *u, uint32_t service, uint32_t slot)
{
	return &u->services[service].slots[slot];
}

static void order(struct uplink *u, struct uplink_order *o, enum slot_bit bit)
{
	o->pending |= BIT(bit);
	flush(u);
}

void uplink_prepared(struct uplink *u)
{
	u->general |= BIT(GENERAL_PREPARED);
	flush(u);
}

void uplink_pong(struct uplink *u)
{
	u->general |= BIT(GENERAL_PONG);
	flush(u);
}

void uplink_up(struct uplink *u)
{
	u->general |= BIT(GENERAL_UP);
	flush(u);
}

void uplink_shutdown(struct uplink *u, bool now, uint64_t within_ms)
{
	u->shutdown_now = now;
	u->shutdown_ms = within_ms;
	u->general |= BIT(GENERAL_SHUTDOWN);
	flush(u);
}

void uplink_run(struct uplink *u, uint32_t service, uint32_t slot)
{
	order(u, order_of(u, service, slot), SLOT_RUN);
}

void uplink_signal(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial, int signal)
{
	struct uplink_order *o = order_of(u, service, slot);

	o->serial = serial;
	o->signal = (uint32_t)signal;
	order(u, o, SLOT_SIGNAL);
}

void uplink_record(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial, int number,
	const char *why)
{
	struct uplink_order *o = order_of(u, service, slot);

	o->serial = serial;
	o->record_signal = (uint32_t)number;
	o->why = why;
	order(u, o, SLOT_RECORD);
}

void uplink_release(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial)
{
	struct uplink_order *o = order_of(u, service, slot);

	o->serial = serial;
	o->pending &= ~(BIT(SLOT_SIGNAL) | BIT(SLOT_RECORD) | BIT(SLOT_STEAL) |
		BIT(SLOT_EXAMINE));
	order(u, o, SLOT_RELEASE);
}

void uplink_steal(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial,
	const struct link_target *targets, uint32_t count)
{
	struct uplink_order *o = order_of(u, service, slot);

	o->serial = serial;
	o->targets = targets;
	o->target_count = count;
	order(u, o, SLOT_STEAL);
}

void uplink_examine(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial)
{
	struct uplink_order *o = order_of(u, service, slot);

	o->serial = serial;
	order(u, o, SLOT_EXAMINE);
}

void uplink_stolen_seen(struct uplink *u, uint32_t service, uint32_t slot)
{
	order(u, order_of(u, service, slot), SLOT_STOLEN_SEEN);
}

void uplink_drained(struct uplink *u, uint32_t service, uint32_t round)
{
	u->rounds[service] = round;
	u->services[service].pending |= BIT(SERVICE_DRAINED);
	flush(u);
}

void uplink_idle(struct uplink *u, uint32_t service, uint32_t round)
{
	u->rounds[service] = round;
	u->services[service].pending |= BIT(SERVICE_IDLE);
	flush(u);
}

bool uplink_operate(struct uplink *u, const struct link_record *order)
{
	if (u->operation_count == UPLINK_OPERATIONS)
		return false;
	u->operations[u->operation_count++] = *order;
	flush(u);
	return true;
}
