/* An interrupted call leaves its entry behind until its thread calls again or an offer comes. What
 * dead threads leave is swept when there are twice as many entries as the last sweep left. */
#include "worker/notify/waiters.h"

#include <errno.h>
#include <stdlib.h>

#define SWEEP_LEAST 64

static void drop(struct waiters *w, struct waiter **at)
{
	struct waiter *waiter = *at;

	*at = waiter->next;
	w->count--;
	free(waiter);
}

void waiters_remove(struct waiters *w, struct waiter *waiter)
{
	for (struct waiter **at = &w->first; *at; at = &(*at)->next)
		if (*at == waiter) {
			drop(w, at);
			return;
		}
}

/* Drops this thread's, and with sweeps all that wait no more. Returns where the list ends. */
static struct waiter **drop_left(struct waiters *w, const struct caller *caller, bool sweeps)
{
	struct waiter **at = &w->first;

	while (*at) {
		const struct caller *old = &(*at)->caller;

		if (old->thread == caller->thread || (sweeps && !caller_waits(old)))
			drop(w, at);
		else
			at = &(*at)->next;
	}
	return at;
}

int waiters_add(struct waiters *w, const struct caller *caller, uint64_t spot)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	bool sweeps = w->count >= SWEEP_LEAST && w->count >= w->sweep_at;

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){.caller = *caller, .spot = spot};
	*drop_left(w, caller, sweeps) = waiter;
	w->count++;
	if (sweeps)
		w->sweep_at = 2 * w->count;
	return 0;
}

void waiters_answer(struct waiters *w, uint64_t spot, int64_t value)
{
	struct waiter **at = &w->first;

	while (*at) {
		if ((*at)->spot != spot) {
			at = &(*at)->next;
			continue;
		}
		caller_answer(&(*at)->caller, value);
		drop(w, at);
	}
}

void waiters_deinit(struct waiters *w)
{
	while (w->first)
		drop(w, &w->first);
}
