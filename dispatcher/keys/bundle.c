/* Certificates and keys are written anew as PEM: the bundle has nothing of what else stood in the files,
 * and a file that holds both gives each its part. The memory that a key passes through here is wiped, and
 * what OpenSSL keeps of it goes with the process, which leaves no core. */
#include "dispatcher/keys/bundle.h"
#include "common/tls.h"
#include "dispatcher/keys/context.h"
#include "dispatcher/keys/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define TLS_1_2 0x0303
#define TLS_1_3 0x0304

/* The kinds of keys that a name has so far. */
struct kind_taken {
	const char *name; /* NULL: for everybody */
	char kind[16];
};

struct making {
	struct say *say;
	const struct settings *settings;
	const struct service_settings *svc;
	struct msg_writer out;
	struct kind_taken *taken;
	unsigned taken_count;
};

static void put_bio(struct making *m, enum tls_fact fact, BIO *bio)
{
	char *data = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : 0;

	if (len > 0)
		tls_put(&m->out, fact, data, (size_t)len);
}

static void put_said(struct making *m, enum tls_fact fact, const struct settings_said *said)
{
	const char *text = settings_text(m->settings, said->text);

	if (text)
		tls_put_text(&m->out, fact, text);
}

static void put_options(struct making *m)
{
	const struct service_settings *svc = m->svc;

	_Static_assert((int)TLS_CLIENT_ASKED == (int)CLIENT_AUTH_OPTIONAL &&
			       (int)TLS_CLIENT_REQUIRED == (int)CLIENT_AUTH_REQUIRE,
		"the same numbers");
	tls_put_u32(&m->out, TLS_MIN_VERSION,
		svc->tls_min_version == TLS_VERSION_1_3 ? TLS_1_3 : TLS_1_2);
	put_said(m, TLS_CIPHERS, &svc->tls_ciphers);
	put_said(m, TLS_CIPHERSUITES, &svc->tls_ciphersuites);
	put_said(m, TLS_GROUPS, &svc->tls_groups);
	for (uint32_t i = 0; i < svc->tls_alpn.count; i++)
		tls_put_text(&m->out, TLS_PROTOCOL, settings_list_text(m->settings, svc->tls_alpn, i));
	tls_put_u32(&m->out, TLS_CLIENT_AUTH, svc->tls_client_auth);
	tls_put_u64(&m->out, TLS_HANDSHAKE_TIMEOUT, svc->tls_handshake_ms);
}

static void put_authorities(struct making *m)
{
	BIO *bio = context_read_authorities(m->say, m->settings, m->svc);

	put_bio(m, TLS_CLIENT_CA, bio);
	BIO_free(bio);
}

static void put_pair(struct making *m, const struct pair_source *from, const struct pair *p)
{
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_secmem());

	for (int i = 0; chain && i < sk_X509_num(p->chain); i++)
		PEM_write_bio_X509(chain, sk_X509_value(p->chain, i));
	if (key)
		PEM_write_bio_PKCS8PrivateKey(key, p->key, NULL, NULL, 0, NULL, NULL);
	put_bio(m, TLS_CHAIN, chain);
	put_bio(m, TLS_KEY, key);
	if (from->name)
		tls_put_text(&m->out, TLS_NAME, from->name);
	BIO_free(chain);
	BIO_free(key); /* secure memory is wiped when it is freed */
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Of two certificates for the same clients with keys of one kind only one would ever be used. */
static void check_kind(struct making *m, const struct pair_source *from, const struct pair *p)
{
	struct kind_taken *mine = &m->taken[m->taken_count++];

	mine->name = from->name;
	snprintf(mine->kind, sizeof(mine->kind), "%s", pair_kind(p));
	for (struct kind_taken *other = m->taken; other < mine; other++)
		if (same_name(other->name, mine->name) && !strcmp(other->kind, mine->kind))
			say_error(m->say, from->cert_where,
				"%s is the second certificate with a key of kind %s for %s; take one out",
				from->cert, mine->kind, from->name ? from->name : "everybody");
}

static void add_pair(struct making *m, const struct pair_source *from)
{
	struct pair p = {0};

	if (pair_read(m->say, from, &p))
		return;
	context_check_pair(m->say, from, &p);
	check_kind(m, from, &p);
	pair_tell(m->say, from, &p);
	put_pair(m, from, &p);
	pair_free(&p);
}

static void add_default(struct making *m, uint32_t index)
{
	const struct settings *s = m->settings;
	const struct settings_said *certs = settings_list_data(s, m->svc->tls_certs);
	const struct settings_said *keys = settings_list_data(s, m->svc->tls_keys);
	struct pair_source from = {.cert = settings_text(s, certs[index].text),
		.cert_where = settings_text(s, certs[index].where),
		.key = settings_text(s, keys[index].text),
		.key_where = settings_text(s, keys[index].where)};

	add_pair(m, &from);
}

static void add_sni(struct making *m, const struct settings_sni *sni)
{
	const char *where = settings_text(m->settings, sni->where);
	struct pair_source from = {.cert = settings_text(m->settings, sni->cert),
		.key = settings_text(m->settings, sni->key),
		.cert_where = where,
		.key_where = where,
		.name = settings_text(m->settings, sni->name)};

	add_pair(m, &from);
}

static uint64_t digest_of(const void *data, size_t len)
{
	unsigned char hash[EVP_MAX_MD_SIZE] = {0};
	uint64_t digest;

	EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL);
	memcpy(&digest, hash, sizeof(digest));
	return digest;
}

static int seal(const char *data, size_t len, int *ret_fd)
{
	OWNS_FD int fd = memfd_create("tls", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len;) {
		ssize_t put = write(fd, data + at, len - at);

		if (put <= 0)
			return put ? -errno : -EIO;
		at += (size_t)put;
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	*ret_fd = base_steal_fd(&fd);
	return 0;
}

static int hand_over(struct making *m, const void *buf)
{
	int64_t len = msg_end(&m->out);
	OWNS_FD int fd = -1;
	int bad;

	if (m->say->errors)
		return 0;
	if (len < 0) {
		say_error(m->say, settings_text(m->settings, m->svc->where),
			"the certificates of this service have more than %u bytes", TLS_BUNDLE_BYTES);
		return 0;
	}
	bad = seal(buf, (size_t)len, &fd);
	if (!bad)
		say_bundle(m->say, fd, digest_of(buf, (size_t)len));
	return bad;
}

int bundle_make(struct say *s, const struct settings *settings, const struct service_settings *svc)
{
	uint32_t pairs = svc->tls_certs.count + svc->tls_snis.count;
	OWNS_MEM struct kind_taken *taken = calloc(pairs + 1, sizeof(*taken));
	OWNS_MEM void *buf = malloc(TLS_BUNDLE_BYTES);
	struct making m = {.say = s, .settings = settings, .svc = svc, .taken = taken};
	const struct settings_sni *snis = settings_list_data(settings, svc->tls_snis);
	int bad;

	if (!taken || !buf)
		return -ENOMEM;
	msg_begin(&m.out, buf, TLS_BUNDLE_BYTES, MSG_TLS);
	put_options(&m);
	context_check_lists(s, settings, svc);
	put_authorities(&m);
	for (uint32_t i = 0; i < svc->tls_certs.count; i++)
		add_default(&m, i);
	for (uint32_t i = 0; i < svc->tls_snis.count; i++)
		add_sni(&m, &snis[i]);
	bad = hand_over(&m, buf);
	OPENSSL_cleanse(buf, MIN(m.out.len, (size_t)TLS_BUNDLE_BYTES));
	return bad;
}
