/* A certificate with those that lead from it to an authority, and its key. */
#ifndef KEYS_PAIR_H
#define KEYS_PAIR_H

#include "dispatcher/keys/say.h"

#include <openssl/x509.h>

/* Where a pair is written. */
struct pair_source {
	const char *cert, *key;		    /* paths */
	const char *cert_where, *key_where; /* "file:line" */
	const char *name;		    /* of TLS_SNI; NULL: for everybody */
};

struct pair {
	STACK_OF(X509) *chain; /* the first is the certificate itself */
	EVP_PKEY *key;
	struct settings_stamp stamp; /* of the certificate's file */
};

/* Reads and checks it, and tells everything that is wrong. 0 (undo with pair_free) or -EINVAL. */
int pair_read(struct say *s, const struct pair_source *from, struct pair *ret_pair);
void pair_free(struct pair *p); /* one that was never filled is fine */

/* Its names and its end, told to the supervisor. */
void pair_tell(struct say *s, const struct pair_source *from, const struct pair *p);

const char *pair_kind(const struct pair *p); /* "RSA", "EC", ... */
X509 *pair_leaf(const struct pair *p);

#endif
