/* The services of the configuration and their listeners, from open to closed. */
#ifndef SUPERVISOR_SERVICES_H
#define SUPERVISOR_SERVICES_H

#include "dispatcher/link.h"
#include "dispatcher/supervisor/reader.h"

#include <jansson.h>
#include <stdbool.h>

struct adopted;
struct closures;
struct outlet;
struct services;
struct uv_loop_s;

/* closures: those of its services stay closed. adopted: where listeners are looked for before they are
 * bound; NULL for nowhere. */
int services_new(struct uv_loop_s *loop, const struct reader_result *config,
	const struct closures *closures, struct outlet *outlet, struct adopted *adopted,
	struct services **ret_services);
struct services *services_free(struct services *all); /* closes every listener; returns NULL */

/* Opens every enabled service that nobody has closed; what cannot be opened is FAILED and tried again
 * every 5 s. */
void services_open(struct services *all);
uint32_t services_count(const struct services *all);
const struct service_settings *services_settings(const struct services *all, uint32_t service);
const char *services_name(const struct services *all, uint32_t service);
const char *services_why(const struct services *all, uint32_t service); /* it FAILED; borrowed */
enum link_service_state services_state(const struct services *all, uint32_t service);

enum services_answer {
	SERVICES_LATER = 1, /* its old listeners are not given up yet: ask again then */
	SERVICES_FAILED = 2, /* ret_why says why; a CLOSING one goes on closing, others are FAILED now */
};

/* Opens a service, whatever its state is; one that is open tries at once what it waited for. 0 or an
 * answer above. */
int services_start(struct services *all, uint32_t service, char ret_why[LINK_TEXT_BYTES]);

/* Closes the listeners of an open service: its workers cannot be started. Tried again in 5 s. */
void services_failed(struct services *all, uint32_t service, const char *why);

/* No new client gets in, who waits is still accepted; until deadline_ms (monotonic). Of one that closes
 * already the earlier deadline counts. */
void services_closing(struct services *all, uint32_t service, uint64_t deadline_ms);
uint64_t services_deadline(const struct services *all, uint32_t service); /* of a closing one */
void services_closed(struct services *all, uint32_t service);

/* The acceptor's answers to a close, with its round; others are ignored. */
void services_drained(struct services *all, uint32_t service, uint32_t round); /* close listeners */
void services_idle(struct services *all, uint32_t service, uint32_t round);
bool services_is_idle(const struct services *all, uint32_t service); /* no worker of it is known */
bool services_all_closed(const struct services *all);

/* Over an exec: the states and listeners, and back, after services_new. */
void services_save(const struct services *all, json_t *root);
void services_restore(struct services *all, json_t *root);

/* Workers shall open log files of their own again. */
void services_reopen_logs(struct services *all);

/* --- other tables --- */

enum services_prepared {
	SERVICES_WAIT = 1,     /* an address is still being given up: ask again in a moment */
	SERVICES_REFUSED = 2,  /* told why: an address cannot be had */
};

/* Binds what these tables have more (map: for each service its index at present, or LEDGER_NONE), and
 * gets everything else ready; nothing changes that a client could see but the new ports, whose clients
 * wait. tell: lines for the operator. 0, an answer above with nothing prepared, or -ENOMEM. */
int services_prepare(struct services *all, const struct settings *tables, const uint32_t *map, FILE *tell);
void services_discard(struct services *all);
bool services_will_open(const struct services *all, uint32_t service); /* of the prepared ones */

/* What was prepared is in force, and config says the same. Services that are not in the map have
 * nobody left. */
void services_adopt(struct services *all);

/* Tells the acceptor everything, or how one service is, again. */
void services_announce(struct services *all);
void services_announce_one(struct services *all, uint32_t service);

#endif
