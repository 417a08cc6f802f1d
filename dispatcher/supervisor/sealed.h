/* Memory that one process fills once and others only read: nobody can change it after that. */
#ifndef SUPERVISOR_SEALED_H
#define SUPERVISOR_SEALED_H

#include <stddef.h>

/* Empty memory, to be filled; the name shows in /proc. A descriptor or -errno. */
int sealed_memory(const char *name);

/* Writes the bytes and seals them. 0 or -errno. */
int sealed_fill(int fd, const void *bytes, size_t len);

/* Maps what was filled, for reading; undo with munmap. 0, -EBADMSG (not sealed, or empty) or -errno. */
int sealed_map(int fd, void **ret_block, size_t *ret_bytes);

#endif
