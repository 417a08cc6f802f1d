/* A record is looked at, its connections put into this process's own hand, and only then is it taken out
 * of the channel: killed in between, they are found twice, and known by their cookie (SO_COOKIE). */
#include "dispatcher/acceptor/rescue.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/serve.h"
#include "dispatcher/acceptor/state.h"

#include <string.h>

/* --- which of them are known --- */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

static bool is_here(const struct service *svc, int fd)
{
	uint64_t cookie = cookie_of(fd);

	for (unsigned i = 0; i < HAND_PLACES; i++)
		if (svc->hand->places[i].fd && cookie_of(svc->hand->places[i].fd) == cookie)
			return true;
	return false;
}

static struct service *service_named(struct acceptor *a, const char *name)
{
	for (uint32_t i = 0; i < a->service_count; i++)
		if (!strncmp(a->services[i].hand->name, name, HAND_NAME_BYTES))
			return &a->services[i];
	return NULL;
}

bool rescue_waits(const struct service *svc, uint32_t conn)
{
	for (unsigned i = 0; i < svc->stash.count; i++)
		if (svc->stash.conns[i].slot == conn)
			return true;
	return false;
}

/* --- into the hand --- */

static void put_doubt(struct service *svc, int fd, uint32_t conn, unsigned place)
{
	svc->doubts.list[svc->doubts.count++] = (struct doubt){.fd = fd,
		.conn = conn,
		.seq = svc->conns.table[conn].seq,
		.place = (uint8_t)place};
}

static void put_late(struct service *svc, int fd, unsigned place)
{
	svc->late.fds[svc->late.count] = fd;
	svc->late.places[svc->late.count++] = (uint8_t)place;
}

static void put_consume(struct service *svc, int fd, uint32_t conn)
{
	unsigned place = hand_free_place(svc->hand);
	bool known = conn < svc->conns.count, entered = known && svc->conns.table[conn].phase == LEDGER_OPEN;
	bool queued = known && svc->conns.table[conn].phase == LEDGER_QUEUED; /* line_begin() has seen it */

	if (queued || is_here(svc, fd) || place == HAND_PLACES || (!entered && svc->late.count == HAND_BATCH)) {
		close(fd);
		return;
	}
	hand_put(svc->hand, place, fd, entered ? conn : HAND_NO_CONN);
	if (!entered)
		put_late(svc, fd, place);
	else if (svc->conns.table[conn].worker == CONNS_NONE)
		service_stash(svc, fd, conn, place);
	else
		put_doubt(svc, fd, conn, place);
}

/* --- out of the channel --- */

/* The ledger counts as handed what had been assigned when the offer was cut short, no more and no less. */
static void count_offering(struct service *svc, const struct park_record *r)
{
	uint64_t handed = r->handed;
	bool any = false;

	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t conn = r->entries[i].conn;

		if (!r->entries[i].offering || conn >= svc->conns.count)
			continue;
		any = true;
		handed += svc->conns.table[conn].phase == LEDGER_OPEN &&
			svc->conns.table[conn].worker != CONNS_NONE;
	}
	if (any)
		svc->book->handed = handed;
}

static void put_record(struct acceptor *a, const struct park_record *r, const int *fds, unsigned count)
{
	struct service *svc = service_named(a, r->service);
	unsigned next = 0;

	if (!svc || r->version != PARK_VERSION || r->count > HAND_BATCH) {
		while (next < count)
			close(fds[next++]);
		return;
	}
	count_offering(svc, r);
	for (uint32_t i = 0; i < r->count; i++)
		if (r->entries[i].has_fd && next < count)
			put_consume(svc, fds[next++], r->entries[i].conn);
	while (next < count)
		close(fds[next++]);
}

static void take_out(int park)
{
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count = 0;
	size_t len;

	if (!chan_recv(park, &r, sizeof(r), &len, fds, CHAN_MAX_FDS, &count))
		while (count)
			close(fds[--count]);
}

