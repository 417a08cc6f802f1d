/* The acceptor that serves on after its supervisor was killed: its listeners become ours, it and
 * its workers finish what they serve. */
#ifndef SUPERVISOR_FORMER_H
#define SUPERVISOR_FORMER_H

#include <stdbool.h>

struct adopted;
struct children;
struct former;
struct settings;

struct former_world {
	const struct settings *settings;
	struct children *children;
	int settings_fd, log_fd;
};

/* Has everything behind this connection (to its control socket; owned) put into adopted; waits for
 * that, at most 10 s. 0 with *ret_former, to be told when our acceptor accepts; or with NULL:
 * nothing was had, and a line of the log says why. -errno. */
int former_take_consume(const struct former_world *world, int connection, struct adopted *adopted,
	struct former **ret_former);

/* False: the lease has ended, and the former acceptor accepts again. NULL is fine. */
bool former_holds(const struct former *f);
int former_done(struct former *f); /* our acceptor accepts: it may retire; 0 or as chan_send */
struct former *former_free(struct former *f); /* told nothing, it goes on as before */

#endif
