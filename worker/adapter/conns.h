/* References of this process to clients' connections. */
#ifndef WORKER_ADAPTER_CONNS_H
#define WORKER_ADAPTER_CONNS_H

#include <stddef.h>
#include <stdint.h>

/* A descriptor of a connection is closed. When nobody sends any more and it was the last connection
 * of the worker, the program gets its stop signal. */
void conns_release(uint32_t tag);

/* A new descriptor with its word. If something else is still known of the number, that was closed
 * in a way that nobody saw. */
void conns_set(int fd, uint64_t word);

/* Every descriptor of this process: it ends. */
void conns_release_all(void);

/* A fork in four steps: prepare; fork; then, in the parent, conns_forked(), in the child
 * conns_born(). The child has a reference of its own for each descriptor. */
struct conns_fork {
	uint64_t *words; /* as they were counted; NULL: no other thread can have changed them */
	int highest;
};

void conns_prepare_fork(struct conns_fork *f);
void conns_forked(struct conns_fork *f, int child); /* negative: there is none */
void conns_born(struct conns_fork *f);

/* The same for a program that is executed by another process: only what it inherits. */
void conns_prepare_spawn(void);
void conns_undo_spawn(void);

/* This process executes another program: gives up what that does not inherit; and when it failed.
 */
void conns_prepare_exec(void);
void conns_undo_exec(void);

/* Stops the program if the dispatcher is gone and no connection is left. */
void conns_end_if_idle(void);

#endif
