/* The connection slots of one service, in the ledger: who serves whom. Plain memory, no I/O. */
#ifndef ACCEPTOR_CONNS_H
#define ACCEPTOR_CONNS_H

#include "common/ledger.h"

#include <stdbool.h>

#define CONNS_NONE UINT32_MAX

struct conns {
	struct ledger_conn *table; /* of this service, in the ledger */
	uint32_t count;		   /* slots */
	uint32_t open;		   /* in use */
	uint32_t free_head;
};

/* Rebuilds the free list from what the table says; table may hold open connections. */
void conns_init(struct conns *c, struct ledger_conn *table, uint32_t count);

/* A free slot, CONNS_NONE when all are in use. The caller fills it in, phase last. */
uint32_t conns_open(struct conns *c);
void conns_close(struct conns *c, uint32_t slot);

/* The record if slot is open and belongs to worker (a slot in the service), else NULL. */
struct ledger_conn *conns_of(const struct conns *c, uint32_t slot, uint32_t worker);

/* Next open slot at or behind `from` that belongs to worker, or CONNS_NONE. */
uint32_t conns_next_of(const struct conns *c, uint32_t from, uint32_t worker);
uint32_t conns_count_of(const struct conns *c, uint32_t worker);

/* What an adapted worker knows a connection by: a report that comes late names one that is gone, and not
 * the next in its slot. CONNS_NONE: the tag is not current. */
uint32_t conns_tag(const struct conns *c, uint32_t slot);
uint32_t conns_tagged(const struct conns *c, uint32_t tag);

/* The slot of worker's connection that was offered last, or CONNS_NONE. */
uint32_t conns_newest_of(const struct conns *c, uint32_t worker);

#endif
