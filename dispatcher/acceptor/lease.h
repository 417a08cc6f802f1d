/* The listeners are given to the next dispatcher, when the supervisor of this one was killed. */
#ifndef ACCEPTOR_LEASE_H
#define ACCEPTOR_LEASE_H

#include <sys/types.h>

struct acceptor;

/* Why the process of this user may not take over, NULL: it may. */
const char *lease_refusal(const struct acceptor *a, uid_t uid);

/* Gives everything over this connection (borrowed: it is duplicated), and waits for its end. */
void lease_begin(struct acceptor *a, int connection);

/* Closes the listeners; the workers finish what they serve, and then the loop ends. */
void lease_retire(struct acceptor *a);

/* After any change of an acceptor that retires: ends the loop when nobody is left to be served. */
void lease_look(struct acceptor *a);

#endif
