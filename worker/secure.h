/* What a worker has for TLS: the contexts of the last bundle and the ticket keys, as the dispatcher
 * sends them. */
#ifndef WORKER_SECURE_H
#define WORKER_SECURE_H

#include "common/msg.h"
#include "worker/tickets.h"

#include <pthread.h>
#include <stdbool.h>

struct worker;
struct worker_conn;
struct tlsconn;
struct tlsset;

struct secure {
	pthread_mutex_t lock; /* of all below: in thread style each thread opens for itself */
	struct tlsset *set;   /* NULL: no TLS */
	struct tickets tickets;
	uint64_t quiet_until_ms; /* no word of failed handshakes before */
	unsigned unsaid;         /* of them meanwhile */
};

void secure_init(struct secure *s);
void secure_deinit(struct secure *s); /* no connection is open any more */

/* What came with a MSG_TLS or MSG_TICKETS; owns fd. What is unusable is logged, and the former
 * stays. */
void secure_take_consume(struct worker *w, enum msg_type type, int fd);

bool secure_any(struct worker *w);

/* TLS for a connection that has none yet. 0, -ENOTSUP (no certificate came) or -ENOMEM. */
int secure_open(struct worker_conn *c);

#define SECURE_INJECTED "plaintext came behind the command that starts TLS"

/* What error of secure_open() or of the handshake means. */
const char *secure_reason(const struct worker_conn *c, int error);

/* Says why a connection came to nothing: one line, then none for ten seconds. */
void secure_complain(struct worker_conn *c, const char *why);

#endif
