/* The contexts that a bundle asks for: one per set of certificates, found by the name that a client
 * asks for. Connections keep the set that they began with. */
#ifndef WORKER_TLSSET_H
#define WORKER_TLSSET_H

#include "worker/tickets.h"

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

struct tlsset;

/* Makes the set of a bundle, with one reference; tickets must outlive it. 0, or -EINVAL or -ENOMEM
 * with the reason in ret_why. */
int tlsset_new(const struct tls_bundle *b, const char *service, struct tickets *t,
	struct tlsset **ret_set, char *ret_why, size_t size);
struct tlsset *tlsset_ref(struct tlsset *s);
struct tlsset *tlsset_unref(struct tlsset *s); /* NULL is fine; returns NULL */

SSL *tlsset_open(struct tlsset *s); /* a server's; NULL: no memory */
const BIO_METHOD *tlsset_bio(const struct tlsset *s);
uint64_t tlsset_handshake_ms(const struct tlsset *s);
void tlsset_lifetime(struct tlsset *s, long seconds); /* of tickets that are given from now on */

#endif
