/* Cuts what comes out of a pipe into lines of bounded length, and makes them fit for a log. Pure. */
#ifndef SUPERVISOR_LOGLINE_H
#define SUPERVISOR_LOGLINE_H

#include <stddef.h>

#define LOGLINE_BYTES 8192 /* a longer line is split, each part but the last ends in LOGLINE_MARK */
#define LOGLINE_MARK " [...]"
#define LOGLINE_OUT_BYTES (LOGLINE_BYTES * 4 + 64) /* what logline_escape may need */

/* The line that is still coming; the text is on the heap only while there is one. */
struct logline {
	char *text;
	size_t len;
};

typedef void logline_fn(void *user, const char *text, size_t len);

/* Calls for every line that is complete now, without its newline (and carriage return). */
void logline_feed(struct logline *l, const char *data, size_t len, logline_fn *call, void *user);
void logline_flush(struct logline *l, logline_fn *call, void *user); /* the last one, if any */

/* Copies text with control characters as \xHH (tabs stay). Returns the length, at most 4 x len. */
size_t logline_escape(const char *text, size_t len, char *ret_text);

#endif
