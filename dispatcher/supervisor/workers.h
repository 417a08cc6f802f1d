/* Worker processes by service and slot: started when the acceptor asks and the limits allow, kept until
 * the acceptor has settled them. */
#ifndef SUPERVISOR_WORKERS_H
#define SUPERVISOR_WORKERS_H

#include "common/ledger.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct services;
struct workers;

struct workers_ops {
	/* a worker of service could not be exec'ed (positive errno) and no other of it runs */
	void (*unusable)(void *user, uint32_t service, int error, const char *why);
	void (*exited)(void *user); /* a worker has, or the last kin of one */
};

struct workers_world {
	struct uv_loop_s *loop;
	const struct reader_result *config; /* what is in force, whenever it is asked */
	const int *ledger_fd;		    /* so is this */
	struct children *children;
	struct services *services;
	struct outlet *outlet;
	struct logs *logs;
	const struct secrets *secrets; /* NULL: there are none */
	struct rlimit nofile; /* as the supervisor was started with */
	const struct workers_ops *ops;
	void *user;
};

int workers_new(const struct workers_world *world, struct workers **ret_workers);
struct workers *workers_free(struct workers *all); /* closes everything, kills nobody */
uint32_t workers_slots(const struct workers *all, uint32_t service);

/* Orders of the acceptor: what makes no sense is ignored. */
void workers_run(struct workers *all, uint32_t service, uint32_t slot);
void workers_signal(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial, int number);
void workers_release(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial);

/* It reads nothing of what it is offered: looks why. */
void workers_examine(struct workers *all, uint32_t service, uint32_t slot, uint32_t serial);

/* To the worker of this name (smtp/7), if it still has a process. */
void workers_signal_named(struct workers *all, const char *name, int number);

void workers_kill_all(struct workers *all);
uint32_t workers_live(const struct workers *all, uint32_t service);
uint32_t workers_live_total(const struct workers *all);
bool workers_have_kin(const struct workers *all); /* processes that ended workers left are being killed */

/* Who is in a slot; NULL: nobody, or there is no such slot. */
struct worker *workers_at(const struct workers *all, uint32_t service, uint32_t slot);

/* The descriptors of a slot that has a worker or whose end is not settled; NULL: none. */
const struct parts *workers_parts(const struct workers *all, uint32_t service, uint32_t slot);

/* --- other tables --- */

/* The highest slot of a service that is in use, and one. */
uint32_t workers_in_use(const struct workers *all, uint32_t service);

/* Gets everything ready for these tables; map: for each service its index at present, or LEDGER_NONE.
 * Nothing changes. 0 or -ENOMEM. */
int workers_prepare(struct workers *all, const uint32_t *map, const struct settings *tables);
void workers_discard(struct workers *all);

/* Whether what was prepared can have so many slots. */
bool workers_have_room(const struct workers *all, const struct ledger_need *has);

/* What was prepared is in force, with so many slots; these are no fewer than in use. Services that are
 * not in the map have nobody. */
void workers_adopt(struct workers *all, const struct ledger_need *has);

/* A serial number for a worker of a service of the prepared tables, and what it shares with others. */
uint32_t workers_next_serial(struct workers *all, uint32_t service);
const struct worker_world *workers_shared(const struct workers *all);

/* Puts a worker that was started elsewhere into a free slot, which must be there. */
bool workers_have_place(const struct workers *all, uint32_t service);
void workers_place(struct workers *all, uint32_t service, struct worker *w);

/* Over an exec, and back, after workers_new: everybody but who waits to be started. 0, -ENOMEM, or
 * -EBADMSG: somebody has no place. */
void workers_save(const struct workers *all, json_t *root);
int workers_restore(struct workers *all, json_t *root);

/* Tells the acceptor everything again, after it forgot every order that is not carried out. */
void workers_announce(struct workers *all);

#endif
