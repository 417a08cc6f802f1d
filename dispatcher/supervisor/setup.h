/* The first message to a worker, MSG_SETUP: everything it must know before its first connection. */
#ifndef SUPERVISOR_SETUP_H
#define SUPERVISOR_SETUP_H

#include "config/settings.h"

struct setup {
	uint32_t serial;
	uint32_t ring_len;
};

/* Sends it on the acceptor's end of a new channel. 0, -ENOBUFS (parameters too long) or -errno. */
int setup_send(int channel, const struct settings *s, const struct service_settings *svc,
	const struct setup *setup);

#endif
