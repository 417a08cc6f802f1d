/* Children of the supervisor: notices their end by pidfd, reaps each once, and reaps orphans that
 * were given to us as subreaper. */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>
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

/* Takes what a child has said: 1 when nothing more will come, 0 when more may, or -errno to give it
 * up. */
typedef int child_take_fn(void *user);

/* Without a loop: waits for the end of a child of ours that is not watched, and takes what it says
 * at `in` meanwhile, so that it never waits for us. 0, or -errno: why it was killed. */
int child_await(
	pid_t pid, int in, uint64_t patience_ms, child_take_fn *take, void *user, int *ret_status);

/* Whether pid is watched, and not reaped yet. */
bool children_know(const struct children *all, pid_t pid);

/* On SIGCHLD: reaps everything that has ended, known or not. */
void children_sweep(struct children *all);

#endif
