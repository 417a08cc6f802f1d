/* The keys of session tickets, which all workers of a service share: so a client resumes with any
 * of them, in TLS 1.2 and in TLS 1.3. */
#ifndef WORKER_TICKETS_H
#define WORKER_TICKETS_H

#include "common/tls.h"
#include "worker/secret.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

struct tickets {
	pthread_mutex_t lock; /* of all below: in thread style several threads shake hands */
	struct secret secret;
	struct tls_tickets keys; /* count 0: none */
	EVP_CIPHER *cipher;
};

void tickets_init(struct tickets *t);
void tickets_deinit(struct tickets *t);

/* Takes the memory of a MSG_TICKETS (fd is borrowed) instead of the former. 0 or -errno with
 * nothing changed. */
int tickets_take(struct tickets *t, int fd);

bool tickets_any(struct tickets *t);
long tickets_seconds(struct tickets *t); /* a ticket is worth nothing after this; 0: no keys yet */

/* Makes ctx use them, as long as it lives. 0 or -ENOMEM. */
int tickets_attach(struct tickets *t, SSL_CTX *ctx);

#endif
