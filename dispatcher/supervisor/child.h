/* Children of the supervisor: notices their end by pidfd, reaps each once, and reaps orphans that
 * were given to us as subreaper. */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct uv_loop_s;
struct children;
struct child;

/* status as of waitpid(2). The child is freed already when this is called. */
typedef void child_fn(void *user, int status);

int children_new(struct uv_loop_s *loop, struct children **ret_children);
struct children *children_free(struct children *all); /* forgets them, kills nobody; returns NULL */

/* Calls once, when pid (an unreaped child of ours) has ended. 0 or -ENOMEM. */
int child_watch(struct children *all, pid_t pid, child_fn *call, void *user,
	struct child **ret_child);
void child_forget(struct child *c); /* no call comes any more; children_sweep reaps it */
void child_signal(const struct child *c, int number);	    /* to the process */
void child_signal_group(const struct child *c, int number); /* to its process group, which it leads */

/* Whether pid is watched, and not reaped yet. */
bool children_know(const struct children *all, pid_t pid);

/* On SIGCHLD: reaps everything that has ended, known or not. */
void children_sweep(struct children *all);

#endif
