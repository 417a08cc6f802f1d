/* Workers that hold more than MAX_MEMORY are to be replaced. */
#ifndef SUPERVISOR_MEMORY_H
#define SUPERVISOR_MEMORY_H

#include <stdint.h>

#define MEMORY_LOOKS 3 /* in a row that find too much: a peak alone is no reason */

struct memory;
struct services;
struct uv_loop_s;
struct workers;

/* How many looks have found too much by now: `looks` before this one, which found so many bytes. MEMORY_LOOKS:
 * replace it. Below nine tenths of the limit (0: none) all is forgotten, between the two nothing changes.
 * Pure. */
unsigned memory_judge(unsigned looks, uint64_t bytes, uint64_t limit);

/* Looks every few seconds. Borrows all. 0 or -errno. */
int memory_new(struct uv_loop_s *loop, const struct services *services, const struct workers *workers,
	struct memory **ret_memory);
struct memory *memory_free(struct memory *memory); /* NULL is fine; returns NULL */

#endif
