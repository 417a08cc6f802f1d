/* Chains through the connection table. A slot stays in its chain when its connection ends, and leaves it
 * when it is used again: whoever ends a connection need not know of this. */
#include "dispatcher/acceptor/cookies.h"
#include "common/base.h"

#include <errno.h>
#include <stdlib.h>

/* The kernel counts cookies up, so their low bits differ. */
static uint32_t *head_of(const struct cookies *k, uint64_t cookie)
{
	return &k->heads[(cookie ^ cookie >> 20) & k->mask];
}

static void drop(struct cookies *k, const struct conns *c, uint32_t slot)
{
	uint32_t *at = head_of(k, c->table[slot].cookie);

	while (*at != CONNS_NONE && *at != slot)
		at = &c->table[*at].cookies;
	if (*at == slot)
		*at = c->table[slot].cookies;
}

static void add(struct cookies *k, const struct conns *c, uint32_t slot)
{
	uint32_t *head = head_of(k, c->table[slot].cookie);

	c->table[slot].cookies = *head;
	*head = slot;
}

int cookies_init(struct cookies *k, const struct conns *c)
{
	uint32_t size = 64;

	while (size < c->count)
		size *= 2;
	k->heads = malloc(size * sizeof(*k->heads));
	if (!k->heads)
		return -ENOMEM;
	k->mask = size - 1;
	for (uint32_t i = 0; i < size; i++)
		k->heads[i] = CONNS_NONE;
	for (uint32_t slot = 0; slot < c->count; slot++) {
		if (c->table[slot].phase == LEDGER_FREE)
			c->table[slot].cookie = 0;
		if (c->table[slot].cookie)
			add(k, c, slot);
	}
	return 0;
}

void cookies_enter(struct cookies *k, const struct conns *c, uint32_t slot, uint64_t cookie)
{
	if (c->table[slot].cookie)
		drop(k, c, slot);
	c->table[slot].cookie = cookie;
	if (cookie)
		add(k, c, slot);
}

uint32_t cookies_find(const struct cookies *k, const struct conns *c, uint64_t cookie)
{
	uint32_t slot = *head_of(k, cookie);

	while (slot != CONNS_NONE && c->table[slot].cookie != cookie)
		slot = c->table[slot].cookies;
	if (slot == CONNS_NONE || c->table[slot].phase == LEDGER_FREE)
		return CONNS_NONE;
	return slot;
}
