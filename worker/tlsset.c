/* Pairs with the same name (an RSA one beside an ECDSA one) go into one context, where OpenSSL
 * chooses by what the client can do; names with the same pairs share theirs. All contexts have the
 * same options and the same session id context, so a ticket is good in any of them, and none has a
 * cache: workers remember nothing of a client.
 *
 * No early data: it could be replayed once per worker. No renegotiation, no compression. */
#include "worker/tlsset.h"
#include "common/base.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <string.h>

#define PAIRS_PER_NAME  4 /* a context holds one for each type of key */
#define DEFAULT_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define DEFAULT_GROUPS  "X25519:P-256:P-384"

struct context {
	SSL_CTX *ctx;
	unsigned pairs[PAIRS_PER_NAME], count;
};

struct named {
	char *name;
	SSL_CTX *ctx; /* one of contexts */
};

struct tlsset {
	atomic_uint refs;
	struct context *contexts; /* the first is the default */
	struct named *names;      /* sorted */
	unsigned context_count, name_count;
	uint8_t *alpn; /* as it goes over the wire */
	size_t alpn_len;
	uint64_t handshake_ms;
	BIO_METHOD *bio;
};

/* What making one needs at every step. */
struct making {
	const struct tls_bundle *bundle;
	struct tlsset *set;
	struct tickets *tickets;
	uint8_t id[SHA256_DIGEST_LENGTH]; /* session id context */
	const char *what;                 /* that failed */
};

static char *text_of(const struct tls_piece *p, const char *otherwise)
{
	return p->len_bytes ? strndup(p->data, p->len_bytes) : strdup(otherwise);
}

static BIO *open_piece(const struct tls_piece *p)
{
	return BIO_new_mem_buf(p->data, (int)p->len_bytes);
}

/* All certificates of a PEM text. NULL: none, or no memory. */
static STACK_OF(X509) * read_certificates(const struct tls_piece *p)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	BIO *bio = open_piece(p);
	X509 *one;

	while (all && bio && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (!sk_X509_push(all, one))
			X509_free(one);
	BIO_free(bio);
	if (all && sk_X509_num(all))
		return all;
	sk_X509_free(all);
	return NULL;
}

static bool use_pair(SSL_CTX *ctx, const struct tls_pair *pair)
{
	STACK_OF(X509) *chain = read_certificates(&pair->chain);
	X509 *leaf = chain ? sk_X509_shift(chain) : NULL;
	BIO *bio = open_piece(&pair->key);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	bool used = leaf && key && SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) == 1;

	BIO_free(bio);
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return used;
}

static bool use_authorities(SSL_CTX *ctx, const struct tls_bundle *b)
{
	STACK_OF(X509) *all = read_certificates(&b->client_ca);
	bool used = all;

	for (int i = 0; all && i < sk_X509_num(all); i++)
		used = used &&
		       X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(all, i)) &&
		       SSL_CTX_add_client_CA(ctx, sk_X509_value(all, i));
	sk_X509_pop_free(all, X509_free);
	SSL_CTX_set_verify(ctx,
		SSL_VERIFY_PEER |
			(b->client_auth == TLS_CLIENT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
							       : 0),
		NULL);
	return used;
}

/* The older versions are refused by OpenSSL's own level of security, not only by the number. */
static bool use_versions(SSL_CTX *ctx, const struct tls_bundle *b)
{
	if (b->min_version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);
	return SSL_CTX_set_min_proto_version(ctx, (int)b->min_version);
}

static const char *use_lists(SSL_CTX *ctx, const struct tls_bundle *b)
{
	OWNS_MEM char *ciphers = text_of(&b->ciphers, DEFAULT_CIPHERS);
	OWNS_MEM char *suites = text_of(&b->ciphersuites, "");
	OWNS_MEM char *groups = text_of(&b->groups, DEFAULT_GROUPS);

	if (!ciphers || !suites || !groups)
		return "memory";
	if (!SSL_CTX_set_cipher_list(ctx, ciphers))
		return "ciphers";
	if (*suites && !SSL_CTX_set_ciphersuites(ctx, suites))
		return "cipher suites";
	return SSL_CTX_set1_groups_list(ctx, groups) ? NULL : "groups";
}

