/* How the acceptor that a killed supervisor has left gives its listeners to the next dispatcher:
 * who takes them asks the verb "takeover" over the control socket, and behind an answer with status
 * 0 the same connection goes on with the records below, each sent whole.
 *
 * The connection is the lease. From the first record on the acceptor takes no new client; it goes
 * on as before when the connection ends, unless TAKEOVER_DONE came: then it retires. */
#ifndef DISPATCHER_TAKEOVER_H
#define DISPATCHER_TAKEOVER_H

#include <stdint.h>

#define TAKEOVER_VERB  "takeover"
#define TAKEOVER_MAGIC 0x44535431u /* "DST1": changes with what is said here */

enum takeover_type {
	/* acceptor -> heir */
	TAKEOVER_LISTENER = 1, /* a listening socket, with the record */
	TAKEOVER_ALL,          /* that were all */
	/* heir -> acceptor */
	TAKEOVER_DONE, /* somebody else accepts now: retire */
};

struct takeover_record {
	uint32_t magic;
	uint32_t type;
};

#endif
