/* Sources that an operator has blocked, in the ledger: they outlive the acceptor. No I/O, no clock. */
#ifndef ACCEPTOR_BLOCKS_H
#define ACCEPTOR_BLOCKS_H

#include "common/ledger.h"

#include <stdbool.h>

#define BLOCKS_TEXT_BYTES (ADDR_TEXT_BYTES + 8)

struct blocks {
	struct ledger_block *table; /* LEDGER_BLOCKS */
	uint32_t count;		    /* in use: with 0 nobody need look */
};

void blocks_init(struct blocks *b, struct ledger_block *table);

/* "192.0.2.0/24", "2001:db8::/32" or an address; bits behind the prefix are cut off, an IPv4-mapped one
 * becomes IPv4. Sets prefix and bits of a block that is zero otherwise. 0 or -EINVAL. */
int blocks_parse(const char *text, struct ledger_block *ret_block);
const char *blocks_format(const struct ledger_block *block, char ret_text[BLOCKS_TEXT_BYTES]);

/* The same prefix again changes how long it lasts. 0 or -ENOSPC. */
int blocks_add(struct blocks *b, const struct ledger_block *block, uint64_t now_ms);
int blocks_remove(struct blocks *b, const struct ledger_block *block); /* 0 or -ENOENT */
void blocks_expire(struct blocks *b, uint64_t now_ms);

/* The block that peer comes from, or NULL. Forgets those whose time is over. */
struct ledger_block *blocks_find(struct blocks *b, const struct addr *peer, uint64_t now_ms);
bool blocks_may_log(struct ledger_block *block, uint64_t now_ms); /* at most once a minute */

/* All, in no particular order: behind `before`, NULL for the first; NULL behind the last. */
const struct ledger_block *blocks_next(const struct blocks *b, const struct ledger_block *before);

#endif
