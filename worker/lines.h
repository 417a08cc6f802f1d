/* Cuts a stream of bytes into lines that end with LF or CRLF. */
#ifndef WORKER_LINES_H
#define WORKER_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_MAX_BYTES 8192 /* the longest line, without its end */

struct partial; /* the beginning of a line */

/* Calls line() for every line that ends in data (which is written to); it returns false to stop:
 * then the answer is the number of bytes behind that line, which are dropped. Else what is left
 * stays in *p, and the answer is 0. -EMSGSIZE (a line is too long) or -ENOMEM. */
int lines_feed(struct partial **p, char *data, size_t len,
	bool (*line)(void *arg, char *text, size_t len), void *arg);

/* Ends the line of len bytes before its LF with NUL, without CR. Returns its length. */
size_t lines_trim(char *line, size_t len);

struct partial *lines_free(struct partial *p); /* NULL is fine; returns NULL */

#endif