void rescue_take(struct acceptor *a, int park)
{
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count;
	size_t len;

	while (!chan_peek(park, &r, sizeof(r), &len, fds, CHAN_MAX_FDS, &count)) {
		if (len == sizeof(r)) {
			put_record(a, &r, fds, count);
		} else {
			while (count)
				close(fds[--count]);
		}
		take_out(park);
	}
}

/* --- who stood nowhere --- */

static const struct listener *listener_of(const struct service *svc, int fd, struct addr *ret_peer)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa), local_len = sizeof(sa);
	struct addr local = {0};

	*ret_peer = (struct addr){0};
	if (!getsockname(fd, (struct sockaddr *)&sa, &local_len))
		addr_from_sockaddr(&local, (struct sockaddr *)&sa, local_len);
	if (!getpeername(fd, (struct sockaddr *)&sa, &len))
		addr_from_sockaddr(ret_peer, (struct sockaddr *)&sa, len);
	for (uint32_t i = 0; i < svc->listener_count; i++)
		if (listener_has(&svc->listeners[i], &local))
			return &svc->listeners[i];
	return svc->listeners;
}

static void admit(struct service *svc, int fd, unsigned place, uint64_t now_ms)
{
	struct addr peer;
	const struct listener *l = listener_of(svc, fd, &peer);

	if (!svc->listener_count || svc->conns.open == svc->conns.count)
		close(fd);
	else if (serve_admit_consume(svc, l, fd, &peer, place, now_ms, clock_wall_ms()))
		return;
	hand_drop(svc->hand, place);
}

void rescue_admit(struct service *svc, uint64_t now_ms)
{
	unsigned in_doubt = svc->doubts.count;

	for (unsigned i = 0; i < svc->late.count; i++)
		admit(svc, svc->late.fds[i], svc->late.places[i], now_ms);
	svc->late.count = 0;
	svc->book->rescued += svc->stash.count;
	if (svc->stash.count || in_doubt)
		log_event(EV_ACCEPTOR_RESCUED, "service=%s connections=%u in_doubt=%u", svc->name,
			svc->stash.count, in_doubt);
}

/* --- who was in doubt --- */

static void forget(struct doubts *d, unsigned i)
{
	d->list[i] = d->list[--d->count];
}

bool rescue_unsent(struct service *svc, uint32_t conn, uint64_t now_ms)
{
	struct doubts *d = &svc->doubts;
	struct ledger_conn *c = &svc->conns.table[conn];

	for (unsigned i = 0; i < d->count; i++) {
		if (d->list[i].conn != conn || d->list[i].seq != c->seq)
			continue;
		hand_offers(svc->hand, svc->book->handed - 1, BIT(d->list[i].place));
		c->worker = CONNS_NONE;
		svc->book->handed--;
		hand_offered(svc->hand);
		svc->book->rescued++;
		service_stash(svc, d->list[i].fd, conn, d->list[i].place);
		forget(d, i);
		svc->retry_ms = now_ms;
		log_event(EV_ACCEPTOR_RESCUED, "service=%s connections=1 in_doubt=%u", svc->name, d->count);
		return true;
	}
	return false;
}

static bool in_doubt(const struct service *svc, const struct doubt *d)
{
	const struct ledger_conn *c = &svc->conns.table[d->conn];
	uint32_t index = c->worker;

	return c->phase == LEDGER_OPEN && c->seq == d->seq && index < svc->slot_count &&
		svc->slots[index].serial && svc->slots[index].unsettled;
}

void rescue_settle(struct service *svc)
{
	struct doubts *d = &svc->doubts;

	if (!svc->active)
		return; /* nothing is known yet */
	for (unsigned i = d->count; i-- > 0;) {
		if (in_doubt(svc, &d->list[i]))
			continue;
		close(d->list[i].fd);
		hand_drop(svc->hand, d->list[i].place);
		forget(d, i);
	}
}
