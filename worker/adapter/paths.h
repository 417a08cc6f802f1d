/* The service's unix paths, which exist for the dispatcher but not yet for the program. */
#ifndef WORKER_ADAPTER_PATHS_H
#define WORKER_ADAPTER_PATHS_H

#include <stdint.h>

/* Looks where the service's paths are, while they can still be reached (before a chroot). */
void paths_init(void);

/* The listener with this path as a bit, 0: none. dirfd as of the *at functions. */
uint64_t paths_find(int dirfd, const char *path);

#endif
