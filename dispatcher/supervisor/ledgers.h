/* The ledger's memory: made for the settings, and made anew for others with all that is in it. */
#ifndef SUPERVISOR_LEDGERS_H
#define SUPERVISOR_LEDGERS_H

#include "common/ledger.h"
#include "config/settings.h"

/* What each service of these settings needs, for free(); NULL: no memory. */
struct ledger_need *ledgers_needs(const struct settings *s);

/* Sealed memory with an empty ledger. A descriptor or -errno. */
int ledgers_make(const struct ledger_need *needs, uint32_t services);

/* The places of a service in it; none in one that is not ours. */
struct ledger_need ledgers_has(int fd, uint32_t service);

/* Whether service has anything in use in the ledger. */
bool ledgers_is_used(int fd, uint32_t service);

/* As ledgers_make, with what old_fd has of the services that map names (for each its index there, or
 * LEDGER_NONE). needs grow to what is in use. Nobody may write to old_fd any more. */
int ledgers_carry(int old_fd, struct ledger_need *needs, uint32_t services, const uint32_t *map);

#endif
