/* What makes an unmodified server a worker (ADAPTER=server): its program, argv and environment. */
#ifndef SUPERVISOR_ADAPTATION_H
#define SUPERVISOR_ADAPTATION_H

#include "common/adapter.h"
#include "config/settings.h"

struct adaptation {
	char image[4096];	/* what is exec'ed */
	char library[4096];	/* of this project, without which the server cannot be adapted */
	const char **argv;	/* NULL-terminated */
	char text[ADAPTER_TEXT_BYTES + 32]; /* NAME=VALUE */
	char preload[4096];		    /* NAME=VALUE; empty: not by that method */
};

/* 0 or -errno. Undo with adaptation_free. */
int adaptation_make(const struct settings *s, const struct service_settings *svc, uint32_t ring_len,
	struct adaptation *ret_adaptation);
void adaptation_free(struct adaptation *a);

/* Puts its NAME=VALUE texts, borrowed, and NULL; there is room for three. */
void adaptation_put(const struct adaptation *a, const char **texts);

/* A bit for each listener that a worker started now is started for: those that are being given up have
 * their index still, but no program listens there any more. */
uint64_t adaptation_listeners(const struct settings *s, const struct service_settings *svc);

#endif
