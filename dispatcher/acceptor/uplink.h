/* The acceptor's end of the link to the supervisor: orders go out, state comes in. */
#ifndef ACCEPTOR_UPLINK_H
#define ACCEPTOR_UPLINK_H

#include "dispatcher/link.h"

#include <stdbool.h>
#include <uv.h>

struct uplink_ops {
	/* A record came in; fds are the receiver's. */
	void (*record)(void *user, const struct link_record *r, int *fds, unsigned fd_count);
	void (*gone)(void *user); /* the supervisor has died */
};

/* What is still to be said about one slot; said as soon as the link has room. */
struct uplink_order {
	uint32_t pending; /* bits, private */
	uint32_t serial;
	uint32_t signal;
	uint32_t record_signal; /* of LINK_RECORD: a TERM that still waits must not become a KILL */
	const char *why; /* of LINK_RECORD: a constant */
	const struct link_target *targets; /* borrowed until the theft is over */
	uint32_t target_count;
};

#define UPLINK_OPERATIONS 16

struct uplink_service {
	uint32_t pending; /* bits, private */
	uint32_t slot_count;
	struct uplink_order *slots;
};

struct uplink {
	int fd;
	bool alive;
	bool starved; /* of descriptors: nothing is read */
	uv_poll_t poll;
	uv_timer_t again;
	const struct uplink_ops *ops;
	void *user;
	struct uplink_service *services;
	uint32_t *rounds; /* per service: which close an answer is about */
	uint32_t service_count, general;
	uint32_t shutdown_now;
	uint64_t shutdown_ms;
	struct link_record operations[UPLINK_OPERATIONS]; /* operators' orders that have no room yet */
	unsigned operation_count;
	bool dirty;
};

/* Takes LINK_FD. 0 or -errno. */
int uplink_init(struct uplink *u, uv_loop_t *loop, const struct uplink_ops *ops, void *user);

/* Makes room for orders about so many services, and slots of one. 0 or -ENOMEM. */
int uplink_size(struct uplink *u, uint32_t services);
int uplink_slots(struct uplink *u, uint32_t service, uint32_t slots);

/* The supervisor has died, whether or not it has been noticed yet. */
bool uplink_has_hung_up(const struct uplink *u);

/* Orders; none blocks or fails: without a supervisor they are void. */
void uplink_prepared(struct uplink *u);
void uplink_pong(struct uplink *u);
void uplink_up(struct uplink *u);
void uplink_run(struct uplink *u, uint32_t service, uint32_t slot);
void uplink_signal(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial, int signal);
/* Leaves the evidence of a worker, then kills it; number: SIGABRT or SIGKILL; why: a constant. */
void uplink_record(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial, int number,
	const char *why);
void uplink_release(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial);
void uplink_steal(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial,
	const struct link_target *targets, uint32_t count);
/* LINK_EXAMINE: it reads nothing. */
void uplink_examine(struct uplink *u, uint32_t service, uint32_t slot, uint32_t serial);
void uplink_stolen_seen(struct uplink *u, uint32_t service, uint32_t slot);
void uplink_drained(struct uplink *u, uint32_t service, uint32_t round);
void uplink_idle(struct uplink *u, uint32_t service, uint32_t round);
/* within_ms: how long workers may take, UINT64_MAX = as configured. */
void uplink_shutdown(struct uplink *u, bool now, uint64_t within_ms);

/* An operator's order, with its id. False: so many wait already; ask again later. */
bool uplink_operate(struct uplink *u, const struct link_record *order);

#endif
