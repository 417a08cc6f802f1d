/* One listening socket of a service, on the network or at a path. */
#ifndef SUPERVISOR_BINDING_H
#define SUPERVISOR_BINDING_H

#include "config/settings.h"
#include "dispatcher/supervisor/unixsock.h"

#include <stdbool.h>

struct adopted;

struct binding {
	const struct settings_listener *listener;
	const char *path; /* of a unix listener, else NULL */
	bool lent;	  /* whoever started us has it, too */
	struct unixsock sock;
	uint64_t left_ms; /* since when it is being given up alone, while its service stays open; 0: not */
	bool unsaid;	  /* it was, and the acceptor does not know yet */
	uint64_t gone_ms; /* when it was closed last: the acceptor may hold it a moment longer */
};

enum binding_answer {
	BINDING_SKIPPED = 1, /* a wildcard of an address family that this host has not */
	BINDING_COVERED = 2, /* a socket that was lent to us takes these clients, too */
};

/* adopted may be NULL. 0, an answer above or -errno. */
int binding_open(struct binding *b, struct adopted *adopted, const struct settings *s,
	const struct service_settings *svc, const struct settings_listener *listener);

/* No new client gets in; who waits already is still accepted. A TCP listener drops new SYNs (their
 * clients try again), a unix path is removed. One that was lent stays as it is: its clients wait for
 * whoever is started with it next. */
void binding_stop(struct binding *b);
void binding_close(struct binding *b);
bool binding_is_empty(const struct binding *b); /* nobody waits to be accepted */

/* Other settings of the same address. */
void binding_adjust(const struct binding *b, const struct service_settings *svc);

/* The process that listens on a TCP port already, 0 when it cannot be told. Reads all of /proc/PID/fd:
 * for a rare line in the log. */
pid_t binding_owner(const struct addr *addr);

#endif
