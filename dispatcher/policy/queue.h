/* The queue before a service that is full: who waits, for how long, and who is refused.
 *
 * Pure, as the pool: facts in, past tense; time is an argument; no memory of its own but the ring that
 * the caller gives. First come, first served: only the head is ever looked at, and nobody behind it has
 * waited longer. */
#ifndef POLICY_QUEUE_H
#define POLICY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_NEVER UINT64_MAX
#define QUEUE_MOST 1024 /* clients in one queue, whatever its limits are */
#define QUEUE_WEED_MS 1000

struct queue_entry {
	uint32_t conn; /* its connection slot */
	uint64_t since_ms;
};

struct queue {
	uint32_t size;	  /* no more are let in; those who are stay when this shrinks */
	uint64_t wait_ms; /* nobody waits longer; QUEUE_NEVER: as long as it takes */
	uint32_t head, count;
	uint64_t weed_ms; /* not before: those who have left are looked for */
	struct queue_entry *ring; /* of QUEUE_MOST */
};

enum queue_verdict {
	QUEUE_JOINS,  /* let it in: queue_joined() */
	QUEUE_FULL,   /* refuse it */
	QUEUE_CROWDED /* look first whether somebody in it has left (queue_weeded()), then ask again */
};

enum queue_turn {
	QUEUE_RESTS,  /* nothing to do until queue_deadline(), or until somebody has room */
	QUEUE_SERVES, /* the head may go to a worker */
	QUEUE_LATE    /* the head has waited too long: refuse it */
};

void queue_init(struct queue *q, struct queue_entry *ring, uint32_t size, uint64_t wait_ms);

/* What becomes of one more client. */
enum queue_verdict queue_judge(const struct queue *q, uint64_t now_ms);

/* What becomes of the head; room: somebody could take it. Who waited too long and can be served, is. */
enum queue_turn queue_next(const struct queue *q, bool room, uint64_t now_ms);
uint64_t queue_deadline(const struct queue *q); /* of the head; QUEUE_NEVER: none */

void queue_joined(struct queue *q, uint32_t conn, uint64_t since_ms); /* at most QUEUE_MOST */
struct queue_entry queue_head(const struct queue *q);		      /* there must be one */
struct queue_entry queue_left(struct queue *q);			      /* the head is out of it */
void queue_weeded(struct queue *q, uint64_t now_ms);		      /* all of it was looked at */

/* So many times the head must go to the tail until the one who has waited longest is the head: not 0
 * only where turning it round was cut short. */
uint32_t queue_skew(const struct queue *q);

#endif
