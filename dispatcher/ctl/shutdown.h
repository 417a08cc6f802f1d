/* shutdown of everything or of services, and disable. */
#ifndef CTL_SHUTDOWN_H
#define CTL_SHUTDOWN_H

struct command;

int shutdown_run(const struct command *c); /* returns an enum request_status */

#endif
