/* OpenSSL passes over names of a list that it does not know as long as it knows another one. So each is
 * tried alone: a cipher that was misspelt should not merely be absent. */
#include "dispatcher/keys/context.h"
#include "dispatcher/keys/keyfile.h"
#include "dispatcher/keys/pairtext.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

typedef int try_fn(SSL_CTX *ctx, const char *word);

static int try_cipher(SSL_CTX *ctx, const char *word)
{
	return SSL_CTX_set_cipher_list(ctx, word);
}

static int try_groups(SSL_CTX *ctx, const char *word)
{
	return SSL_CTX_set1_groups_list(ctx, word);
}

/* One that is not known leaves none of TLS 1.3. */
static int try_suite(SSL_CTX *ctx, const char *word)
{
	STACK_OF(SSL_CIPHER) *all;

	if (!SSL_CTX_set_ciphersuites(ctx, word))
		return 0;
	all = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++)
		if (!strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)), word))
			return 1;
	return 0;
}

/* What takes away or orders means nothing alone. */
static bool is_alone(const char *word)
{
	return *word && !strchr("!-+@", *word);
}

static void check_list(struct say *s, const struct settings *settings, const struct settings_said *said,
	const char *option, try_fn *try)
{
	const char *value = settings_text(settings, said->text);
	const char *where = settings_text(settings, said->where);
	OWNS_MEM char *copy = value ? strdup(value) : NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char *rest = copy, *word;

	while (ctx && rest && (word = strsep(&rest, ":,"))) {
		if (is_alone(word) && try(ctx, word) != 1)
			say_error(s, where, "%s: OpenSSL knows no %.60s, or does not allow it", option, word);
	}
	if (ctx && copy && try == try_cipher && try(ctx, value) != 1)
		say_error(s, where, "%s=%.100s: nothing is left of it%s", option, value, pair_reason());
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

void context_check_lists(struct say *s, const struct settings *settings,
	const struct service_settings *svc)
{
	check_list(s, settings, &svc->tls_ciphers, "TLS_CIPHERS", try_cipher);
	check_list(s, settings, &svc->tls_ciphersuites, "TLS_CIPHERSUITES", try_suite);
	check_list(s, settings, &svc->tls_groups, "TLS_GROUPS", try_groups);
}

void context_check_pair(struct say *s, const struct pair_source *from, const struct pair *p)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	STACK_OF(X509) *above = sk_X509_dup(p->chain);

	sk_X509_shift(above);
	if (ctx && SSL_CTX_use_cert_and_key(ctx, pair_leaf(p), p->key, above, 1) != 1)
		say_error(s, from->cert_where, "%s cannot be used%s", from->cert, pair_reason());
	sk_X509_free(above);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

/* --- clients --- */

static unsigned copy_certificates(const struct keyfile *f, BIO *out)
{
	BIO *in = BIO_new_mem_buf(f->data, (int)f->len);
	unsigned count = 0;
	X509 *cert;

	while (in && (cert = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL))) {
		count += PEM_write_bio_X509(out, cert) == 1;
		X509_free(cert);
	}
	BIO_free(in);
	return count;
}

BIO *context_read_authorities(struct say *s, const struct settings *settings,
	const struct service_settings *svc)
{
	const char *path = settings_text(settings, svc->tls_client_ca.text);
	const char *where = settings_text(settings, svc->tls_client_ca.where);
	char why[KEYFILE_WHY_BYTES];
	struct keyfile f = {0};
	BIO *out;

	if (!path || svc->tls_client_auth == CLIENT_AUTH_NONE)
		return NULL;
	if (keyfile_read(path, false, &f, why)) {
		say_error(s, where, "%s %s", path, why);
		return NULL;
	}
	out = BIO_new(BIO_s_mem());
	if (!out || !copy_certificates(&f, out)) {
		say_error(s, where, "%s holds no certificate that can be read%s", path, pair_reason());
		BIO_free(out);
		out = NULL;
	}
	ERR_clear_error();
	keyfile_free(&f);
	return out;
}
