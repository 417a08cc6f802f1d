/* The pool of one service: who gets the next connection, when to start a worker, whom to retire.
 *
 * Pure: facts go in, past tense; one decision at a time comes out; time is an argument; no clock, no
 * I/O, no allocation. The caller says every fact that it knows, then calls pool_next() until it answers
 * false. A pulled decision is in force at once (a POOL_SPAWN slot is STARTING). Times are monotonic
 * milliseconds. Never more than max_procs + max_shutdown processes are ordered, the killed included, and
 * beside them as many more as drain for an operator, up to 2 * max_procs + max_shutdown in all. */
#ifndef POLICY_POOL_H
#define POLICY_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_NEVER UINT64_MAX
#define POOL_BURST 8 /* sockets of one burst that may go to one worker together */

/*   worker       spawn           ready           retire            exit            released
 *               -------> STARTING -----> SERVING -------> RETIRING -----> EXITED -----------> FREE
 *                          |               |  ^ SUSPECT (a serving worker that was robbed)
 *                          +-- too slow ---+--+-- deadline, false report --> KILLED -- exit --^
 */
enum pool_state { POOL_FREE, POOL_STARTING, POOL_SERVING, POOL_SUSPECT, POOL_RETIRING, POOL_KILLED,
	POOL_EXITED, POOL_STATES };

enum pool_reason { POOL_NO_REASON, POOL_SPENT, POOL_OLD, POOL_IDLE, POOL_CLOSED, POOL_FALSE_REPORT,
	POOL_NOT_READY, POOL_HUNG, POOL_DRAINED, POOL_ORDERED, POOL_SURPLUS, POOL_RESTARTED, POOL_CHANGED,
	POOL_MEMORY, POOL_REASONS };

struct pool_limits {
	uint32_t slots; /* places for workers; 0 or too few: as many as these limits need */
	uint32_t min_procs, max_procs, min_conns, max_conns, max_shutdown, max_handoffs;
	uint64_t max_life_conns;		/* 0 = no limit */
	uint64_t max_life_ms, max_idle_ms;	/* 0 = no limit */
	uint64_t start_ms, handoff_ms, drain_ms, kill_ms; /* drain_ms 0 = no deadline */
	uint32_t burst;				/* sockets per message: POOL_BURST, or 1 for adapted servers */
};

/* What status may read of a worker; only pool.c writes it. */
struct pool_worker {
	enum pool_state state;
	enum pool_reason reason; /* why it retires or was killed */
	bool wants_rest;	 /* at a limit but goes on serving: no slot or no replacement yet */
	bool has_place;		 /* ... a slot is kept for it: it waits for a replacement */
	enum pool_reason wants_reason;
	uint32_t load;		/* connections given and not done, unread offers included */
	uint32_t unread;	/* of these: offered and not yet read */
	uint32_t peak;
	uint64_t life;		/* connections given in its life, less those stolen back */
	uint64_t created_ms, ready_ms, idle_since_ms, unread_since_ms, retired_ms, deadline_ms;
	enum pool_reason stale;	   /* why it shall be replaced; POOL_NO_REASON: it shall not */
	uint64_t stale_ms, drain_ms; /* since when; as pool_stale() was told */
};

enum pool_verb {
	POOL_SPAWN,  /* start a worker in slot */
	POOL_RETIRE, /* tell it that nothing new comes; reason says why */
	POOL_TERM,   /* its deadline passed: tell it to say goodbye */
	POOL_KILL,   /* kill its process group */
	POOL_STEAL,  /* take its unread offers back and give them to others (pool_room_of); not ordered
		      * again before pool_robbed or pool_exited, and pool_pick leaves it out */
};

struct pool_decision {
	enum pool_verb verb;
	uint32_t slot;
	enum pool_reason reason;
};

struct pool;

/* Bytes that a pool with these limits needs; the caller owns the memory, aligned as for malloc. */
size_t pool_bytes(const struct pool_limits *limits);
uint32_t pool_slots(const struct pool_limits *limits); /* at least 3 * max_procs + max_shutdown */
struct pool *pool_init(void *memory, const struct pool_limits *limits, uint64_t now_ms);
const struct pool_worker *pool_worker(const struct pool *p, uint32_t slot);

/* --- facts --- */
/* A worker runs in slot that this pool did not start (after a take-over). life, load and unread are
 * what the ledger says. Only into a FREE slot. state: STARTING, SERVING, SUSPECT, RETIRING, KILLED
 * (whose KILL is ordered again). */
void pool_adopted(struct pool *p, uint32_t slot, enum pool_state state, enum pool_reason reason,
	uint64_t life, uint32_t load, uint32_t unread, uint64_t created_ms, uint64_t now_ms);
