/* Offers from the dispatcher, and those that could not be handed on yet. */
#ifndef WORKER_NOTIFY_INLET_H
#define WORKER_NOTIFY_INLET_H

#include "common/msg.h"

#include <stdbool.h>
#include <stdint.h>

enum inlet_answer {
	INLET_EMPTY = 1,
	INLET_OTHER, /* nothing for these listeners */
	INLET_ENDED, /* nothing, and nothing will come */
};

struct offer {
	struct msg_conn conn;
	int fd;      /* owned */
	bool is_new; /* not reported yet */
};

struct kept;

struct inlet {
	int channel;
	bool ended;
	bool has_seen; /* the first in the channel is for listener `seen`, unless it was stolen back
			*/
	uint32_t seen;
	struct kept *kept; /* oldest first */
};

/* False: inlet_first() would find nothing, if it were as at the last look. */
bool inlet_may_have(const struct inlet *in);

/* The listener of the first offer. 0, INLET_EMPTY, INLET_ENDED or -errno. */
int inlet_first(struct inlet *in, uint32_t *ret_listener);

/* Takes the first offer if it is for one of the listeners (bits by index). Answers as
 * inlet_first(); the offer is the caller's. */
int inlet_take(struct inlet *in, uint64_t listeners, struct offer *ret_offer);

/* Keeps an offer for the next who may have it. 0 or -ENOMEM: closed. */
int inlet_keep_consume(struct inlet *in, const struct offer *offer);

void inlet_deinit(struct inlet *in); /* closes what was kept; the channel is the caller's */

#endif
