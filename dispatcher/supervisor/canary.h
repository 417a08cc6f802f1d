/* A worker that is started from settings which are not in force yet, to see whether it gets ready. The
 * acceptor knows nothing of it. */
#ifndef SUPERVISOR_CANARY_H
#define SUPERVISOR_CANARY_H

#include "dispatcher/supervisor/worker.h"

struct canary;

/* error: NULL when it is ready, else why it never will be (for the operator, valid during the call). May
 * free the canary. Called at most once. */
typedef void canary_done(void *user, struct canary *c, const char *error);

/* world: as the workers', whose ops are not called for it. Never calls done from here. 0 or -errno. */
int canary_start(const struct worker_world *world, const struct settings *s, uint32_t service,
	uint32_t serial, uint32_t sink, canary_done *done, void *user, struct canary **ret_canary);
uint32_t canary_service(const struct canary *c); /* index in the settings it was started from */
bool canary_has_ended(const struct canary *c);

/* The worker, which is the caller's from now on; frees the canary. */
struct worker *canary_steal(struct canary *c);
struct canary *canary_free(struct canary *c); /* kills it; NULL is fine; returns NULL */

#endif
