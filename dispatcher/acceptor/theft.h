/* Stealing unread offers back from a worker that died, was stopped or hangs. */
#ifndef ACCEPTOR_THEFT_H
#define ACCEPTOR_THEFT_H

#include "dispatcher/acceptor/service.h"

/* Orders a theft from victim to whoever has room; nobody has: tells the pool that nothing was got. */
void theft_start(struct service *svc, struct slot *victim, uint64_t now_ms);

/* A take-over learns that a theft is under way. */
void theft_found(struct service *svc, const struct link_record *r);

/* The thief is back; owns loot_fd, -1 for none. The caller books exits, refreshes and pumps. */
void theft_ended(struct service *svc, const struct link_record *r, int loot_fd, uint64_t now_ms);

#endif