/* An adopted worker that retires began to do so at retired_ms. */
void pool_retired_since(struct pool *p, uint32_t slot, uint64_t retired_ms, uint64_t now_ms);
/* A worker shall be replaced, since since_ms; saying it again changes nothing. As one at its limit it
 * goes on until its replacement is ready. POOL_RESTARTED and POOL_CHANGED: it holds no place of
 * max_shutdown once it retires, it does not retire before a worker that was started since then is
 * ready, and TERM comes drain_ms after it has retired (POOL_NEVER: does not). POOL_MEMORY: as at a
 * limit, and only if nothing else was said before. */
void pool_stale(struct pool *p, uint32_t slot, enum pool_reason reason, uint64_t drain_ms,
	uint64_t since_ms, uint64_t now_ms);
void pool_ready(struct pool *p, uint32_t slot, uint64_t now_ms);
void pool_given(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms);
void pool_taken(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms); /* count were read */
void pool_done(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms);
/* count unread offers were taken away from slot; a SERVING worker becomes SUSPECT, unless count is 0. */
void pool_robbed(struct pool *p, uint32_t slot, uint32_t count, uint64_t now_ms);
/* Its queue is empty, and yet it does not say that it read: SUSPECT, and no more thefts before it answers
 * or ends. */
void pool_silent(struct pool *p, uint32_t slot, uint64_t now_ms);
/* A SUSPECT reads again. One that does not within start_ms is killed: POOL_HUNG. */
void pool_answered(struct pool *p, uint32_t slot, uint64_t now_ms);
/* A SUSPECT cannot be asked, but was seen to live: start_ms begins anew. */
void pool_lives(struct pool *p, uint32_t slot, uint64_t now_ms);
void pool_lied(struct pool *p, uint32_t slot, uint64_t now_ms);	    /* false report */
void pool_hung(struct pool *p, uint32_t slot, uint64_t now_ms);	    /* kill it at once */
/* The process is gone. Unread offers stay in the slot, which is EXITED until pool_released (they
 * count as waiting until they are stolen back: pool_robbed). Taken connections are lost: load falls
 * to unread. */
void pool_exited(struct pool *p, uint32_t slot, uint64_t now_ms);
void pool_released(struct pool *p, uint32_t slot, uint64_t now_ms); /* EXITED -> FREE */
void pool_spawn_failed(struct pool *p, uint32_t slot, uint64_t now_ms); /* STARTING -> FREE; backs off */
/* So many clients wait outside: the listeners' backlogs. */
void pool_waiting(struct pool *p, uint32_t count, uint64_t now_ms);
/* No more spawns, every worker retires whatever max_shutdown says; at deadline_ms (POOL_NEVER: none)
 * TERM, kill_ms later KILL. */
void pool_close(struct pool *p, uint64_t deadline_ms, uint64_t now_ms);
/* The close is over before all are gone: who retires goes on to do so within the same deadline, beside the
 * new ones, as those that pool_stale() was said of; who was not yet told to serves on. */
void pool_reopened(struct pool *p, uint64_t now_ms);
/* Somebody wants the next worker now, whatever back-off there is; the next failure doubles it still. */
void pool_try_now(struct pool *p, uint64_t now_ms);

/* --- questions --- */
/* Who gets the next up to `waiting` connections (at least 1), and how many of them (0: nobody has
 * room). Changes nothing. Least loaded first; among equals the one used last; a spent worker only
 * when no other has room; several only while the worker stays at or below min_conns. Nobody, while
 * max_procs dead workers wait to be robbed: their slots are needed, so their clients come first. */
uint32_t pool_pick(const struct pool *p, uint32_t waiting, uint32_t *ret_slot);
/* How many connections slot could take of what the last POOL_STEAL brings. Nothing, if it may hang like
 * the one that is robbed: for an eighth of handoff_ms it has left offers unread, or has neither read nor
 * finished anything although another with room has. */
uint32_t pool_room_of(const struct pool *p, uint32_t slot);

/* Next decision; false: nothing to do until pool_deadline(). */
bool pool_next(struct pool *p, uint64_t now_ms, struct pool_decision *ret_decision);
uint64_t pool_deadline(const struct pool *p); /* when to ask again, POOL_NEVER = only after a fact */

uint32_t pool_count(const struct pool *p, enum pool_state state);
uint32_t pool_load(const struct pool *p); /* connections in all workers, unread of EXITED included */
uint64_t pool_backoff_until(const struct pool *p); /* 0 when not backing off */
uint32_t pool_backoff_ms(const struct pool *p);	   /* length of the present back-off, 0 = none */
bool pool_is_closed(const struct pool *p);	   /* pool_close was called and no worker is left */
const char *pool_state_name(enum pool_state state);
const char *pool_reason_name(enum pool_reason reason);

#endif
