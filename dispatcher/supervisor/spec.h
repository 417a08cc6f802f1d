/* What the exec step is told, in a memfd: a head, the groups, then NUL-terminated texts in the order
 * image, working directory, library, arguments, environment. Written by launch.c, read by execstep.c. */
#ifndef SUPERVISOR_SPEC_H
#define SUPERVISOR_SPEC_H

#include "config/settings.h"

#include <stdint.h>

#define SPEC_MAGIC 0x44535853u
#define SPEC_MAX_FDS 24	  /* descriptors that a child may be given, from 0 on */
#define SPEC_FD 30	  /* the memfd */
#define SPEC_FAILURE_FD 31 /* where a struct spec_failure is reported; closed by the exec */

struct spec_limit {
	uint32_t set;
	uint64_t soft, hard; /* SETTINGS_UNLIMITED = RLIM_INFINITY */
};

struct spec {
	uint32_t magic;
	uint32_t keep_fds; /* 0 .. keep_fds - 1 stay, everything above is closed */
	uint32_t reports;  /* 1: SPEC_FAILURE_FD is there; 0: failures are lines on stderr */
	uint32_t set_ids;  /* 1: become uid, gid and the groups */
	uint32_t uid, gid, group_count;
	uint32_t umask;
	int32_t nice;
	uint32_t batch; /* 1: SCHED_BATCH */
	int32_t oom_score_adj;
	uint32_t argc, envc;
	struct spec_limit limits[SETTINGS_LIMITS]; /* index RLIMIT_... */
};

struct spec_failure {
	int32_t error; /* positive errno */
	char step[28]; /* what failed, as "setresuid" */
};

#endif