static int on_protocols(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
	const unsigned char *offered, unsigned len, void *arg)
{
	const struct tlsset *s = arg;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, ret_len, s->alpn, (unsigned)s->alpn_len, offered, len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301: never another protocol than meant */
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static const struct named *find(const struct tlsset *s, char *name)
{
	const struct named key = {.name = name};

	return bsearch(&key, s->names, s->name_count, sizeof(*s->names), by_name);
}

static const struct named *find_any(const struct tlsset *s, const char *asked)
{
	char name[TLS_NAME_BYTES + 2];
	const struct named *found;
	size_t len = strlen(asked);
	char *dot;

	if (!len || len > TLS_NAME_BYTES)
		return NULL;
	for (size_t i = 0; i <= len; i++)
		name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] | 0x20) : asked[i];
	found = find(s, name);
	dot = strchr(name, '.');
	if (found || !dot || dot == name)
		return found;
	dot[-1] = '*';
	return find(s, dot - 1);
}

/* Who asks for an unknown name gets the default: what he makes of it is his to decide. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct named *found = asked ? find_any(arg, asked) : NULL;

	if (found)
		SSL_set_SSL_CTX(ssl, found->ctx);
	return asked ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void use_constants(struct making *m, SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, m->id, sizeof(m->id));
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, m->set);
	if (m->set->alpn_len)
		SSL_CTX_set_alpn_select_cb(ctx, on_protocols, m->set);
}

/* NULL, or what is wrong. */
static const char *fill(struct making *m, SSL_CTX *ctx, const struct context *c)
{
	const struct tls_bundle *b = m->bundle;
	const char *bad;

	use_constants(m, ctx);
	if (tickets_attach(m->tickets, ctx))
		return "ticket keys";
	if (!use_versions(ctx, b))
		return "minimum version";
	bad = use_lists(ctx, b);
	if (bad)
		return bad;
	for (unsigned i = 0; i < c->count; i++)
		if (!use_pair(ctx, &b->pairs[c->pairs[i]]))
			return "certificate and key";
	return b->client_auth && !use_authorities(ctx, b) ? "client authorities" : NULL;
}

/* The context with exactly these pairs, made if there is none yet; NULL: it could not be made. */
static SSL_CTX *context_of(struct making *m, const struct context *wanted)
{
	struct tlsset *s = m->set;
	struct context *c = &s->contexts[s->context_count];

	for (unsigned i = 0; i < s->context_count; i++)
		if (s->contexts[i].count == wanted->count &&
			!memcmp(s->contexts[i].pairs, wanted->pairs, sizeof(wanted->pairs)))
			return s->contexts[i].ctx;
	*c = *wanted;
	c->ctx = SSL_CTX_new(TLS_server_method());
	if (!c->ctx)
		return NULL;
	s->context_count++;
	m->what = fill(m, c->ctx, c);
	return m->what ? NULL : c->ctx;
}

static void add_pair(struct context *c, unsigned pair)
{
	if (c->count < PAIRS_PER_NAME)
		c->pairs[c->count++] = pair;
}

static bool make_default(struct making *m)
{
	struct context c = {0};

	for (unsigned i = 0; i < m->bundle->pair_count; i++)
		if (!m->bundle->pairs[i].name_count)
			add_pair(&c, i);
	return context_of(m, &c);
}

static bool same_name(const struct tls_piece *a, const struct tls_piece *b)
{
	return a->len_bytes == b->len_bytes && !memcmp(a->data, b->data, a->len_bytes);
}

static bool make_name(struct making *m, const struct tls_name *names, unsigned at)
{
	struct named *n = &m->set->names[m->set->name_count];
	struct context c = {0};

	for (unsigned i = 0; i < at; i++)
		if (same_name(&names[i].name, &names[at].name))
			return true; /* was made with all its pairs */
	for (unsigned i = at; i < m->bundle->name_count; i++)
		if (same_name(&names[i].name, &names[at].name))
			add_pair(&c, names[i].pair);
	n->name = text_of(&names[at].name, "");
	n->ctx = n->name ? context_of(m, &c) : NULL;
	m->set->name_count++;
	return n->ctx;
}

