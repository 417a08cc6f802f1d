/* The queue of a service as it really is: a channel whose ends the supervisor holds too, one client in
 * each message. No death of an acceptor loses anybody who is in it. The policy's queue mirrors it.
 *
 * Whoever comes out of it, or goes into it, stands in the stash and in hand meanwhile. */
#ifndef ACCEPTOR_LINE_H
#define ACCEPTOR_LINE_H

#include "dispatcher/policy/queue.h"

#include <stdbool.h>

struct service;

struct line {
	int in, out;
	struct queue queue;
	struct queue_entry ring[QUEUE_MOST];
};

/* LINK_QUEUE; owns both ends whatever it returns. 0 or -errno. */
int line_open_consume(struct service *svc, const int ends[2]);

/* A take-over: who is in it, as the channel says. Before the hand of the last acceptor is looked at. */
void line_begin(struct service *svc);

uint32_t line_count(const struct service *svc); /* also where there is no line */

/* The head goes to the end of the stash. False: that cannot be now, nothing has changed. */
bool line_take(struct service *svc);

/* The last of the stash goes to the tail. False: it stays where it is. */
bool line_join(struct service *svc);

/* The head becomes the tail; not a question of who is in the stash. False as line_take. */
bool line_turn(struct service *svc);

#endif
