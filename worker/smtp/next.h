/* The next server: a message is passed on while it comes, and answered as that server answers. */
#ifndef WORKER_SMTP_NEXT_H
#define WORKER_SMTP_NEXT_H

#include "worker/smtp/wire.h"

struct next {
	const struct params *params;
	struct wire wire;
	bool whole;  /* the message has been sent: verdicts follow */
	bool begins; /* a line */
	bool utf8, eight_bit;
	const char *lost; /* the reply, once the connection is of no use */
	unsigned answered;
	size_t out_len;
	char reply[512];
	char out[16384];
};

void next_init(struct next *n, const struct params *p);
const char *next_recipient(struct next *n, const struct envelope *e, const struct address *to);
const char *next_begin(struct next *n);
void next_data(struct next *n, const char *data, size_t len);
void next_end(struct next *n);
const char *next_verdict(struct next *n);
void next_reset(struct next *n); /* before its end a message is taken back */

#endif
