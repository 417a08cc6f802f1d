/* A table and a free list through it. The free list is last-in-first-out, so that few slots stay warm.
 * Looking for the connections of one worker walks the table: that happens when a worker dies or an
 * acceptor takes over, never for a connection. */
#include "dispatcher/acceptor/conns.h"
#include "common/adapter.h"
#include "common/base.h"

void conns_init(struct conns *c, struct ledger_conn *table, uint32_t count)
{
	*c = (struct conns){.table = table, .count = count, .free_head = CONNS_NONE};
	for (uint32_t slot = count; slot-- > 0;) {
		if (table[slot].phase != LEDGER_FREE) {
			c->open++;
			continue;
		}
		table[slot].next = c->free_head;
		c->free_head = slot;
	}
}

uint32_t conns_open(struct conns *c)
{
	uint32_t slot = c->free_head;

	if (slot == CONNS_NONE)
		return CONNS_NONE;
	ASSERT(c->table[slot].phase == LEDGER_FREE);
	c->free_head = c->table[slot].next;
	c->table[slot].used++;
	c->open++;
	return slot;
}

void conns_close(struct conns *c, uint32_t slot)
{
	ASSERT(slot < c->count && c->open);
	c->table[slot].phase = LEDGER_FREE;
	c->table[slot].next = c->free_head;
	c->free_head = slot;
	c->open--;
}

struct ledger_conn *conns_of(const struct conns *c, uint32_t slot, uint32_t worker)
{
	if (slot >= c->count || c->table[slot].phase == LEDGER_FREE || c->table[slot].worker != worker)
		return NULL;
	return &c->table[slot];
}

uint32_t conns_next_of(const struct conns *c, uint32_t from, uint32_t worker)
{
	for (uint32_t slot = from; slot < c->count; slot++)
		if (conns_of(c, slot, worker))
			return slot;
	return CONNS_NONE;
}

uint32_t conns_count_of(const struct conns *c, uint32_t worker)
{
	uint32_t count = 0;

	for (uint32_t s = 0; (s = conns_next_of(c, s, worker)) != CONNS_NONE; s++)
		count++;
	return count;
}

uint32_t conns_newest_of(const struct conns *c, uint32_t worker)
{
	uint32_t newest = CONNS_NONE;

	for (uint32_t s = 0; (s = conns_next_of(c, s, worker)) != CONNS_NONE; s++)
		if (newest == CONNS_NONE || c->table[s].seq > c->table[newest].seq)
			newest = s;
	return newest;
}

uint32_t conns_tag(const struct conns *c, uint32_t slot)
{
	return slot | c->table[slot].used << ADAPTER_SLOT_BITS;
}

uint32_t conns_tagged(const struct conns *c, uint32_t tag)
{
	uint32_t slot = tag & (ADAPTER_SLOTS - 1);

	return slot < c->count && conns_tag(c, slot) == tag ? slot : CONNS_NONE;
}
