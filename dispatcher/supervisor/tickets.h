/* The keys of one service's session tickets: made here, used by its workers, never on disk. */
#ifndef SUPERVISOR_TICKETS_H
#define SUPERVISOR_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

struct tickets {
	int fd;		     /* sealed memory (common/tls.h); -1: none */
	uint64_t generation; /* from 1 on */
	uint64_t rotated_ms; /* monotonic: since when the newest key is used */
};

/* So many rotations are due; 0: none, or there are no keys. At most as many as there are generations. */
unsigned tickets_due(const struct tickets *t, uint64_t lifetime_ms, uint64_t now_ms);

/* New memory with one more generation: the first (fd -1), or the next, whose oldest key is left out. Or
 * the same generation with another lifetime. The old memory is closed. 0, or -errno with nothing changed. */
int tickets_rotate(struct tickets *t, uint64_t lifetime_ms, uint64_t now_ms);
int tickets_set_lifetime(struct tickets *t, uint64_t lifetime_ms);

#endif
