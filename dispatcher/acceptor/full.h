/* WHEN_FULL=refuse: who comes when no worker has room is accepted all the same, and waits in the queue
 * or is refused in words. */
#ifndef ACCEPTOR_FULL_H
#define ACCEPTOR_FULL_H

#include "dispatcher/acceptor/service.h"

bool full_refuses(const struct service *svc); /* it is such a service */
bool full_accepts(const struct service *svc); /* even those for whom nobody has room, at present */

/* Who waits goes to workers that have room, in the order of arrival; who has waited too long is refused. */
void full_serve(struct service *svc, uint64_t now_ms);

/* Clients wait on l, and nobody has room, or others wait already. */
void full_arrived(struct service *svc, struct listener *l, uint64_t now_ms);

/* Nobody will have room any more: all who wait are refused. */
void full_let_down(struct service *svc, uint64_t now_ms);

/* When full_serve has something to do that no event will say; 0: nothing. */
uint64_t full_due(const struct service *svc);

#endif
