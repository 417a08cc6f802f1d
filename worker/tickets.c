/* Tickets are encrypted with the newest key. Those of the two generations before are still accepted
 * and answered with a new ticket; any other is unknown and means a full handshake. In TLS 1.3 every
 * ticket is answered with a new one: clients use one only once, and OpenSSL sends none unless
 * asked.
 *
 * The keys are used where they lie in the sealed memory; OpenSSL wipes what it makes of them when
 * the ticket is done, so behind a rotation nothing of the oldest key is left. */
#include "worker/tickets.h"
#include "common/base.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define SURE_GENERATIONS (TLS_MAX_TICKETS - 1) /* for which every ticket is good */
#define COARSE_MS        60000
#define LONGEST_SECONDS  (7 * 24 * 3600) /* RFC 8446, 4.6.1 */
#define CALLBACK_FAILED  (-1)
#define CALLBACK_UNKNOWN 0
#define CALLBACK_USE     1
#define CALLBACK_RENEW   2

void tickets_init(struct tickets *t)
{
	*t = (struct tickets){0};
	pthread_mutex_init(&t->lock, NULL);
}

void tickets_deinit(struct tickets *t)
{
	secret_unmap(&t->secret);
	t->keys = (struct tls_tickets){0};
	EVP_CIPHER_free(t->cipher);
	t->cipher = NULL;
}

int tickets_take(struct tickets *t, int fd)
{
	struct secret secret, former;
	struct tls_tickets keys;
	int bad = secret_map(&secret, fd, TLS_TICKETS_BYTES);

	if (bad)
		return bad;
	bad = tls_read_tickets(secret.memory, secret.len_bytes, &keys);
	if (bad) {
		secret_unmap(&secret);
		return bad;
	}
	pthread_mutex_lock(&t->lock);
	former = t->secret;
	t->secret = secret;
	t->keys = keys;
	pthread_mutex_unlock(&t->lock);
	secret_unmap(&former);
	return 0;
}

bool tickets_any(struct tickets *t)
{
	bool any;

	pthread_mutex_lock(&t->lock);
	any = t->keys.count;
	pthread_mutex_unlock(&t->lock);
	return any;
}

long tickets_seconds(struct tickets *t)
{
	uint64_t seconds;

	pthread_mutex_lock(&t->lock);
	seconds = (SURE_GENERATIONS * t->keys.lifetime_ms + 999) / 1000;
	if (t->keys.lifetime_ms < COARSE_MS)
		seconds++; /* OpenSSL counts whole ones */
	if (!t->keys.count)
		seconds = 0;
	pthread_mutex_unlock(&t->lock);
	return (long)MIN(seconds, (uint64_t)LONGEST_SECONDS);
}

static bool set_hmac(EVP_MAC_CTX *hmac, const struct tls_ticket_key *key)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_MAC_PARAM_KEY, (void *)key->hmac, sizeof(key->hmac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(hmac, params);
}

/* Under the lock. */
static int encrypt(
	struct tickets *t, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *hmac)
{
	const struct tls_ticket_key *key = t->keys.keys[0];

	if (!t->keys.count)
		return CALLBACK_UNKNOWN;
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1)
		return CALLBACK_FAILED;
	memcpy(name, key->name, sizeof(key->name));
	if (!EVP_EncryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) || !set_hmac(hmac, key))
		return CALLBACK_FAILED;
	return CALLBACK_USE;
}

/* Under the lock. */
static int decrypt(struct tickets *t, const uint8_t *name, const uint8_t *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *hmac)
{
	for (unsigned i = 0; i < t->keys.count; i++) {
		const struct tls_ticket_key *key = t->keys.keys[i];

		if (memcmp(name, key->name, sizeof(key->name)) != 0)
			continue;
		if (!EVP_DecryptInit_ex2(cipher, t->cipher, key->aes, iv, NULL) ||
			!set_hmac(hmac, key))
			return CALLBACK_FAILED;
		return i ? CALLBACK_RENEW : CALLBACK_USE;
	}
	return CALLBACK_UNKNOWN;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *hmac, int encrypts)
{
	struct tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int answer;

	pthread_mutex_lock(&t->lock);
	answer = encrypts ? encrypt(t, name, iv, cipher, hmac) : decrypt(t, name, iv, cipher, hmac);
	pthread_mutex_unlock(&t->lock);
	if (answer == CALLBACK_USE && !encrypts && SSL_version(ssl) == TLS1_3_VERSION)
		return CALLBACK_RENEW;
	return answer;
}

int tickets_attach(struct tickets *t, SSL_CTX *ctx)
{
	if (!t->cipher)
		t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!t->cipher || !SSL_CTX_set_app_data(ctx, t))
		return -ENOMEM;
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	return 0;
}
