/* What supervisor and acceptor go by while the dispatcher runs: what the file says, and what it no longer
 * says but is on its way out. Pure. */
#ifndef CONFIG_TABLES_H
#define CONFIG_TABLES_H

#include "config/settings.h"

/* file: as read. before: the tables until now. keep: for each service of before whether it must stay
 * although the file has it no more.
 *
 * The result has the services of the file in its order, then those that are kept (leaving, not enabled). A
 * listener keeps its index for as long as its service lives, since living workers and open connections
 * know it by that: first those of before, the ones that the file has no more marked as leaving, then the
 * new ones. The result is the caller's (free); NULL: no memory. */
struct settings *tables_make(const struct settings *file, const struct settings *before, const bool *keep);

/* The service of that name, or UINT32_MAX. */
uint32_t tables_find(const struct settings *s, const char *name);

#endif
