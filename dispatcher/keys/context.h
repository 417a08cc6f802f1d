/* Whether OpenSSL will take what a service's workers are going to give it. */
#ifndef KEYS_CONTEXT_H
#define KEYS_CONTEXT_H

#include "dispatcher/keys/pair.h"

/* Tells what is wrong with TLS_CIPHERS, TLS_CIPHERSUITES and TLS_GROUPS. */
void context_check_lists(struct say *s, const struct settings *settings,
	const struct service_settings *svc);

/* Tells when it cannot be used with these ciphers, as when its key is too short for them. */
void context_check_pair(struct say *s, const struct pair_source *from, const struct pair *p);

/* Tells what is wrong with TLS_CLIENT_CA. Its certificates as PEM (BIO_free), or NULL. */
BIO *context_read_authorities(struct say *s, const struct settings *settings,
	const struct service_settings *svc);

#endif
