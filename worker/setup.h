/* What the dispatcher says at the start: who this worker is, its limits, parameters and command. */
#ifndef WORKER_SETUP_H
#define WORKER_SETUP_H

#include "common/msg.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct setup {
	char *arena; /* holds all texts */
	char *service;
	uint32_t serial, debug, ring_len;
	struct worker_limits limits;
	char **params, **command, **listeners; /* NULL-terminated */
	uint32_t *secret;                      /* indexes of listeners where TLS starts at once */
	unsigned listener_count, secret_count;
	struct setup_name *heard; /* names of listeners that came later */
};

/* Reads a MSG_SETUP. 0, -EBADMSG or -ENOMEM; undo with setup_deinit. */
int setup_init(struct setup *s, const void *buf, size_t len_bytes);
void setup_deinit(struct setup *s); /* zeroed memory is fine */

/* Reads a number fact of MSG_SETUP or MSG_LIMITS into the setup; others are skipped. 0 or -EBADMSG.
 */
int setup_number(struct setup *s, const struct msg_value *v);

/* The name of a listener, "" for one that nobody has told. */
const char *setup_listener(const struct setup *s, uint32_t index);

bool setup_listener_tls(const struct setup *s, uint32_t index); /* TLS starts at once */

/* Reads the names of listeners in a MSG_LIMITS, which replace the former ones if there are any,
 * with what was said of their TLS; every name that was ever heard stays valid. 0, -EBADMSG or
 * -ENOMEM with nothing changed. */
int setup_listeners(struct setup *s, struct msg_reader r);

/* The value of parameter name (in any case); the last one said counts. NULL: not set. */
const char *setup_param(const struct setup *s, const char *name);

#endif
