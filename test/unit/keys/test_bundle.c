/* What dispatcher-keys makes of files is what workers read: every part of a bundle, in order. */
#include "common/base.h"
#include "common/chan.h"
#include "common/tls.h"
#include "config/host.h"
#include "config/load.h"
#include "dispatcher/keys/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char dir[] = "/tmp/keys-test-XXXXXX";
static char told[4096];

/* --- files --- */

static void add_names(X509 *cert, const char *names)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	assert_non_null(extension);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

static X509 *make_cert(EVP_PKEY *key, const char *names)
{
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -1000);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * 30);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	add_names(cert, names);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

/* One file with a certificate and its key in it, and a comment before each. */
static void write_pair(const char *name, EVP_PKEY *key, const char *names)
{
	X509 *cert = make_cert(key, names);
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fchmod(fileno(file), 0600);
	fputs("a key\n", file);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fputs("a certificate\n", file);
	PEM_write_X509(file, cert);
	fclose(file);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int write_files(void **state)
{
	assert_non_null(mkdtemp(dir));
	write_pair("ec", EVP_EC_gen("P-256"), "DNS:localhost");
	write_pair("rsa", EVP_RSA_gen(2048), "DNS:localhost");
	write_pair("sni", EVP_EC_gen("P-256"), "DNS:*.example.org,DNS:mail.example.org");
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = {"ec", "rsa", "sni", "cnf"};
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

/* --- a bundle --- */

static void tell(void *user, enum load_severity severity, const char *text)
{
	print_error("%s\n", text);
}

static struct settings *load(const char *lines)
{
	struct host host = {.uid = geteuid(), .gid = getegid(), .run_dir = "/run/test", .worker_dir = "/usr/bin"};
	struct settings *s = NULL;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cnf", dir);
	file = fopen(path, "w");
	fprintf(file, "[SERVICE=A]\nIMAGE=/bin/true\nTLS_PORT=7\n%s", lines);
	fclose(file);
	assert_int_equal(load_settings_on(&host, path, tell, NULL, &s), 0);
	return s;
}

/* Everything that was said; the memory of the bundle, -1: there is none. */
static int listen_to(int reader, uint64_t *ret_digest)
{
	struct key_record r;
	unsigned count;
	int bundle = -1, fd;
	size_t len;

	told[0] = '\0';
	for (;;) {
		count = 0;
		fd = -1;
		if (chan_recv(reader, &r, sizeof(r), &len, &fd, 1, &count))
			return bundle;
		assert_int_equal(len, sizeof(r));
		if (r.type == KEYS_MESSAGE || r.type == KEYS_CERT)
			snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s|%s\n", r.text,
				r.names);
		if (r.type == KEYS_BUNDLE) {
			assert_int_equal(count, 1);
			bundle = fd;
			*ret_digest = r.digest;
		}
	}
}

static int make(const char *lines, uint64_t *ret_digest)
{
	OWNS_MEM struct settings *s = load(lines);
	int ends[2], fd;
	struct say say;

	assert_int_equal(chan_pair(ends), 0);
	say = (struct say){.channel = ends[0]};
	assert_int_equal(bundle_make(&say, s, settings_service(s, 0)), 0);
	close(ends[0]);
	fd = listen_to(ends[1], ret_digest);
	close(ends[1]);
	say_free(&say);
	return fd;
}

static const char *lines_with(const char *more)
{
	static char lines[1024];

	snprintf(lines, sizeof(lines),
		"TLS_CERT=%s/ec\nTLS_KEY=%s/ec\nTLS_CERT=%s/rsa\nTLS_KEY=%s/rsa\n%s", dir, dir, dir, dir,
		more);
	return lines;
}

static bool is(const struct tls_piece *piece, const char *text)
{
	return piece->len_bytes == strlen(text) && !memcmp(piece->data, text, piece->len_bytes);
}

static bool begins(const struct tls_piece *piece, const char *text)
{
	return piece->len_bytes > strlen(text) && !memcmp(piece->data, text, strlen(text));
}

static void what_workers_read_is_what_was_configured(void **state)
{
	char sni[256];
	uint64_t digest;
	OWNS_FD int fd = -1;
	OWNS_MEM struct tls_bundle *b = malloc(sizeof(*b));
	struct stat st;
	void *block;

	snprintf(sni, sizeof(sni),
		"TLS_SNI=Mail.example.org %s/sni %s/sni\nTLS_ALPN=smtp x\nTLS_MIN_VERSION=1.3\n"
		"TLS_HANDSHAKE_TIMEOUT=7s\nTLS_CLIENT_AUTH=optional\nTLS_CLIENT_CA=%s/ec\n",
		dir, dir, dir);
	fd = make(lines_with(sni), &digest);
	assert_int_equal(fstat(fd, &st), 0);
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_int_equal(tls_read_bundle(block, (size_t)st.st_size, b), 0);
	assert_int_equal(b->min_version, 0x0304);
	assert_int_equal(b->handshake_ms, 7000);
	assert_int_equal(b->client_auth, TLS_CLIENT_ASKED);
	assert_true(begins(&b->client_ca, "-----BEGIN CERTIFICATE-----"));
	assert_true(is(&b->ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20"));
	assert_true(is(&b->groups, "X25519:P-256:P-384"));
	assert_int_equal(b->ciphersuites.len_bytes, 0);
	assert_int_equal(b->protocol_count, 2);
	assert_true(is(&b->protocols[0], "smtp"));
	assert_int_equal(b->pair_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(begins(&b->pairs[i].chain, "-----BEGIN CERTIFICATE-----"));
		assert_true(begins(&b->pairs[i].key, "-----BEGIN PRIVATE KEY-----"));
		assert_int_equal(b->pairs[i].name_count, i == 2);
	}
	assert_true(is(&b->names[0].name, "mail.example.org"));
	assert_non_null(strstr(told, "/sni|*.example.org mail.example.org\n"));
	munmap(block, (size_t)st.st_size);
}

static void the_memory_cannot_change(void **state)
{
	uint64_t digest;
	OWNS_FD int fd = make(lines_with(""), &digest);

	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
}

static void every_option_is_in_the_digest_and_the_same_twice_is_the_same(void **state)
{
	static const char *const more[] = {"TLS_ALPN=x\n", "TLS_GROUPS=P-256\n", "TLS_MIN_VERSION=1.3\n",
		"TLS_HANDSHAKE_TIMEOUT=9s\n", "TLS_CIPHERS=ECDHE+AESGCM\n"};
	uint64_t base, again, other;

	close(make(lines_with(""), &base));
	close(make(lines_with("TLS_TICKET_LIFETIME=1h\n"), &again));
	assert_true(base == again); /* tickets are no part of it */
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		close(make(lines_with(more[i]), &other));
		assert_true(other != base);
	}
}

static void nothing_is_handed_over_with_a_mistake(void **state)
{
	uint64_t digest;

	assert_int_equal(make(lines_with("TLS_GROUPS=P-257\n"), &digest), -1);
	assert_non_null(strstr(told, "cnf:8: TLS_GROUPS: OpenSSL knows no P-257, or does not allow it"));
}

/* A file that stands behind two options is told of once for each place, not once for each service. */
static void the_same_is_told_once(void **state)
{
	struct say say = {.channel = -1};
	int ends[2];
	uint64_t digest;

	assert_int_equal(chan_pair(ends), 0);
	say.channel = ends[0];
	for (int i = 0; i < 3; i++)
		say_error(&say, "f:1", "%s", "bad");
	say_error(&say, "f:2", "%s", "bad");
	assert_int_equal(say.errors, 4);
	close(ends[0]);
	listen_to(ends[1], &digest);
	assert_string_equal(told, "f:1: bad|\nf:2: bad|\n");
	close(ends[1]);
	say_free(&say);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_workers_read_is_what_was_configured),
		cmocka_unit_test(the_memory_cannot_change),
		cmocka_unit_test(every_option_is_in_the_digest_and_the_same_twice_is_the_same),
		cmocka_unit_test(nothing_is_handed_over_with_a_mistake),
		cmocka_unit_test(the_same_is_told_once),
	};

	return cmocka_run_group_tests(tests, write_files, remove_files);
}
