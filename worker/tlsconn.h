/* TLS of one connection, over its non-blocking socket. One thread at a time. */
#ifndef WORKER_TLSCONN_H
#define WORKER_TLSCONN_H

#include "worker/worker.h"

#include <openssl/bio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tlsconn;
struct tlsset;

/* A server's side on fd (borrowed, must outlive it); takes a reference of its own. 0 or -ENOMEM. */
int tlsconn_new(struct tlsset *set, int fd, struct tlsconn **ret_tls);
struct tlsconn *tlsconn_free(struct tlsconn *t); /* NULL is fine; returns NULL */

/* All of these: -EAGAIN when the socket must become ready for tlsconn_wants() first; -ECONNRESET
 * when the client went without saying so; -EPROTO for what is no TLS, tlsconn_reason() says why. */
int tlsconn_handshake(struct tlsconn *t);                              /* 0: done */
ssize_t tlsconn_read(struct tlsconn *t, void *buf, size_t size);       /* 0: the client's end */
ssize_t tlsconn_write(struct tlsconn *t, const void *buf, size_t len); /* bytes taken, never 0 */
/* Says that nothing more is sent; 0 if nobody can hear. closes: the socket is closed at once. */
int tlsconn_goodbye(struct tlsconn *t, bool closes);

/* Before waiting for the client: lets go of what waits for more to be sent. */
void tlsconn_push(struct tlsconn *t);

/* Of the BIO that all connections of a set share. */
int tlsconn_bio_write(BIO *bio, const char *data, int len);
int tlsconn_bio_read(BIO *bio, char *data, int size);

uint32_t tlsconn_wants(const struct tlsconn *t); /* EPOLLIN or EPOLLOUT */
bool tlsconn_pending(const struct tlsconn *t);   /* may be read from without asking the socket */
bool tlsconn_is_done(const struct tlsconn *t);   /* the handshake */
uint64_t tlsconn_handshake_ms(const struct tlsconn *t); /* may last, 0: for ever */
const char *tlsconn_reason(const struct tlsconn *t);
const struct worker_tls *tlsconn_facts(struct tlsconn *t); /* NULL before the handshake is done */

#endif
