/* What workers that are older than the settings must hear of: MSG_LIMITS of a service. */
#ifndef ACCEPTOR_LIMITS_H
#define ACCEPTOR_LIMITS_H

#include "config/settings.h"

struct limits {
	uint8_t *message; /* for as long as the process lives */
	size_t len;
	uint64_t digest; /* tells two messages apart; never 0 */
};

/* 0 or -errno (-ENOBUFS: too many names). */
int limits_make(struct limits *l, const struct settings *s, const struct service_settings *svc);

/* Sends it. As chan_send. */
int limits_send(const struct limits *l, int chan);

#endif
