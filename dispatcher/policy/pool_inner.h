/* The inside of a pool, shared by pool.c, pool_facts.c and pool_next.c alone. */
#ifndef POLICY_POOL_INNER_H
#define POLICY_POOL_INNER_H

#include "dispatcher/policy/byload.h"
#include "dispatcher/policy/offered.h"
#include "dispatcher/policy/pool.h"

#define POOL_NOBODY UINT32_MAX
#define POOL_PROVEN_MS 10000 /* a worker that lived so long after ready was no failure */

/* How near a worker is to the end of its life. At POOL_NEAR a replacement is ordered if the pool
 * wants one; at POOL_LIMIT it retires as soon as it may. */
enum pool_stage { POOL_FRESH, POOL_NEAR, POOL_LIMIT };

struct pool_slot {
	struct pool_worker w;
	enum pool_stage age;	  /* by max_life_ms, as the clock was last looked at */
	enum pool_stage stage;	  /* the further of age and max_life_conns */
	enum pool_reason owed;	  /* an order that waits to be pulled: POOL_NO_REASON = none */
	bool owed_kill;		  /* that order is POOL_KILL, else POOL_RETIRE */
	bool leaving;		  /* a retiring slot is kept for it; the pool counts without it */
	bool replaced;		  /* ... and its replacement has come */
	bool stranded;		  /* its unread offers must come back: EXITED, or they wait too long */
	bool askable;		  /* ... and a theft may be ordered now */
	bool robbing;		  /* a theft is under way */
	bool idle_long;		  /* idle for max_idle_ms */
	bool hasty;		  /* will be spent before a replacement could be ready */
	bool proven, failed;	  /* lived POOL_PROVEN_MS after ready; its end will be a failure */
	bool termed;		  /* told to say goodbye, at termed_ms */
	bool plain;		  /* see is_plain(): only its load counts anew at a change */
	uint32_t heir;		  /* the STARTING slot that replaces this one */
	uint32_t heir_of;	  /* STARTING: the slot that it replaces */
	uint64_t termed_ms, suspect_ms, ask_ms;
	uint64_t alive_ms; /* when it last read or finished something */
	struct offered offered;
};

/* Sums over the slots, kept up to date by every change, so that a decision needs no walk. "Taking":
 * see pool_takes(). */
struct pool_sums {
	uint32_t count[POOL_STATES];
	uint32_t taking;
	uint32_t leaving, leaving_near; /* of taking; of these: not yet at the limit */
	uint32_t leaving_free;		/* of leaving: at the limit, and no replacement is STARTING */
	uint32_t near, limit;		/* of taking: by stage, not leaving */
	uint32_t idle, idle_leaving;	/* of taking: idle_long, not leaving; and leaving */
	uint32_t stale_leaving; /* of leaving: pool_is_ordered() */
	uint32_t beside;	/* RETIRING and pool_is_ordered(): holds no retiring slot */
	uint32_t owed, askable;
	uint32_t spare;	   /* of taking, not leaving: sum of min_conns - load */
	uint32_t load, active; /* of all; of SERVING and SUSPECT */
	uint32_t stranded; /* unread offers of stranded slots */
	uint32_t corpses;  /* EXITED, and stranded */
};

struct pool {
	struct pool_limits limits;
	uint32_t slots;
	struct pool_slot *slot;
	struct byload byload;
	struct pool_sums sums;
	uint32_t waiting;
	uint64_t near_life;
	bool calm; /* see is_calm() */
	bool closed;
	uint64_t close_ms;	/* TERM to all at this time */
	uint64_t now_ms;	/* as last said */
	uint64_t look_ms;	/* nothing is due by the clock before */
	uint64_t backoff_until_ms;
	uint32_t backoff_ms;
	bool only_lively; /* the loot of the last theft ordered is for those alive lately */
	uint64_t start_took_ms; /* from spawn to ready, by experience */
};

/* A change of a slot stands between these two: they keep sums and byload right. */
void pool_change(struct pool *p, struct pool_slot *s);
void pool_changed(struct pool *p, struct pool_slot *s);

/* As pool_change(), before a change of load, unread, life and hasty only: cheaper for a plain worker. */
void pool_change_load(struct pool *p, const struct pool_slot *s);

void pool_set_state(struct pool_slot *s, enum pool_state state);
void pool_forget_heir(struct pool *p, struct pool_slot *s); /* s replaces nobody, nobody replaces s */
void pool_forget_slot(struct pool *p, struct pool_slot *s);

static inline bool pool_takes(const struct pool_slot *s)
{
	return s->w.state == POOL_SERVING && !s->stranded && !s->robbing && !s->owed;
}

/* Somebody wants another in its place, not only its limits. */
static inline bool pool_is_ordered(const struct pool_slot *s)
{
	return s->w.stale == POOL_RESTARTED || s->w.stale == POOL_CHANGED;
}

/* How many stolen connections s could take; only_lively: nothing unless it was alive lately. */
uint32_t pool_room_for_loot(const struct pool *p, const struct pool_slot *s, bool only_lively);

/* at_ms + span_ms, where a span of 0 means "no limit". */
static inline uint64_t pool_after(uint64_t at_ms, uint64_t span_ms)
{
	return span_ms ? at_ms + span_ms : POOL_NEVER;
}

/* Something may be due at at_ms. */
static inline void pool_look_at(struct pool *p, uint64_t at_ms)
{
	p->look_ms = MIN(p->look_ms, at_ms);
}

#endif
