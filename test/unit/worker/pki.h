/* Certificates that are made while the test runs, and what the dispatcher would send of them. */
#ifndef TEST_UNIT_WORKER_PKI_H
#define TEST_UNIT_WORKER_PKI_H

#include "common/tls.h"
#include "test/unit/worker/fake.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

struct pki {
	EVP_PKEY *key;
	X509 *certificate;
	char *chain_pem, *key_pem;
};

/* type: "EC" or "RSA"; issuer NULL: it signs itself. */
void pki_make(struct pki *p, const char *type, const char *name, const struct pki *issuer);
void pki_free(struct pki *p);

/* A bundle in the making. */
struct bundle {
	struct msg_writer writer;
	uint8_t record[65536];
};

void bundle_begin(struct bundle *b, uint32_t min_version);
void bundle_pair(struct bundle *b, const struct pki *p, const char *name); /* NULL: default */
void bundle_send(struct bundle *b, struct fake *f);

/* Ticket keys made of these bytes, the newest first; 0 ends. */
void tickets_send(struct fake *f, const char *bytes);

#endif
