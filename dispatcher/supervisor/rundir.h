/* RUN_DIR: one dispatcher at a time (lock), its pid, its control socket. */
#ifndef SUPERVISOR_RUNDIR_H
#define SUPERVISOR_RUNDIR_H

#include "config/settings.h"
#include "dispatcher/supervisor/unixsock.h"

#include <jansson.h>

#define RUNDIR_PATH_BYTES 512

struct rundir {
	int lock; /* -1: not ours */
	char lock_path[RUNDIR_PATH_BYTES], pid_path[RUNDIR_PATH_BYTES];
	const char *control_path;
	struct unixsock control;
	int former; /* connected to whoever served the control socket before; -1: nobody did */
};

enum rundir_answer {
	RUNDIR_TAKEN = 1, /* another dispatcher runs with this RUN_DIR; nothing was touched */
	RUNDIR_BUSY, /* somebody serves the control socket and took no connection for some seconds */
};

/* Makes the directory, takes the lock, writes the pid, listens on the control socket; connects before to
 * who serves it still, if that socket was made by a dispatcher of this user. RUNDIR_TAKEN
 * names the other's pid (0: unknown). 0, an answer from above or -errno with *ret_what the path of the matter. */
int rundir_open(struct rundir *r, const struct settings *s, pid_t *ret_holder,
	const char **ret_what);
/* Over an exec, and back. */
void rundir_save(const struct rundir *r, json_t *root);
void rundir_restore(struct rundir *r, const struct settings *s, json_t *root);
/* Connects to a former once more, as long as the path leads there; r->former stays -1 if nobody serves
 * it. Takes some seconds at most. 0, RUNDIR_BUSY or -errno. */
int rundir_find_former(struct rundir *r);
/* With a former: until this is called the control socket's path goes on leading there. */
void rundir_publish(struct rundir *r);
/* Other settings; other_access: others may knock. */
void rundir_adjust(struct rundir *r, const struct settings *s, bool other_access);
void rundir_close(struct rundir *r); /* removes what it made, except the directory */

#endif
