/* See pki.h. */
#include "test/unit/worker/pki.h"
#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static char *text_of(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	char *text = strndup(data, (size_t)len);

	BIO_free(bio);
	return text;
}

static void set_name(X509 *x, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(x);

	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
}

static X509 *certify(EVP_PKEY *key, const char *name, const struct pki *issuer)
{
	X509 *x = X509_new();
	X509_EXTENSION *authority;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 24 * 3600);
	X509_set_pubkey(x, key);
	set_name(x, name);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer->certificate : x));
	authority = X509V3_EXT_conf_nid(
		NULL, NULL, NID_basic_constraints, issuer ? "CA:FALSE" : "CA:TRUE");
	X509_add_ext(x, authority, -1);
	X509_EXTENSION_free(authority);
	assert_true(X509_sign(x, issuer ? issuer->key : key, EVP_sha256()) > 0);
	return x;
}

void pki_make(struct pki *p, const char *type, const char *name, const struct pki *issuer)
{
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

	p->key = !strcmp(type, "RSA") ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
				      : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	assert_non_null(p->key);
	p->certificate = certify(p->key, name, issuer);
	PEM_write_bio_X509(chain, p->certificate);
	PEM_write_bio_PrivateKey(key, p->key, NULL, NULL, 0, NULL, NULL);
	p->chain_pem = text_of(chain);
	p->key_pem = text_of(key);
}

void pki_free(struct pki *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->certificate);
	free(p->chain_pem);
	free(p->key_pem);
}

void bundle_begin(struct bundle *b, uint32_t min_version)
{
	msg_begin(&b->writer, b->record, sizeof(b->record), MSG_TLS);
	tls_put_u32(&b->writer, TLS_MIN_VERSION, min_version);
	tls_put_u64(&b->writer, TLS_HANDSHAKE_TIMEOUT, 5000);
}

void bundle_pair(struct bundle *b, const struct pki *p, const char *name)
{
	tls_put_text(&b->writer, TLS_CHAIN, p->chain_pem);
	tls_put_text(&b->writer, TLS_KEY, p->key_pem);
	if (name)
		tls_put_text(&b->writer, TLS_NAME, name);
}

void bundle_send(struct bundle *b, struct fake *f)
{
	fake_send_memory(f, MSG_TLS, &b->writer);
}

void tickets_send(struct fake *f, const char *bytes)
{
	uint8_t record[TLS_TICKETS_BYTES];
	struct tls_ticket_key key;
	struct msg_writer w;

	msg_begin(&w, record, sizeof(record), MSG_TICKETS);
	tls_put_u64(&w, TLS_GENERATION, (uint64_t)bytes[0]);
	tls_put_u64(&w, TLS_LIFETIME, 3600000);
	for (; *bytes; bytes++) {
		memset(&key, *bytes, sizeof(key));
		for (unsigned i = 0; i < sizeof(key.aes); i++)
			key.aes[i] ^= (uint8_t)(i * 7 + 1);
		tls_put(&w, TLS_TICKET, &key, sizeof(key));
	}
	fake_send_memory(f, MSG_TICKETS, &w);
}
