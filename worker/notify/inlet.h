/* Offers from the dispatcher, and those that could not be handed on yet. */
#ifndef WORKER_NOTIFY_INLET_H
#define WORKER_NOTIFY_INLET_H

#include "common/msg.h"

#include <stdbool.h>
#include <stdint.h>

enum inlet_answer {
	INLET_EMPTY = 1, /* nothing, or nothing for these listeners */
	INLET_ENDED,     /* and nothing will come */
};

struct offer {
	struct msg_conn conn;
	int fd;      /* owned */
	bool is_new; /* read from the channel just now */
};

struct kept;

struct inlet {
	int channel;
	bool ended;
	struct kept *kept; /* oldest first */
};

/* The listener of the first offer. 0, INLET_EMPTY, INLET_ENDED or -errno. */
int inlet_first(struct inlet *in, uint32_t *ret_listener);

/* Takes the first offer if it is for one of the listeners (bits by index). Answers as
 * inlet_first(); the offer is the caller's. */
int inlet_take(struct inlet *in, uint64_t listeners, struct offer *ret_offer);

/* Keeps an offer for the next who may have it. 0 or -ENOMEM: closed. */
int inlet_keep_consume(struct inlet *in, const struct offer *offer);

void inlet_deinit(struct inlet *in); /* closes what was kept; the channel is the caller's */

#endif
