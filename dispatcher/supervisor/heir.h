/* The process that takes the listeners of a former dispatcher's acceptor, and believes it nothing.
 */
#ifndef SUPERVISOR_HEIR_H
#define SUPERVISOR_HEIR_H

#include <stdint.h>

#define HEIR_CONNECTION 3 /* to the former acceptor's control socket */
#define HEIR_CHANNEL    4 /* to the supervisor */
#define HEIR_SETTINGS   5 /* the block with what is to be listened on */
#define HEIR_TEXT_BYTES 160

enum heir_type {
	/* heir -> supervisor */
	HEIR_LISTENER = 1, /* one that was proved, with the record */
	HEIR_ALL,          /* that were all: it waits for HEIR_DONE */
	HEIR_FAILED,       /* text says why; it ends */
	/* supervisor -> heir */
	HEIR_DONE, /* our own acceptor accepts: the former one shall retire */
};

struct heir_record {
	uint32_t type;
	char text[HEIR_TEXT_BYTES]; /* NUL-terminated */
};

int heir_main(int argc, char **argv);

#endif
