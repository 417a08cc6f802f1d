/* The processes of adapted workers beside their first: none of them stays when a worker has ended or was
 * killed, and none of anybody else is ever touched. */
#ifndef SUPERVISOR_KIN_H
#define SUPERVISOR_KIN_H

#include <stdbool.h>
#include <sys/types.h>

struct children;
struct kin;
struct uv_loop_s;

/* Whose they are. Descriptors are borrowed for the call, -1: there is none. */
struct kin_of {
	pid_t pid; /* of the first process, which led a session when it began; it may have ended */
	int page;  /* its report page, which they have mapped */
	int log;   /* the reading end of its log pipe, which they may write to */
};

/* quiet: nobody is looked for any more. */
int kin_new(struct uv_loop_s *loop, const struct children *children, void (*quiet)(void *user), void *user,
	struct kin **ret_kin);
struct kin *kin_free(struct kin *kin); /* NULL is fine; returns NULL */

/* Kills them, and goes on looking for more until none is left. Returns how many there were. */
unsigned kin_kill(struct kin *kin, const struct kin_of *of);

/* Somebody is still being looked for. */
bool kin_under_way(const struct kin *kin);

#endif
