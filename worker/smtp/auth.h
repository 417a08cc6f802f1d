/* Names and passwords, as Dovecot knows them. */
#ifndef WORKER_SMTP_AUTH_H
#define WORKER_SMTP_AUTH_H

#include "worker/smtp/wire.h"

struct auth {
	struct wire wire;
	char facts[200]; /* of the client, for Dovecot's log and its limits */
	char user[256];  /* who it is, once that is known */
	char reply[512];
};

/* One step: a mechanism begins; without one it goes on; without both it is given up. As
 * session_ops.auth. */
const char *auth_step(
	struct auth *a, const struct params *p, const char *mechanism, const char *response);

#endif
