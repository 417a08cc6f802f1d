/* Reading a pair, and whether its parts belong together. That a chain ends at an authority that clients
 * know cannot be found out here: there are too many kinds of clients. */
#include "dispatcher/keys/pair.h"
#include "dispatcher/keys/keyfile.h"
#include "dispatcher/keys/pairtext.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define CHAIN_MOST 16

X509 *pair_leaf(const struct pair *p)
{
	return sk_X509_value(p->chain, 0);
}

const char *pair_kind(const struct pair *p)
{
	const char *name = EVP_PKEY_get0_type_name(p->key);

	return name ? name : "unknown";
}

void pair_free(struct pair *p)
{
	sk_X509_pop_free(p->chain, X509_free);
	EVP_PKEY_free(p->key);
	*p = (struct pair){0};
}

/* --- reading --- */

static STACK_OF(X509) *parse_chain(const struct keyfile *f)
{
	BIO *in = BIO_new_mem_buf(f->data, (int)f->len);
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *cert;

	while (in && chain && sk_X509_num(chain) < CHAIN_MOST &&
		(cert = PEM_read_bio_X509(in, NULL, NULL, NULL)))
		if (!sk_X509_push(chain, cert))
			X509_free(cert);
	BIO_free(in);
	return chain;
}

static int read_chain(struct say *s, const struct pair_source *from, struct pair *p)
{
	char why[KEYFILE_WHY_BYTES];
	struct keyfile f = {0};

	if (keyfile_read(from->cert, false, &f, why)) {
		say_error(s, from->cert_where, "%s %s", from->cert, why);
		return -EINVAL;
	}
	p->stamp = f.stamp;
	p->chain = parse_chain(&f);
	keyfile_free(&f);
	if (p->chain && sk_X509_num(p->chain) > 0) {
		ERR_clear_error(); /* the end of the file counts as one */
		return 0;
	}
	say_error(s, from->cert_where, "%s holds no certificate that can be read%s", from->cert,
		pair_reason());
	return -EINVAL;
}

/* A passphrase could be given by nobody; so the empty one is tried, and fails. */
static int no_passphrase(char *buf, int size, int writes, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

static int read_key(struct say *s, const struct pair_source *from, struct pair *p)
{
	char why[KEYFILE_WHY_BYTES];
	struct keyfile f = {0};
	bool asked = false;
	BIO *in;

	if (keyfile_read(from->key, true, &f, why)) {
		say_error(s, from->key_where, "%s %s", from->key, why);
		return -EINVAL;
	}
	in = BIO_new_mem_buf(f.data, (int)f.len);
	p->key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &asked) : NULL;
	BIO_free(in);
	keyfile_free(&f);
	if (p->key)
		return 0;
	if (asked)
		say_error(s, from->key_where,
			"%s has a passphrase, and nobody is there to say it; write the key without one "
			"(openssl pkey -in ... -out ...)",
			from->key);
	else
		say_error(s, from->key_where, "%s holds no key that can be read%s", from->key,
			pair_reason());
	return -EINVAL;
}

/* --- what belongs together --- */

static void check_match(struct say *s, const struct pair_source *from, const struct pair *p)
{
	for (int i = 0; i < sk_X509_num(p->chain); i++) {
		if (X509_check_private_key(sk_X509_value(p->chain, i), p->key) != 1)
			continue;
		if (i)
			say_error(s, from->cert_where,
				"%s: the key belongs to certificate %d; it must be the first, those that "
				"lead to an authority behind it",
				from->cert, i + 1);
		return;
	}
	ERR_clear_error();
	say_error(s, from->key_where, "%s is not the key of the certificate in %s", from->key, from->cert);
}

static void check_order(struct say *s, const struct pair_source *from, const struct pair *p)
{
	char one[PAIR_NAME_BYTES], other[PAIR_NAME_BYTES];

	for (int i = 1; i < sk_X509_num(p->chain); i++) {
		X509 *cert = sk_X509_value(p->chain, i - 1), *above = sk_X509_value(p->chain, i);

		if (X509_check_issued(above, cert) == X509_V_OK)
			continue;
		say_error(s, from->cert_where,
			"%s: certificate %d (%s) has not issued certificate %d (%s); put each behind the one "
			"that it has issued",
			from->cert, i + 1, pair_subject(above, one), i, pair_subject(cert, other));
	}
}

static void check_dates(struct say *s, const struct pair_source *from, const struct pair *p)
{
	for (int i = 0; i < sk_X509_num(p->chain); i++) {
		X509 *cert = sk_X509_value(p->chain, i);
		char day[PAIR_DAY_BYTES], subject[PAIR_NAME_BYTES];

		if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
			say_dated(s, from->cert_where, "%s: the certificate of %s ended on %s; get a new one",
				from->cert, pair_subject(cert, subject),
				pair_day(X509_get0_notAfter(cert), day));
		if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
			say_dated(s, from->cert_where,
				"%s: the certificate of %s begins on %s; look at the clock, or wait",
				from->cert, pair_subject(cert, subject),
				pair_day(X509_get0_notBefore(cert), day));
	}
}

/* A wildcard is for any one label: one that nobody has stands for them. */
static void check_name(struct say *s, const struct pair_source *from, const struct pair *p)
{
	char tried[300], names[KEYS_NAMES_BYTES];

	if (!from->name)
		return;
	snprintf(tried, sizeof(tried), "%s%s", from->name[0] == '*' ? "any-name" : "",
		from->name + (from->name[0] == '*'));
	if (X509_check_host(pair_leaf(p), tried, 0, 0, NULL) == 1)
		return;
	pair_names(pair_leaf(p), names);
	say_error(s, from->cert_where, "%s is not for %s but for: %s", from->cert, from->name,
		*names ? names : "nobody");
}

int pair_read(struct say *s, const struct pair_source *from, struct pair *ret_pair)
{
	struct pair p = {0};
	unsigned before = s->errors;
	int no_chain = read_chain(s, from, &p), no_key = read_key(s, from, &p);

	if (!no_chain && !no_key)
		check_match(s, from, &p);
	if (!no_chain) {
		check_order(s, from, &p);
		check_dates(s, from, &p);
		check_name(s, from, &p);
	}
	if (s->errors != before) {
		pair_free(&p);
		return -EINVAL;
	}
	*ret_pair = p;
	return 0;
}

/* The first end counts, of whichever certificate it is. */
void pair_tell(struct say *s, const struct pair_source *from, const struct pair *p)
{
	uint64_t first = UINT64_MAX;
	char names[KEYS_NAMES_BYTES];

	for (int i = 0; i < sk_X509_num(p->chain); i++)
		first = MIN(first, pair_seconds(X509_get0_notAfter(sk_X509_value(p->chain, i))));
	pair_names(pair_leaf(p), names);
	say_cert(s, from->cert, &p->stamp, first, names);
}
