/* What the last acceptor had in hand when it ended, out of the park channel, where its keeper put it.
 *
 * A connection that stood in the ledger as nobody's goes into the stash. One that was being offered is in
 * doubt until its worker has said what it has read, or has died: if it never was in that worker's channel
 * it goes into the stash, else this copy is closed: it is served once at most, and once at least. */
#ifndef ACCEPTOR_RESCUE_H
#define ACCEPTOR_RESCUE_H

#include <stdbool.h>
#include <stdint.h>

struct acceptor;
struct service;

/* Takes everything out of the channel, before any page is read. What is taken is in this hand first. */
void rescue_take(struct acceptor *a, int park);

/* With the service's books in order: gives those that stood nowhere their place. */
void rescue_admit(struct service *svc, uint64_t now_ms);

/* True when this connection's socket is here: nothing of it is lost. */
bool rescue_waits(const struct service *svc, uint32_t conn);

/* A connection was never in its worker's channel. True: it was in doubt, and waits in the stash now. */
bool rescue_unsent(struct service *svc, uint32_t conn, uint64_t now_ms);

/* Closes the copies of those that are in doubt no longer. Call after facts about workers. */
void rescue_settle(struct service *svc);

#endif
