/* A worker started by hand: its own dispatcher, for debuggers and tests. */
#ifndef WORKER_BYHAND_H
#define WORKER_BYHAND_H

struct worker;
struct byhand;

/* The descriptors that connect a worker with its dispatcher; each owned by whoever holds the
 * struct. */
struct link_fds {
	int channel, page, bell, doorbell;
};

enum byhand_answer { BYHAND_HELP = 1 };

/* Reads the arguments, listens, and leaves the worker's ends in *ret_fds, MSG_SETUP already sent.
 * 0, BYHAND_HELP (help was printed) or -errno (the reason was printed). */
int byhand_new(int argc, char **argv, struct byhand **ret_byhand, struct link_fds *ret_fds);

/* Begins to accept; ends the worker by SIGTERM or SIGINT. 0 or -errno. */
int byhand_start(struct byhand *b, struct worker *w);
void byhand_close(struct byhand *b);          /* stops; its uv handles go at the loop's next turn */
struct byhand *byhand_free(struct byhand *b); /* NULL is fine; returns NULL */

#endif
