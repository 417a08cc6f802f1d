/* The parameters of dispatcher-smtp: read once, before the first client. */
#ifndef WORKER_SMTP_PARAMS_H
#define WORKER_SMTP_PARAMS_H

#include "worker/smtp/session.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* An address of another server: a path, or a host and a port. */
struct peer {
	char host[256];
	char port[32]; /* empty: host is the path of a unix socket */
};

struct params {
	struct session_options session;
	char hostname[256];
	const char *domains; /* with blanks or commas between them; "*": any; NULL: none */
	const char *maildir; /* with %d and %u; NULL: next */
	bool create;
	struct peer next;
	bool next_lmtp;
	struct peer auth;
	unsigned timeout_ms;
};

int params_read(struct worker *w, struct params *ret); /* 0, or -1 and it has said why */
bool params_is_ours(const struct params *p, const char *domain);

#endif