static bool make_names(struct making *m)
{
	for (unsigned i = 0; i < m->bundle->name_count; i++)
		if (!make_name(m, m->bundle->names, i))
			return false;
	qsort(m->set->names, m->set->name_count, sizeof(*m->set->names), by_name);
	return true;
}

static bool make_protocols(struct making *m)
{
	const struct tls_bundle *b = m->bundle;
	struct tlsset *s = m->set;

	s->alpn = malloc(TLS_MAX_PROTOCOLS * (1 + UINT8_MAX));
	for (unsigned i = 0; s->alpn && i < b->protocol_count; i++) {
		size_t len = b->protocols[i].len_bytes;

		s->alpn[s->alpn_len++] = (uint8_t)len;
		memcpy(s->alpn + s->alpn_len, b->protocols[i].data, len);
		s->alpn_len += len;
	}
	return s->alpn;
}

static long on_bio(BIO *bio, int command, long number, void *pointer)
{
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static bool make_bio(struct making *m)
{
	BIO_METHOD *bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "connection");

	m->set->bio = bio;
	return bio && BIO_meth_set_write(bio, tlsconn_bio_write) &&
	       BIO_meth_set_read(bio, tlsconn_bio_read) && BIO_meth_set_ctrl(bio, on_bio);
}

/* A ticket says that its owner was let in. It is worth that only where the same is asked of him. */
static void make_id(struct making *m, const char *service)
{
	const struct tls_bundle *b = m->bundle;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();

	if (digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
		EVP_DigestUpdate(digest, service, strlen(service) + 1);
		EVP_DigestUpdate(digest, &b->client_auth, sizeof(b->client_auth));
		EVP_DigestUpdate(digest, b->client_ca.data, b->client_ca.len_bytes);
		EVP_DigestFinal_ex(digest, m->id, NULL);
	}
	EVP_MD_CTX_free(digest);
}

int tlsset_new(const struct tls_bundle *b, const char *service, struct tickets *t,
	struct tlsset **ret_set, char *ret_why, size_t size)
{
	struct making m = {
		.bundle = b, .set = calloc(1, sizeof(*m.set)), .tickets = t, .what = "memory"};
	unsigned long code;

	if (!m.set)
		return -ENOMEM;
	m.set->refs = 1;
	m.set->handshake_ms = b->handshake_ms;
	m.set->contexts = calloc(b->name_count + 1, sizeof(*m.set->contexts));
	m.set->names = calloc(b->name_count + 1, sizeof(*m.set->names));
	make_id(&m, service);
	ERR_clear_error();
	if (m.set->contexts && m.set->names && make_bio(&m) && make_protocols(&m) &&
		make_default(&m) && make_names(&m)) {
		ERR_clear_error(); /* the end of a PEM text is one too */
		*ret_set = m.set;
		return 0;
	}
	code = ERR_peek_last_error();
	snprintf(ret_why, size, "%s: %s", m.what ? m.what : "memory",
		code ? ERR_reason_error_string(code) : "not usable");
	ERR_clear_error();
	tlsset_unref(m.set);
	return -EINVAL;
}

struct tlsset *tlsset_ref(struct tlsset *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

struct tlsset *tlsset_unref(struct tlsset *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return NULL;
	for (unsigned i = 0; i < s->context_count; i++)
		SSL_CTX_free(s->contexts[i].ctx);
	for (unsigned i = 0; i < s->name_count; i++)
		free(s->names[i].name);
	free(s->contexts);
	free(s->names);
	free(s->alpn);
	BIO_meth_free(s->bio);
	free(s);
	return NULL;
}

SSL *tlsset_open(struct tlsset *s)
{
	SSL *ssl = SSL_new(s->contexts[0].ctx);

	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl;
}

const BIO_METHOD *tlsset_bio(const struct tlsset *s)
{
	return s->bio;
}

uint64_t tlsset_handshake_ms(const struct tlsset *s)
{
	return s->handshake_ms;
}

void tlsset_lifetime(struct tlsset *s, long seconds)
{
	for (unsigned i = 0; i < s->context_count; i++)
		if (SSL_CTX_get_timeout(s->contexts[i].ctx) != seconds)
			SSL_CTX_set_timeout(s->contexts[i].ctx, seconds);
}
