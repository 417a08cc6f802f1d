/* Calls of accept() that wait for an offer, the oldest first. */
#ifndef WORKER_NOTIFY_WAITERS_H
#define WORKER_NOTIFY_WAITERS_H

#include "worker/notify/caller.h"

struct waiter {
	struct waiter *next;
	struct caller caller;
	uint64_t spot; /* cookie of the listener */
};

struct waiters {
	struct waiter *first;
	unsigned count, sweep_at; /* so many are looked through for those that have gone */
};

/* A thread waits for one call only: an older one of the same thread was interrupted. 0 or -ENOMEM.
 */
int waiters_add(struct waiters *w, const struct caller *caller, uint64_t spot);

void waiters_remove(struct waiters *w, struct waiter *waiter);

/* Answers all that wait at a spot. */
void waiters_answer(struct waiters *w, uint64_t spot, int64_t value);

/* Forgets all without an answer. */
void waiters_deinit(struct waiters *w);

#endif
