/* Services that an operator has closed, by name: whatever is reloaded, restarted or crashes, they stay
 * closed until somebody opens them again. */
#ifndef SUPERVISOR_CLOSURES_H
#define SUPERVISOR_CLOSURES_H

#include "dispatcher/link.h"

#define CLOSURE_NAME_BYTES 128

struct closure {
	char name[CLOSURE_NAME_BYTES];
	char by[LINK_TEXT_BYTES]; /* "uid=0 pid=7"; empty: not known */
	uint64_t at_wall_ms;	  /* 0: not known */
	enum link_lasts lasts;
};

struct closures;

/* Begins with those that are remembered in state_dir; what is wrong there is logged. 0 or
 * -ENOMEM. */
int closures_new(const char *state_dir, struct closures **ret_closures);
struct closures *closures_free(struct closures *all); /* NULL is fine; returns NULL */

/* The list as another image left it, in place of what is remembered: nothing is read or written. 0 or
 * -ENOMEM. */
void closures_forget(struct closures *all);
int closures_restore(struct closures *all, const struct closure *closure);

/* NULL: not closed. */
const struct closure *closures_find(const struct closures *all, const char *name);
const struct closure *closures_at(const struct closures *all, unsigned index); /* NULL behind the last */

/* In force in any case, except with -ENOMEM; -errno: could not be remembered, or forgotten, on disk.
 * Who closed it first stays, unless it shall last longer now. */
int closures_close(struct closures *all, const struct closure *closure);
int closures_open(struct closures *all, const char *name);

#endif
