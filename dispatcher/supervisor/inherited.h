/* Listening sockets that whoever started us has opened, as sd_listen_fds(3) describes it. */
#ifndef SUPERVISOR_INHERITED_H
#define SUPERVISOR_INHERITED_H

#include <sys/types.h>

#define INHERITED_FIRST      3    /* the first descriptor */
#define INHERITED_MAX        1024 /* descriptors */
#define INHERITED_NAME_BYTES 256

enum inherited_answer {
	INHERITED_NONE = 1,  /* nothing is meant for us */
	INHERITED_WRONG = 2, /* LISTEN_FDS is no number from 1 to INHERITED_MAX */
};

/* How many descriptors there are for the process self, from the values of LISTEN_PID and LISTEN_FDS
 * (NULL: not set). Pure. 0 or an answer above. */
int inherited_count(
	pid_t self, const char *listen_pid, const char *listen_fds, unsigned *ret_count);

/* The name of one of them in LISTEN_FDNAMES (NULL: not set), cut to fit; "" without one. Pure. */
const char *inherited_name(
	const char *listen_fdnames, unsigned index, char ret_name[INHERITED_NAME_BYTES]);

#endif
