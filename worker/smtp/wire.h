/* A connection to another server, for a thread that may wait: bounded by a time-out. */
#ifndef WORKER_SMTP_WIRE_H
#define WORKER_SMTP_WIRE_H

#include "worker/smtp/params.h"

#define WIRE_LINE_BYTES 2048

struct wire {
	int fd; /* -1: none */
	unsigned timeout_ms;
	size_t at, end;
	char in[4096];
};

/* Each returns 0 or -errno; after a failure only wire_close() makes sense. */
int wire_connect(struct wire *w, const struct peer *to, unsigned timeout_ms);
int wire_send(struct wire *w, const char *data, size_t len);
/* Without its line end; what does not fit is cut off. */
int wire_line(struct wire *w, char ret_line[WIRE_LINE_BYTES]);
void wire_close(struct wire *w);

#endif
