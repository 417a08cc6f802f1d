/* The lines that a receiver puts before a message: Return-Path and Received. Pure. */
#ifndef WORKER_SMTP_TRACE_H
#define WORKER_SMTP_TRACE_H

#include "worker/smtp/session.h"

#include <time.h>

#define TRACE_BYTES 2560

struct trace {
	const char *client; /* an address, "IPv6:" before those of IPv6; "": not known */
	const char *id;
	const char *tls; /* version and cipher; NULL: none */
	time_t when;
	bool is_last; /* delivered here: with Return-Path */
};

/* Lines end with LF. The length. */
size_t trace_write(const struct trace *t, const struct session *s, char ret_text[TRACE_BYTES]);

#endif
