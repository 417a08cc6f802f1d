/* A pool with a clock and a record of its decisions, so that a test reads as a story. */
#ifndef TEST_UNIT_POLICY_WORLD_H
#define TEST_UNIT_POLICY_WORLD_H

#include "dispatcher/policy/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_START_MS 1000000
#define WORLD_DECISIONS 64

struct world {
	struct pool_limits limits;
	struct pool *pool;
	uint64_t now_ms;
	unsigned count; /* decisions of the last world_settle() */
	struct pool_decision decisions[WORLD_DECISIONS];
};

/* The shipped defaults, but no life limits: a test says those that it is about. */
#define WORLD_LIMITS \
	.min_procs = 1, .max_procs = 10, .min_conns = 30, .max_conns = 50, .max_shutdown = 2, \
	.max_handoffs = 16, .start_ms = 30000, .handoff_ms = 1000, .kill_ms = 10000, \
	.burst = POOL_BURST

/* world_start(&w, .max_procs = 5, ...): limits that differ from the above. */
#define world_start(w, ...) \
	world_start_limits(w, &(struct pool_limits){WORLD_LIMITS, __VA_ARGS__})

void world_start_limits(struct world *w, const struct pool_limits *limits);
void world_end(struct world *w);

/* Pulls all decisions; checks that nothing is due after. Returns how many there were. */
unsigned world_settle(struct world *w);
/* Lets the time pass and stops at every deadline on the way; decisions of all stops are kept. */
unsigned world_pass(struct world *w, uint64_t ms);
/* As settle, and makes every starting worker ready, until there is none; keeps the last decisions. */
void world_settle_ready(struct world *w);

/* How many of the last decisions had this verb; slot of the first, or UINT32_MAX. */
unsigned world_said(const struct world *w, enum pool_verb verb);
uint32_t world_first(const struct world *w, enum pool_verb verb);
enum pool_reason world_reason(const struct world *w, enum pool_verb verb);

/* One connection: picked, given; and read. Return its slot, UINT32_MAX when nobody has room. */
uint32_t world_offer(struct world *w);
uint32_t world_open(struct world *w);
void world_close(struct world *w, uint32_t slot);
void world_exit(struct world *w, uint32_t slot); /* exited and, with nothing unread, released */

uint32_t world_load(const struct world *w, uint32_t slot);
enum pool_state world_state(const struct world *w, uint32_t slot);
unsigned world_count(const struct world *w, enum pool_state state);

#endif
