/* What helps with servers that cannot be adapted as they are run. */
#ifndef SUPERVISOR_UNFIT_H
#define SUPERVISOR_UNFIT_H

#include <stdbool.h>
#include <sys/types.h>

/* How this program is kept from becoming a daemon, in words. */
const char *unfit_foreground(const char *image);

/* Whether it, or a process that descends from it, has an io_uring; and what helps. */
bool unfit_uses_uring(pid_t pid);
const char *unfit_uring(void);

#endif
