/* One worker process: from the order to start it until the acceptor has settled its end. */
#ifndef SUPERVISOR_WORKER_H
#define SUPERVISOR_WORKER_H

#include "config/settings.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/parts.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define WORKER_NO_SLOT UINT32_MAX

struct child;
struct children;
struct kin;
struct secrets;
struct secrets_gift;
struct watch;
struct worker;

/*     QUEUED (rate) -> BORN (spawned, its image not yet exec'ed) -> RUNS -> EXITED
 *        +--------------+------------ cannot be started ----------------------^
 */
enum worker_state { WORKER_QUEUED, WORKER_BORN, WORKER_RUNS, WORKER_EXITED };

struct worker_ops {
	void (*became)(void *user, struct worker *w, enum worker_state before);
	/* its image could not be exec'ed (positive errno); it is EXITED already */
	void (*unusable)(void *user, struct worker *w, int error, const char *why);
	void (*reaped)(void *user, struct worker *w); /* its process is gone; it is EXITED already */
};

/* What all workers share. Borrowed for as long as there is one. */
struct worker_world {
	struct uv_loop_s *loop;
	struct children *children;
	struct kin *kin;
	struct outlet *outlet;
	struct logs *logs;
	const struct secrets *secrets;
	struct rlimit nofile; /* as the supervisor was started with */
	const struct worker_ops *ops;
	void *user;
};

/* Why and since when it shall be replaced, and how long it may drain after that (UINT64_MAX: for ever). */
struct worker_stale {
	enum link_stale why;
	uint64_t drain_ms, since_ms, since_wall_ms;
};

/* Read it; only worker.c writes, but service and slot, which a reload moves. */
struct worker {
	struct news news;
	struct log_source log;	/* its label is the worker's name: smtp/7 */
	const struct worker_world *world;
	uint32_t service, slot; /* WORKER_NO_SLOT: the acceptor knows nothing of it */
	uint32_t serial;
	enum worker_state state;
	bool started_said, stale_said; /* this acceptor has had LINK_WORKER, LINK_STALE */
	bool image_replaced, image_said; /* by another on disk; as this acceptor has had it */
	struct worker_stale stale;
	unsigned memory_looks; /* of memory.c */
	bool is_trial;	/* it gets the certificates that are prepared */
	uint64_t bundle_serial, tickets_serial; /* of what it was last given; 0: nothing */
	bool killed;	   /* was sent KILL: no longer counts against the limit */
	pid_t pid;
	int status, error; /* once EXITED: of waitpid(2), or the errno why it never ran */
	uint64_t created_ms, created_wall_ms;
	uint32_t ring_len; /* of its report page */
	enum link_kind kind; /* as it was born */
	int stop_signal;     /* of an adapted one */
	uint64_t listeners;  /* ... those it was started for: adaptation_listeners() */
	bool stopping;	     /* ... STOP_SIGNAL was sent */
	char unfit[LINK_TEXT_BYTES]; /* ... why it cannot serve, and the remedy; empty: nothing is known */
	bool unfit_said;
	char *image;	   /* what was exec'ed, from BORN on */
	struct parts parts;
	struct child *child; /* while there is a process */
	int birth_fd;
	struct watch *birth;
};

int worker_new(const struct worker_world *world, uint32_t service, uint32_t slot, uint32_t serial,
	struct worker **ret_worker);
struct worker *worker_free(struct worker *w); /* closes everything, kills nobody; returns NULL */
/* From now on one of another world's, in another place. */
void worker_move(struct worker *w, const struct worker_world *world, uint32_t service, uint32_t slot);

/* Out of QUEUED: starts the process with these settings, or not at all (positive errno). */
void worker_start(struct worker *w, const struct settings *s, const struct service_settings *svc,
	uint32_t sink);
void worker_refuse(struct worker *w, int error);
/* Sends what it was not given yet. False: there is no room in its channel, or no memory: try again. */
bool worker_give(struct worker *w, const struct secrets_gift *gift);
/* A thief may have taken them out of its channel unread. */
void worker_forget_gifts(struct worker *w);

/* Over an exec, and back: which process it is, its state and its descriptors. NULL: no memory. */
void worker_save(const struct worker *w, json_t *o);
struct worker *worker_restore(const struct worker_world *world, json_t *o, uint32_t service, uint32_t slot);
void worker_log_to(struct worker *w, uint32_t sink); /* after worker_restore: copy what it says */

void worker_signal(struct worker *w, int number); /* TERM, ABRT: the process; KILL: its group */
/* It cannot serve as it is: one line in the log, and the acceptor shows it. */
void worker_unfit(struct worker *w, const char *why, const char *remedy);
/* It shall be replaced, since since_ms (monotonic); the acceptor is told, and carries it out. Of several
 * reasons an operator's counts more than memory, of several deadlines the earlier one. */
void worker_replace(struct worker *w, enum link_stale why, uint64_t drain_ms, uint64_t since_ms);
bool worker_is_ordered(const struct worker *w); /* ... by an operator or a new configuration */
void worker_image_replaced(struct worker *w, bool replaced); /* or not any more */
void worker_announce(struct worker *w);		  /* tell the acceptor what there is to tell */
bool worker_lives(const struct worker *w);	  /* BORN or RUNS */

#endif
