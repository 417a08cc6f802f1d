/* One service: its listeners, its pool, its workers, and what they report. */
#ifndef ACCEPTOR_SERVICE_H
#define ACCEPTOR_SERVICE_H

#include "common/ledger.h"
#include "config/settings.h"
#include "dispatcher/acceptor/conns.h"
#include "dispatcher/acceptor/cookies.h"
#include "dispatcher/acceptor/hand.h"
#include "dispatcher/acceptor/limits.h"
#include "dispatcher/acceptor/listener.h"
#include "dispatcher/acceptor/refusal.h"
#include "dispatcher/acceptor/slot.h"
#include "dispatcher/acceptor/uplink.h"
#include "dispatcher/policy/pool.h"
#include "dispatcher/policy/sources.h"

struct blocks;
struct endings;
struct line;
struct service;

struct service_ops {
	/* Something became due earlier, or connections are open: look at pump_due and busy. */
	void (*changed)(struct service *svc);
	/* Ends of connections may have been missed: ask the kernel. */
	void (*doubt)(struct service *svc);
	/* Bytes that wait unread on the connections of an adapted worker. */
	uint64_t (*unread)(struct service *svc, const struct slot *s);
};

/* Accepted, and not yet given to anybody: for a moment; or until somebody has room. The one place where
 * a connection waits in this process. */
struct stash {
	struct msg_conn conns[HAND_PLACES];
	int fds[HAND_PLACES];
	uint8_t places[HAND_PLACES]; /* in the hand */
	unsigned count;
};

/* What the last acceptor had in hand and may have been given or not: rescue.h. */
struct doubts {
	struct doubt {
		int fd;
		uint32_t conn;
		uint64_t seq; /* of its offer */
		uint8_t place;
	} list[HAND_PLACES];
	unsigned count;
};

/* What it had accepted and entered nowhere. */
struct late {
	int fds[HAND_BATCH];
	uint8_t places[HAND_BATCH];
	unsigned count;
};

/* What a service says and does that refuses when it is full. */
struct full {
	char text[REFUSAL_BYTES];
	size_t len;
	uint64_t logged_ms;
	uint32_t full, late, left; /* not logged yet */
	uint32_t refused; /* just now: they wanted a worker */
	bool told;	  /* the pool was told that they wait; they do not any more */
};

struct theft {
	struct slot *victim; /* NULL: none runs */
	struct link_target targets[LINK_TARGETS];
	uint32_t count;
};

struct service {
	uint32_t index;
	const struct settings *settings;
	const struct service_settings *set;
	const char *name;
	struct limits limits; /* for workers that are older than the settings */
	struct ledger *ledger;
	struct ledger_service *book;
	struct uplink *uplink;
	struct blocks *blocks; /* of all services */
	uint32_t burst; /* connections in one message, at most */
	struct endings *endings;
	uv_loop_t *loop;
	void *owner;
	const struct service_ops *ops;

	enum link_service_state state;
	char why[LINK_TEXT_BYTES];	 /* LINK_FAILED */
	char closed_by[LINK_TEXT_BYTES]; /* empty: nobody closed it */
	uint64_t closed_wall_ms;
	enum link_lasts closed_lasts;
	uint32_t round, tries; /* as the supervisor has said */
	uint64_t reopened_ms;  /* ... when log files were last to be opened again; 0: never */
	bool active;   /* this acceptor may accept */
	bool go_waits; /* it may when the theft that it found has ended */
	struct listener *listeners;
	uint32_t listener_count;
	struct pool *pool;
	void *pool_memory;
	struct sources *sources; /* NULL: no MAX_CONNS_PER_SOURCE */
	struct conns conns;
	struct cookies cookies; /* of TCP connections of adapted servers */
	uint64_t freed;		/* ... that ended by the kernel's word alone */
	struct slot *slots;
	uint32_t slot_count, attached;
	struct slot *busy; /* those whose page must be read */
	struct stash stash;
	struct doubts doubts;
	struct late late;
	struct hand *in_hand;	   /* of all services */
	struct hand_service *hand; /* of this one */
	struct theft theft;
	char *certs;	     /* certs.h; NULL: no TLS */
	struct line *line;   /* who waits for a worker; NULL: a service that never refuses has none */
	struct full full;

	uint32_t waiting; /* clients in the backlogs when last looked */
	bool held, hold_logged, drained, idle_told;
	bool lent; /* the listeners are with the next dispatcher: nobody is accepted */
	uint64_t hold_logged_ms, starved_logged_ms;
	uint64_t starved_until_ms, retry_ms; /* 0: not */
	uint64_t close_deadline_ms, drain_from_ms, drain_until_ms, drain_checked_ms;
	uint64_t backoff_seen_ms;
	uint64_t hang_due_ms; /* with HANG_TIMEOUT: look again */
	bool has_adapted;     /* workers that are adapted, or may be */
	uint64_t look_ms;     /* look at adapted ones from outside; 0: not */
	uint64_t unfit_look_ms, unfit_logged_ms;
	char unfit[LINK_TEXT_BYTES]; /* why a server does not serve, or not well; empty: it does */
	uint64_t settling_until_ms; /* after a take-over: wait so long for workers to answer; 0: no */
};

/* Nothing is under way that would change the picture without a client's doing. */
bool service_settled(const struct service *svc);

/* --- reports --- */
void service_refresh(struct service *svc, struct slot *s, uint64_t now_ms);
void service_refresh_all(struct service *svc, uint64_t now_ms); /* those that are watched */
/* s claims what cannot be: its page is not read again. */
void service_lied(struct service *svc, struct slot *s, const char *claim, uint64_t now_ms);
void service_watch(struct service *svc, struct slot *s);	/* put into the busy list */
void service_unwatch(struct service *svc, struct slot *s);
int service_tell(struct service *svc, struct slot *s); /* new limits, once; as of slot_offer */
void service_reopen_logs(struct service *svc); /* whoever has not been told */
void service_ask(struct service *svc, struct slot *s); /* tell, ping, watch, arm */

/* Into the stash, what stands in hand (at place) and in the ledger. */
void service_stash(struct service *svc, int fd, uint32_t conn, unsigned place);

/* --- books --- */
void service_finished(struct service *svc, uint32_t conn, bool lost); /* log, sources, counters */
void service_note(struct slot *s);				      /* pool's state into the ledger */
const struct pool_worker *service_pool_worker(const struct slot *s);
struct source service_source(const struct service *svc, const struct addr *peer);
bool service_exempt(const struct service *svc, const struct addr *peer);

#endif
