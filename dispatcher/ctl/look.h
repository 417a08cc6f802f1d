/* The verbs that only look. */
#ifndef CTL_LOOK_H
#define CTL_LOOK_H

struct command;

/* Each returns an enum request_status. */
int look_status(const struct command *c);
int look_connections(const struct command *c);
int look_config(const struct command *c);
int look_check(const struct command *c);
int look_version(const struct command *c);

#endif
