/* How a service begins: its memory, its state as the supervisor tells it, its listeners. The caller
 * pumps afterwards. */
#ifndef ACCEPTOR_OPENING_H
#define ACCEPTOR_OPENING_H

#include "dispatcher/acceptor/service.h"

struct opening {
	struct hand *hand;
	const struct slot_ops *slot_ops;
	const struct listener_ops *listener_ops;
};

/* Allocates everything the service will ever need; uplink, loop, owner and ops are set by the caller. 0
 * or -errno. */
int opening_init(struct service *svc, uint32_t index, const struct settings *settings,
	struct ledger *ledger, const struct opening *o);

/* Begins with an empty pool, unless workers of an earlier one live on. */
void opening_pool(struct service *svc, uint64_t now_ms);

void opening_state(struct service *svc, const struct link_record *r, uint64_t now_ms);
void opening_listener(struct service *svc, const struct link_record *r, int fd); /* owns fd; -1: close it */

#endif
