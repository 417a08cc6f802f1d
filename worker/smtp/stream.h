/* Bytes of a client to lines and to the text of messages: pure, strict about CR LF. */
#ifndef WORKER_SMTP_STREAM_H
#define WORKER_SMTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_LINE_BYTES 2048 /* of a command with its CR LF */

/* A line, as it comes. All zero: empty. */
struct line {
	size_t len;
	bool cr, is_long, is_done;
	char text[STREAM_LINE_BYTES];
};

enum { LINE_MORE, LINE_DONE, LINE_TOO_LONG, LINE_BARE };

/* Takes bytes to the end of the line and no further. LINE_DONE: text ends with NUL, in place of CR
 * LF, and what comes next begins a new one. LINE_BARE: a CR or LF stands alone; nothing more may be
 * read. */
int line_feed(struct line *l, const char *data, size_t len, size_t *ret_used);

/* The text of a message, as it comes: lines end with LF alone when they leave. */
struct body {
	uint8_t state;
	bool bare;     /* there was a CR or LF that stands alone */
	uint64_t size; /* as transferred, without what dots and the end took */
	void (*give)(void *arg, const char *data, size_t len);
	void *arg;
};

void body_begin(struct body *b, void (*give)(void *, const char *, size_t), void *arg);
/* Of DATA: true once <CRLF>.<CRLF> has been seen; what stands behind is not taken. */
bool body_feed(struct body *b, const char *data, size_t len, size_t *ret_used);
/* Of BDAT: all is text. */
void body_feed_plain(struct body *b, const char *data, size_t len);
void body_end_plain(struct body *b); /* behind the last: ends an open line */

#endif
