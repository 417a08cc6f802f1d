/* The services of the configuration and their listeners, from open to closed. */
#ifndef SUPERVISOR_SERVICES_H
#define SUPERVISOR_SERVICES_H

#include "dispatcher/link.h"
#include "dispatcher/supervisor/reader.h"

#include <stdbool.h>

struct adopted;
struct outlet;
struct services;
struct uv_loop_s;

/* adopted: where listeners are looked for before they are bound; NULL for nowhere. */
int services_new(struct uv_loop_s *loop, const struct reader_result *config, struct outlet *outlet,
	struct adopted *adopted, struct services **ret_services);
struct services *services_free(struct services *all); /* closes every listener; returns NULL */

/* Opens every enabled service; what cannot be opened is FAILED and tried again every 5 s. */
void services_open(struct services *all);
uint32_t services_count(const struct services *all);
const struct service_settings *services_settings(const struct services *all, uint32_t service);
enum link_service_state services_state(const struct services *all, uint32_t service);

/* Closes the listeners of an open service: its workers cannot be started. Tried again in 5 s. */
void services_failed(struct services *all, uint32_t service, const char *why);

/* No new client gets in, who waits is still accepted; until deadline_ms (monotonic). */
void services_closing(struct services *all, uint32_t service, uint64_t deadline_ms);
void services_drained(struct services *all, uint32_t service); /* of a closing one: close listeners */
void services_idle(struct services *all, uint32_t service); /* of a closing one: the acceptor has no worker */
bool services_is_idle(const struct services *all, uint32_t service);
void services_closed(struct services *all, uint32_t service);
bool services_all_closed(const struct services *all);

/* Tells the acceptor everything again. */
void services_announce(struct services *all);

#endif
