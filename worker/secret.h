/* Sealed memory that holds keys, mapped so that they stay in this process alone. */
#ifndef WORKER_SECRET_H
#define WORKER_SECRET_H

#include <stddef.h>

struct secret {
	void *memory; /* NULL: none */
	size_t len_bytes;
};

/* Maps the memory behind fd (borrowed) for reading. 0, -EBADMSG (not sealed, empty, or longer than
 * max_bytes) or -errno. */
int secret_map(struct secret *s, int fd, size_t max_bytes);
void secret_unmap(struct secret *s); /* zeroed memory is fine */

#endif
