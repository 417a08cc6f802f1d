/* Starts the program under the filter. */
#ifndef WORKER_NOTIFY_START_H
#define WORKER_NOTIFY_START_H

#include <signal.h>
#include <sys/types.h>

/* Runs argv[0] with argv as a child, its signal mask set to mask. Returns when it is running. 0, or
 * -errno; *ret_what then says of what. *ret_listener answers its calls. */
int start_program(char **argv, const sigset_t *mask, pid_t *ret_pid, int *ret_listener,
	const char **ret_what);

#endif
