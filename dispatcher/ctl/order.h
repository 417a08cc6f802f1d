/* The verbs that order something. */
#ifndef CTL_ORDER_H
#define CTL_ORDER_H

#include "dispatcher/ctl/command.h"

#include <jansson.h>

/* Each returns an enum request_status: of several orders that of the first that was not done. */
int order_plain(const struct command *c);    /* one order about no name in particular */
int order_services(const struct command *c); /* one for each argument */
int order_restart(const struct command *c);
int order_block(const struct command *c); /* block and unblock: done when they are answered */

/* One order for each name, each with an id of its own, all begun before the first is waited for; says
 * how each ended. ret_done (count of them, may be NULL): which were done. */
int order_each(const struct command *c, const char *const *names, unsigned count, bool *ret_done);

/* Options of the command that the dispatcher must know, into a request. */
void order_add_options(const struct command *c, json_t *request);

#endif
