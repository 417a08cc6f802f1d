/* accept() and what it gives.
 *
 * A program's listener is readable while offers wait for it: it is rung when they come (once for
 * each readiness of the channel, so that who goes by edges sees every arrival) and silenced by the
 * accept() that finds nothing more. Several listeners for the same address are all rung.
 *
 * What was read from the channel is the worker's for good. If its caller was killed at that very
 * moment, or has no descriptor left, the connection is kept and is the first that the next accept()
 * gets. */
#include "worker/notify/notify.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum delivery { DELIVERED = 1, NOTHING, CALLER_GONE };

static int accept_flags(const struct caller *c)
{
	return c->number == SYS_accept4 ? (int)c->args[3] : 0;
}

/* Gives the connection to the caller, who waits. 0 or -errno: the offer is still ours. */
static int give(const struct spot *spot, const struct caller *c, const struct offer *o)
{
	int nonblock = (accept_flags(c) & SOCK_NONBLOCK) != 0;
	struct sockaddr_storage name;
	socklen_t len = addr_to_sockaddr_for(&o->conn.peer, spot->domain, &name);
	int bad = c->args[1] ? addresses_put(c, c->args[1], c->args[2], &name, len) : 0;

	if (bad)
		return bad;
	ioctl(o->fd, FIONBIO, &nonblock);
	options_apply(&spot->options, o->fd);
	return caller_give(c, o->fd, accept_flags(c) & SOCK_CLOEXEC);
}

/* DELIVERED, NOTHING, CALLER_GONE, or -errno to answer with. */
static int deliver(struct notify *n, const struct spot *spot, const struct caller *c)
{
	struct offer o;
	int bad;

	if (!caller_waits(c))
		return CALLER_GONE;
	bad = inlet_take(&n->inlet, spot->mask, &o);
	if (bad)
		return bad < 0 ? bad : NOTHING;
	if (o.is_new)
		report_taken(&n->report, 1);
	o.is_new = false;
	bad = give(spot, c, &o);
	if (!bad) {
		close(o.fd);
		return DELIVERED;
	}
	inlet_keep_consume(&n->inlet, &o);
	return caller_waits(c) ? bad : CALLER_GONE;
}

static void ring(struct notify *n, uint32_t listener)
{
	for (struct spot *spot = n->spots.first; spot; spot = spot->next)
		if (spot->bell >= 0 && spot->mask >> listener & 1)
			spots_ring(spot);
}

/* Hands one offer to who waits for it; false: nobody does. */
static bool wake_waiter(struct notify *n, uint32_t listener)
{
	for (struct waiter *w = n->waiters.first, *next; w; w = next) {
		struct spot *spot = spots_find(&n->spots, w->spot);
		int result;

		next = w->next;
		if (spot && !(spot->mask >> listener & 1))
			continue;
		result = spot ? deliver(n, spot, &w->caller) : -EINVAL;
		if (result == NOTHING)
			return false;
		if (result < 0)
			caller_answer(&w->caller, result);
		waiters_remove(&n->waiters, w);
		if (result == DELIVERED)
			return true;
	}
	return false;
}

void accepts_offered(struct notify *n)
{
	uint32_t listener;
	int answer;

	while (!(answer = inlet_first(&n->inlet, &listener)) && listener < 64)
		if (!wake_waiter(n, listener)) {
			ring(n, listener);
			return;
		}
	if (answer == INLET_ENDED)
		accepts_ended(n);
}

void accepts_ended(struct notify *n)
{
	if (!n->adapter.head.ends_by_eof)
		return;
	for (struct spot *spot = n->spots.first; spot; spot = spot->next) {
		if (spot->bell < 0)
			continue;
		spots_end(spot);
		waiters_answer(&n->waiters, spot->cookie, -EINVAL);
	}
}

/* What is next in the channel may be for somebody else, or for nobody who was told. */
static void settle(struct notify *n, struct spot *spot, int theirs, int64_t result)
{
	bool was_empty = result == NOTHING && !inlet_may_have(&n->inlet);
	uint32_t listener;
	int answer = was_empty ? INLET_EMPTY : inlet_first(&n->inlet, &listener);
	bool is_its = !answer && listener < 64 && spot->mask >> listener & 1;

	if (spot->rung && !is_its)
		spots_silence(spot, theirs);
	if (!answer && !(is_its && spot->rung))
		accepts_offered(n);
}

static int64_t wait_or_fail(struct notify *n, struct spot *spot, const struct caller *c, int theirs)
{
	if (n->inlet.ended && n->adapter.head.ends_by_eof)
		return -EINVAL;
	if (fcntl(theirs, F_GETFL) & O_NONBLOCK)
		return -EAGAIN;
	return waiters_add(&n->waiters, c, spot->cookie);
}

static int check(const struct caller *c)
{
	if (accept_flags(c) & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	return c->args[1] ? addresses_check(c, c->args[2]) : 0;
}

static void accept_at(struct notify *n, struct spot *spot, const struct caller *c, int theirs)
{
	int64_t result = check(c);

	if (!result)
		result = deliver(n, spot, c);
	settle(n, spot, theirs, result);
	if (result == NOTHING)
		result = wait_or_fail(n, spot, c, theirs);
	if (result < 0)
		caller_answer(c, result);
}

void accepts_call(struct notify *n, const struct caller *c)
{
	OWNS_FD int theirs = caller_dup(c, (int)c->args[0]);
	struct spot *spot = theirs < 0 ? NULL : spots_find(&n->spots, spots_cookie(theirs));

	if (spot && spot->bell >= 0)
		accept_at(n, spot, c, theirs);
	else
		caller_continue(c);
}
