/* Which system calls of the program are asked about. */
#ifndef WORKER_NOTIFY_FILTER_H
#define WORKER_NOTIFY_FILTER_H

/* Puts the filter on this process and all that it starts. A descriptor to answer by, or -errno. */
int filter_load(void);

#endif
