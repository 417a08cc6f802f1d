/* The last words of one source of log lines, for the record of a worker that is killed. Pure. */
#ifndef SUPERVISOR_LOGTAIL_H
#define SUPERVISOR_LOGTAIL_H

#include <stddef.h>

#define LOGTAIL_BYTES 4096

/* Zeroed: nothing said yet. The memory is there only when something was. */
struct logtail {
	char *text; /* a ring of LOGTAIL_BYTES */
	size_t next; /* where the next byte goes */
	size_t len;
};

void logtail_add(struct logtail *t, const char *lines, size_t len); /* without memory: forgotten */
/* Copies what is kept, from the beginning of a line on (a longer one: its end). Returns the length. */
size_t logtail_copy(const struct logtail *t, char ret_text[LOGTAIL_BYTES]);
void logtail_deinit(struct logtail *t);

#endif
