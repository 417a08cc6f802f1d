/* --wait: looks until what leaves has left, and says how far it is. */
#ifndef CTL_WAIT_H
#define CTL_WAIT_H

#include "dispatcher/ctl/command.h"

#include <jansson.h>

/* Adds the workers of `status` that `name` (a service or a worker) stands for to the set; with only_stale
 * those that shall be replaced. */
void wait_add_workers(json_t *set, const json_t *status, const char *name, bool only_stale);

/* Until no worker of the set is there any more. An enum request_status. */
int wait_until_gone(const struct command *c, const json_t *set);

/* Until each of these services is closed and has no worker. An enum request_status. */
int wait_until_closed(const struct command *c, const char *const *names, unsigned count);

/* Until the process behind pidfd has ended; with -1 until nobody answers any more. */
int wait_until_ended(const struct command *c, int pidfd);

#endif
