/* Makes a service run: facts in, decisions out and carried out. */
#ifndef ACCEPTOR_PUMP_H
#define ACCEPTOR_PUMP_H

#include "dispatcher/acceptor/service.h"

extern const struct slot_ops pump_slot_ops;
extern const struct listener_ops pump_listener_ops;

void pump_run(struct service *svc, uint64_t now_ms); /* after any fact: decide, carry out, serve */

/* Reads all watched pages and decides. With arm, workers are asked to ring at the next change; without
 * it the answer is true while there is somebody to be asked. */
bool pump_tick(struct service *svc, bool arm, uint64_t now_ms);

void pump_timer(struct service *svc, uint64_t now_ms); /* pump_due() has come */
uint64_t pump_due(const struct service *svc);	       /* monotonic ms; UINT64_MAX: nothing */

/* LINK_STOLEN came; owns loot_fd, -1 for none. */
void pump_theft_ended(struct service *svc, const struct link_record *r, int loot_fd, uint64_t now_ms);
void pump_orphaned(struct service *svc, uint64_t now_ms); /* the supervisor is gone */

#endif
