/* When to start a process again that must always run: at once, unless it keeps dying early. */
#ifndef SUPERVISOR_BACKOFF_H
#define SUPERVISOR_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint64_t started_ms;
	uint64_t wait_ms; /* of the last early death; 0: none */
};

void backoff_started(struct backoff *b, uint64_t now_ms);
uint64_t backoff_died(struct backoff *b, uint64_t now_ms); /* how long to wait */

#endif
