/* Starts a process through the exec step, with just the descriptors, user and limits it shall have. */
#ifndef SUPERVISOR_LAUNCH_H
#define SUPERVISOR_LAUNCH_H

#include "dispatcher/supervisor/spec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCH_SELF "/proc/self/exe"

struct launch {
	const char *title;     /* argv[0] */
	const char *image;     /* LAUNCH_SELF: ours */
	const char *directory; /* NULL: / */
	const char *library;   /* that the image needs: must be readable to uid; NULL: none */
	const char *const *arguments; /* behind argv[0]; NULL-terminated or NULL */
	const char *path;	      /* the value of PATH; NULL: the standard one */
	const char *const *environment; /* NAME=VALUE beside PATH; NULL-terminated or NULL */
	uint32_t uid, gid;	/* SETTINGS_NO_ID: stay as we are */
	const uint32_t *groups; /* supplementary groups, all of them */
	uint32_t group_count;
	uint32_t umask;
	int nice, oom_score_adj;
	bool batch; /* SCHED_BATCH */
	struct spec_limit limits[SETTINGS_LIMITS];
	const int *fds; /* become 0, 1, ...; borrowed */
	unsigned fd_count;
};

/* Returns 0 with a child that is on its way, its own session's leader, or -errno. With ret_birth_fd:
 * a descriptor that becomes readable when the image runs (end of file) or could not be run (a struct
 * spec_failure). Without, a failure is a line on the child's stderr. */
int launch(const struct launch *l, pid_t *ret_pid, int *ret_birth_fd);

#endif
