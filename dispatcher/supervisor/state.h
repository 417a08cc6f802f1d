/* What the supervisor holds: shared by its start (supervisor.c), the acceptor's orders (orders.c,
 * renew.c) and its end (stop.c), by nobody else. */
#ifndef SUPERVISOR_STATE_H
#define SUPERVISOR_STATE_H

#include "dispatcher/link.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/rundir.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <uv.h>

enum sv_signal { SV_TERM, SV_INT, SV_HUP, SV_USR1, SV_CHLD, SV_SIGNALS };

/*   RUNS -> DRAINS -> (all services closed) -> ENDS (acceptor, then logger)
 *     +-----> KILLS ----+                 DRAINS -> KILLS: told so, or the deadline passed
 */
enum sv_phase { SV_RUNS, SV_DRAINS, SV_KILLS, SV_ENDS };

struct sv {
	uv_loop_t loop;
	uv_signal_t signals[SV_SIGNALS];
	struct reader_result config;	 /* in force; the one place that holds it */
	struct reader_result file;	 /* the same as it was read: without what only stays for a while */
	struct origin *origin;
	uint64_t loaded_wall_ms;	 /* when it was read */
	struct reload *reload;
	struct rlimit nofile;		 /* as we were started with */
	uint64_t acceptor_nofile;	 /* its soft and hard limit */
	uint64_t started_ms, started_wall_ms;
	struct rundir rundir;
	int ledger_fd;
	struct children *children;
	struct logs *logs;
	struct baton *baton;
	struct adopted *adopted; /* listeners that came from elsewhere */
	struct manager *manager; /* NULL: there is none */
	struct former *former;	 /* whose listeners they were, until our acceptor accepts */
	struct news lease;
	bool succeeds; /* our acceptor has begun to accept */
	struct services *services;
	struct secrets *secrets;
	struct delivery *delivery;
	struct certs *certs;
	struct workers *workers;
	struct thefts *thefts;
	struct ops *ops;
	struct images *images;
	struct memory *memory;
	struct records *records;
	struct upgrade *upgrade; /* NULL: none is under way */
	uint64_t upgraded_wall_ms; /* 0: never */
	enum sv_phase phase;
	struct closures *closures;
	struct sv_start *starts; /* of services whose old listeners are not given up yet */
	struct timer *limit;
	uint64_t renewal; /* the operation that replaces the acceptor */
};

/* orders.c */
void sv_announce(void *user);
int sv_make_records(struct sv *sv);
void sv_order(void *user, const struct link_record *order); /* id 0: of a signal, text names it */

/* supervisor.c: everything but what runs; saved: the state that another image left, or NULL */
struct supervisor_options;
int sv_make_parts(struct sv *sv, const struct supervisor_options *options, json_t *saved);
int sv_make_ledger(struct sv *sv);
int sv_serve(struct sv *sv); /* until it is told to stop, and frees everything; an enum supervisor_exit */

void sv_need_descriptors(struct sv *sv, const struct settings *settings); /* of ours, and of acceptors */
void sv_adapt(struct sv *sv, unsigned changes); /* to other settings; enum schema_change, its own */

/* upgrade.c */
void sv_upgrade(struct sv *sv, const struct link_record *order);
void sv_upgrade_cancel(struct sv *sv); /* if one is under way */

/* renew.c */
void sv_renew(struct sv *sv, const struct link_record *order);

/* restart.c */
void sv_restart(struct sv *sv, const struct link_record *order);

/* closing.c */
void sv_close(struct sv *sv, const struct link_record *order);
void sv_start(struct sv *sv, const struct link_record *order);
void sv_drained(struct sv *sv, const struct link_record *order);
void sv_try_starts(struct sv *sv);    /* those that wait for old listeners */
void sv_cancel_starts(struct sv *sv); /* everything ends */
void sv_warn_of_closures(const struct sv *sv); /* of services that are not in the configuration */

/* succession.c */
void sv_take_over(struct sv *sv);      /* what the acceptor of a killed supervisor has, if there is one */
void sv_announce_lease(struct sv *sv); /* to a new acceptor */
void sv_accepts(struct sv *sv);	       /* our acceptor does */

/* manager.c: what a service manager is told, if there is one */
void sv_manager_start(struct sv *sv);
void sv_manager_stop(struct sv *sv);
void sv_reloading(struct sv *sv, bool begins); /* else it has ended */
void sv_answered(struct sv *sv);	       /* the acceptor lives */

/* stop.c */
#define SV_AS_CONFIGURED UINT64_MAX
void sv_drain(struct sv *sv, const char *by, uint64_t within_ms); /* how long workers may take */
void sv_kill(struct sv *sv, const char *by);
void sv_look(struct sv *sv); /* a worker ended, a service became idle: is it time to go on? */
void sv_on_limit(void *user);

#endif
