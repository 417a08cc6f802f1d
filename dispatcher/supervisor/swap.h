/* Everything that other settings need beside those in force, got ready before anything changes, and then
 * put in force at once. */
#ifndef SUPERVISOR_SWAP_H
#define SUPERVISOR_SWAP_H

#include "dispatcher/supervisor/reader.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sv;
struct swap;

enum swap_answer {
	SWAP_WAIT = 1,	  /* an address is still being given up: ask again in a moment */
	SWAP_REFUSED = 2, /* told why */
};

/* read: what was read, with its comparison; moved into the swap. 0 or -errno; then read is untouched. */
int swap_new(struct sv *sv, struct reader_result *read, struct swap **ret_swap);
struct swap *swap_free(struct swap *s); /* with all that was got ready; NULL is fine; returns NULL */

/* Binds what is new. tell: lines for the operator. 0, an answer above or -errno. */
int swap_bind(struct swap *s, FILE *tell);

/* Starts a worker of each service whose workers must be new ones, and calls once: error is NULL when
 * all are ready (or none is needed), else what the operator must know. 0 or -errno. */
typedef void swap_tried(void *user, const char *error);
int swap_try_workers(struct swap *s, swap_tried *tried, void *user);

/* The tables as an acceptor will see them. */
const struct reader_result *swap_tables(const struct swap *s);
const struct diff *swap_diff(const struct swap *s);

/* No acceptor runs: all of it is in force, or, with -errno, nothing. since_ms: when the reload began. */
int swap_commit(struct swap *s, uint64_t since_ms);

#endif
