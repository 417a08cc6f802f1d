/* An interrupted call leaves its entry behind until its thread calls again or an offer comes; what
 * dead threads leave is looked through when one is added. */
#include "worker/notify/waiters.h"

#include <errno.h>
#include <stdlib.h>

void waiters_remove(struct waiters *w, struct waiter *waiter)
{
	for (struct waiter **at = &w->first; *at; at = &(*at)->next) {
		if (*at != waiter)
			continue;
		*at = waiter->next;
		break;
	}
	free(waiter);
}

/* Returns where the list ends. */
static struct waiter **drop_left(struct waiters *w, const struct caller *caller)
{
	struct waiter **at = &w->first;

	while (*at) {
		struct waiter *waiter = *at;

		if (waiter->caller.thread != caller->thread && caller_waits(&waiter->caller)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
	return at;
}

int waiters_add(struct waiters *w, const struct caller *caller, uint64_t spot)
{
	struct waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){.caller = *caller, .spot = spot};
	*drop_left(w, caller) = waiter;
	return 0;
}

void waiters_answer(struct waiters *w, uint64_t spot, int64_t value)
{
	struct waiter **at = &w->first;

	while (*at) {
		struct waiter *waiter = *at;

		if (waiter->spot != spot) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		caller_answer(&waiter->caller, value);
		free(waiter);
	}
}

void waiters_deinit(struct waiters *w)
{
	while (w->first)
		waiters_remove(w, w->first);
}
