/* status --watch: a live view. */
#ifndef CTL_WATCH_H
#define CTL_WATCH_H

struct command;

int watch_status(const struct command *c); /* returns an enum request_status */

#endif
