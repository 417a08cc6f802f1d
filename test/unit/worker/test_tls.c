/* Contexts and ticket keys of workers, as the dispatcher sends them, and hostile clients. */
#include "common/base.h"
#include "test/unit/worker/client.h"
#include "test/unit/worker/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LARGEST_MAPPING (256ul << 20)

static struct {
	struct pki authority, other, ec, rsa, star, host, user;
	struct bundle bundle;
} of;

static const struct fake_options probe = {.image = PROBE, .tls = true};

static int make(void **state)
{
	pki_make(&of.authority, "EC", "Authority", NULL);
	pki_make(&of.other, "EC", "Other", NULL);
	pki_make(&of.ec, "EC", "ec.default", &of.authority);
	pki_make(&of.rsa, "RSA", "rsa.default", &of.authority);
	pki_make(&of.star, "EC", "star", &of.authority);
	pki_make(&of.host, "EC", "host", &of.authority);
	pki_make(&of.user, "EC", "a user, with \"signs\"", &of.authority);
	return 0;
}

static int unmake(void **state)
{
	struct pki *all[] = {
		&of.authority, &of.other, &of.ec, &of.rsa, &of.star, &of.host, &of.user};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		pki_free(all[i]);
	return 0;
}

static struct bundle *begin(void)
{
	bundle_begin(&of.bundle, TLS1_2_VERSION);
	bundle_pair(&of.bundle, &of.ec, NULL);
	return &of.bundle;
}

static struct fake *start_with(struct bundle *b, const char *tickets)
{
	struct fake *f = fake_start(&probe);

	bundle_send(b, f);
	tickets_send(f, tickets);
	return f;
}

static struct fake *start(void)
{
	return start_with(begin(), "a");
}

static void shake(struct client *c)
{
	if (client_shake(c) != 1)
		fail_msg("no handshake");
}

/* Whose certificate a client gets that asks for name (NULL: for none) and takes these signatures.
 */
static void expect_peer(struct fake *f, const char *name, const char *signatures, const char *peer)
{
	struct client c;
	char got[100];

	client_open(&c, f, TLS1_3_VERSION);
	if (name)
		SSL_set_tlsext_host_name(c.ssl, name);
	SSL_set1_sigalgs_list(c.ssl, signatures);
	shake(&c);
	assert_string_equal(client_peer_name(&c, got), peer);
	client_end(&c);
}

static void the_name_asked_for_picks_the_certificate(void **state)
{
	struct bundle *b = begin();
	struct fake *f;

	bundle_pair(b, &of.star, "*.example.org");
	bundle_pair(b, &of.host, "mail.example.org");
	tls_put_text(&b->writer, TLS_NAME, "mail.example.net");
	f = start_with(b, "a");
	expect_peer(f, NULL, "ecdsa_secp256r1_sha256", "ec.default");
	expect_peer(f, "example.org", "ecdsa_secp256r1_sha256", "ec.default");
	expect_peer(f, "www.example.org", "ecdsa_secp256r1_sha256", "star");
	expect_peer(f, "WWW.Example.ORG", "ecdsa_secp256r1_sha256", "star");
	expect_peer(f, "mail.example.org", "ecdsa_secp256r1_sha256", "host");
	expect_peer(f, "mail.example.net", "ecdsa_secp256r1_sha256", "host");
	expect_peer(f, "a.b.example.org", "ecdsa_secp256r1_sha256", "ec.default");
	fake_end(f);
}

static void pairs_of_both_types_serve_side_by_side(void **state)
{
	struct bundle *b = begin();
	struct fake *f;

	bundle_pair(b, &of.rsa, NULL);
	f = start_with(b, "a");
	expect_peer(f, NULL, "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "ec.default");
	expect_peer(f, NULL, "rsa_pss_rsae_sha256", "rsa.default");
	fake_end(f);
}

static void a_version_below_the_least_is_refused(void **state)
{
	struct fake *f;
	struct client c;

	bundle_begin(&of.bundle, TLS1_3_VERSION);
	bundle_pair(&of.bundle, &of.ec, NULL);
	f = start_with(&of.bundle, "a");
	client_open(&c, f, TLS1_2_VERSION);
	assert_int_not_equal(client_shake(&c), 1);
	client_end(&c);
	fake_expect_line(f, "no TLS with 127.0.0.1");
	fake_end(f);
}

static void lists_of_ciphers_and_groups_are_used(void **state)
{
	struct bundle *b = begin();
	struct client c;
	struct fake *f;

	tls_put_text(&b->writer, TLS_CIPHERS, "ECDHE-ECDSA-AES128-GCM-SHA256");
	tls_put_text(&b->writer, TLS_CIPHERSUITES, "TLS_CHACHA20_POLY1305_SHA256");
	tls_put_text(&b->writer, TLS_GROUPS, "P-384");
	f = start_with(b, "a");
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		client_open(&c, f, version);
		shake(&c);
		assert_string_equal(SSL_get_cipher_name(c.ssl),
			version == TLS1_2_VERSION ? "ECDHE-ECDSA-AES128-GCM-SHA256"
						  : "TLS_CHACHA20_POLY1305_SHA256");
		assert_int_equal(SSL_get_negotiated_group(c.ssl), NID_secp384r1);
		client_end(&c);
	}
	fake_end(f);
}

static void a_protocol_is_agreed_upon_or_refused(void **state)
{
	struct bundle *b = begin();
	struct client c;
	struct fake *f;

	tls_put_text(&b->writer, TLS_PROTOCOL, "smtp");
	tls_put_text(&b->writer, TLS_PROTOCOL, "lmtp");
	f = start_with(b, "a");
	client_open(&c, f, TLS1_3_VERSION);
	SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\4imap\4lmtp", 10);
	shake(&c);
	client_expect(&c, "tls\n", "TLSv1.3 TLS_AES_256_GCM_SHA384 256 0 - lmtp - -\n");
	client_end(&c);
	client_open(&c, f, TLS1_3_VERSION);
	SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\4imap", 5);
	assert_int_not_equal(client_shake(&c), 1);
	client_end(&c);
	fake_end(f);
}

static struct fake *start_asking(uint32_t how)
{
	struct bundle *b = begin();

	tls_put_u32(&b->writer, TLS_CLIENT_AUTH, how);
	tls_put_text(&b->writer, TLS_CLIENT_CA, of.authority.chain_pem);
	return start_with(b, "a");
}

static void present(struct client *c, struct fake *f, const struct pki *p)
{
	client_open(c, f, TLS1_2_VERSION);
	SSL_use_certificate(c->ssl, p->certificate);
	SSL_use_PrivateKey(c->ssl, p->key);
}

static void a_checked_client_certificate_is_told_to_the_worker(void **state)
{
	static const char told[] = "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 256 0 mail.example.org - "
				   "CN=a user\\, with \\\"signs\\\" CN=Authority\n";
	struct fake *f = start_asking(TLS_CLIENT_REQUIRED);
	struct client c;

	present(&c, f, &of.user);
	SSL_set_tlsext_host_name(c.ssl, "mail.example.org");
	shake(&c);
	client_expect(&c, "tls\n", told);
	client_end(&c);
	fake_end(f);
}

static void a_client_without_a_good_certificate_is_refused_where_one_is_required(void **state)
{
	struct fake *f = start_asking(TLS_CLIENT_REQUIRED);
	struct client c;

	client_open(&c, f, TLS1_2_VERSION);
	assert_int_not_equal(client_shake(&c), 1);
	client_end(&c);
	present(&c, f, &of.other);
	assert_int_not_equal(client_shake(&c), 1);
	client_end(&c);
	fake_end(f);
}

static void a_client_without_a_certificate_is_served_where_one_is_asked_for(void **state)
{
	struct fake *f = start_asking(TLS_CLIENT_ASKED);
	struct client c;

	client_open(&c, f, TLS1_3_VERSION);
	shake(&c);
	client_expect(&c, "tls\n", "TLSv1.3 TLS_AES_256_GCM_SHA384 256 0 - - - -\n");
	client_end(&c);
	fake_end(f);
}

/* Offers the session of c, if it has one, and keeps the new one. True: resumed. */
static bool visit(struct client *c, struct fake *f, int version)
{
	SSL_SESSION *session = c->session;
	bool resumed;
	struct client next;

	client_open(&next, f, version);
	if (session)
		SSL_set_session(next.ssl, session);
	shake(&next);
	client_expect(&next, "hello\n", "5:hello\n"); /* and tickets come before it */
	resumed = SSL_session_reused(next.ssl);
	SSL_SESSION_free(c->session);
	c->session = next.session ? next.session : NULL;
	next.session = NULL;
	if (!c->session && version == TLS1_2_VERSION)
		c->session = SSL_get1_session(next.ssl); /* its ticket stays good */
	client_end(&next);
	return resumed;
}

static void a_client_resumes_with_another_worker(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct fake *first = start(), *second = start();
		struct client c = {.fd = -1};

		assert_false(visit(&c, first, version));
		for (unsigned i = 0; i < 10; i++)
			assert_true(visit(&c, i % 2 ? first : second, version));
		SSL_SESSION_free(c.session);
		fake_end(first);
		fake_end(second);
	}
}

static void a_ticket_is_renewed_after_one_rotation_and_refused_after_three(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct fake *f = start();
		struct client c = {.fd = -1}, old = {.fd = -1};

		visit(&c, f, version);
		visit(&old, f, version);
		tickets_send(f, "ba");
		assert_true(visit(&c, f, version)); /* with a, gets b */
		tickets_send(f, "cba");
		tickets_send(f, "dcb");
		assert_true(visit(&c, f, version));
		assert_false(visit(&old, f, version));
		SSL_SESSION_free(c.session);
		SSL_SESSION_free(old.session);
		fake_end(f);
	}
}

static void a_ticket_of_other_conditions_is_not_taken(void **state)
{
	struct fake *f = start(), *strict = start_asking(TLS_CLIENT_ASKED);
	struct client c = {.fd = -1};

	visit(&c, f, TLS1_3_VERSION);
	assert_false(visit(&c, strict, TLS1_3_VERSION));
	SSL_SESSION_free(c.session);
	fake_end(f);
	fake_end(strict);
}

/* How often the bytes stand in the memory of a process. */
static unsigned count_in_memory(pid_t pid, const uint8_t *bytes, size_t len)
{
	char path[64], line[512];
	unsigned count = 0;
	OWNS_FD int memory = -1;
	OWNS_FILE FILE *maps = NULL;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (memory < 0 || !maps)
		skip(); /* not root, and it is not dumpable */
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		uint8_t *copy;
		ssize_t got;

		assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
		if (to - from > LARGEST_MAPPING)
			continue; /* a sanitizer's own */
		copy = malloc(to - from);
		got = pread(memory, copy, to - from, (off_t)from);
		for (uint8_t *at = copy; got > 0;) {
			at = memmem(at, (size_t)(copy + got - at), bytes, len);
			if (!at)
				break;
			count++;
			at++;
		}
		free(copy);
	}
	return count;
}

/* The AES key that tickets_send() makes of a letter. */
static void aes_of(char letter, uint8_t key[32])
{
	memset(key, letter, 32);
	for (unsigned i = 0; i < 32; i++)
		key[i] ^= (uint8_t)(i * 7 + 1);
}

static void of_a_key_that_was_rotated_out_nothing_is_left(void **state)
{
	struct client c = {.fd = -1};
	struct fake *f = start();
	uint8_t key[32];

	visit(&c, f, TLS1_2_VERSION);
	visit(&c, f, TLS1_3_VERSION);
	aes_of('a', key);
	assert_int_equal(count_in_memory(f->pid, key, sizeof(key)), 1);
	tickets_send(f, "dcb");
	visit(&c, f, TLS1_3_VERSION);
	assert_int_equal(count_in_memory(f->pid, key, sizeof(key)), 0);
	aes_of('d', key);
	assert_int_equal(count_in_memory(f->pid, key, sizeof(key)), 1);
	SSL_SESSION_free(c.session);
	fake_end(f);
}

static void the_text_of_a_key_is_not_kept(void **state)
{
	struct fake *f = start();
	const char *text = of.ec.key_pem + strlen("-----BEGIN PRIVATE KEY-----\n");
	struct client c = {.fd = -1};

	visit(&c, f, TLS1_3_VERSION);
	assert_int_equal(count_in_memory(f->pid, (const uint8_t *)text, 60), 0);
	SSL_SESSION_free(c.session);
	fake_end(f);
}

static void a_worker_with_keys_leaves_no_core(void **state)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct client c = {.fd = -1};
	struct fake *f;

	setrlimit(RLIMIT_CORE, &unlimited);
	f = start();
	visit(&c, f, TLS1_3_VERSION);
	SSL_SESSION_free(c.session);
	assert_int_equal(kill(f->pid, SIGABRT), 0);
	assert_false(WCOREDUMP(fake_wait_exit(f)));
	fake_end(f);
}

static void a_new_bundle_is_for_new_connections(void **state)
{
	struct fake *f = start();
	struct client old, c;
	struct bundle *b = &of.bundle;
	char name[100];

	client_open(&old, f, TLS1_3_VERSION);
	shake(&old);
	bundle_begin(b, TLS1_2_VERSION);
	bundle_pair(b, &of.host, NULL);
	bundle_send(b, f);
	client_open(&c, f, TLS1_3_VERSION);
	shake(&c);
	assert_string_equal(client_peer_name(&c, name), "host");
	client_expect(&old, "hello\n", "5:hello\n");
	client_end(&c);
	client_end(&old);
	fake_end(f);
}

static void what_cannot_be_used_is_logged_and_the_former_stays(void **state)
{
	struct fake *f = start();
	struct bundle *b = &of.bundle;
	struct pki mixed = of.host;

	mixed.key_pem = of.star.key_pem;
	bundle_begin(b, TLS1_2_VERSION);
	bundle_pair(b, &mixed, NULL);
	bundle_send(b, f);
	fake_expect_line(f, "TLS cannot be set up: certificate and key: ");
	begin();
	tls_put_text(&b->writer, TLS_CIPHERS, "NONSENSE");
	bundle_send(b, f);
	fake_expect_line(f, "TLS cannot be set up: ciphers: no cipher match");
	tickets_send(f, "aa");
	fake_expect_line(f, "ticket keys cannot be used");
	expect_peer(f, NULL, "ecdsa_secp256r1_sha256", "ec.default");
	fake_end(f);
}

static void without_ticket_keys_handshakes_are_full(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct fake *f = fake_start(&probe);
		struct client c = {.fd = -1};

		bundle_send(begin(), f);
		assert_false(visit(&c, f, version));
		assert_false(visit(&c, f, version));
		SSL_SESSION_free(c.session);
		fake_end(f);
	}
}

static void a_listener_with_tls_never_serves_plaintext(void **state)
{
	struct fake *f = fake_start(&probe);
	char rest[10];
	int fd;

	fake_offer_tcp(f, 1, &fd);
	fake_expect_line(f, "no certificate has come from the dispatcher");
	assert_int_equal(fake_read_end(fd, rest, sizeof(rest)), 0);
	close(fd);
	fake_wait_done(f, 1);
	fake_end(f);
}

static void half_a_hello_ends_with_the_handshakes_time(void **state)
{
	struct bundle *b = begin();
	char rest[10];
	struct fake *f;
	int fds[2];

	tls_put_u64(&b->writer, TLS_HANDSHAKE_TIMEOUT, 200);
	f = start_with(b, "a");
	fake_offer_tcp(f, 2, fds);
	assert_int_equal(send(fds[0], "\x16\x03\x01\x01\x00\x01", 6, MSG_NOSIGNAL), 6);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fake_read_end(fds[i], rest, sizeof(rest)), 0);
		close(fds[i]);
	}
	fake_expect_line(f, "the handshake took too long");
	fake_wait_done(f, 2);
	fake_end(f);
}

static void a_flood_of_bad_bytes_is_one_line_in_the_log_and_harms_nobody(void **state)
{
	struct fake *f = start();
	unsigned lines = 0;
	char *line;

	for (unsigned i = 0; i < 30; i++) {
		int fds[8];

		fake_offer_tcp(f, 8, fds);
		for (unsigned k = 0; k < 8; k++) {
			fake_say(fds[k], "GET / HTTP/1.0\r\n\r\n");
			close(fds[k]);
		}
	}
	fake_wait_done(f, 240);
	expect_peer(f, NULL, "ecdsa_secp256r1_sha256", "ec.default");
	fake_expect_line(f, "no TLS with 127.0.0.1");
	fake_expect_line(f, "open 127.0.0.1");
	for (line = f->output; line < f->output + f->output_len; line += strlen(line) + 1)
		lines += !!strstr(line, "no TLS");
	assert_int_equal(lines, 1);
	fake_end(f);
}

static void who_asks_to_renegotiate_is_sent_away(void **state)
{
	struct fake *f = start();
	struct client c;
	char buf[10];

	client_open(&c, f, TLS1_2_VERSION);
	shake(&c);
	client_expect(&c, "hello\n", "5:hello\n");
	assert_int_equal(SSL_renegotiate(c.ssl), 1);
	assert_int_not_equal(SSL_do_handshake(c.ssl), 1);
	assert_true(client_get(&c, buf, sizeof(buf)) <= 0);
	fake_expect_line(f, "close -71");
	client_end(&c);
	fake_end(f);
}

static void early_data_is_not_offered(void **state)
{
	struct fake *f = start();
	struct client c = {.fd = -1};

	visit(&c, f, TLS1_3_VERSION);
	assert_int_equal(SSL_SESSION_get_max_early_data(c.session), 0);
	SSL_SESSION_free(c.session);
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_asked_for_picks_the_certificate),
		cmocka_unit_test(pairs_of_both_types_serve_side_by_side),
		cmocka_unit_test(a_version_below_the_least_is_refused),
		cmocka_unit_test(lists_of_ciphers_and_groups_are_used),
		cmocka_unit_test(a_protocol_is_agreed_upon_or_refused),
		cmocka_unit_test(a_checked_client_certificate_is_told_to_the_worker),
		cmocka_unit_test(
			a_client_without_a_good_certificate_is_refused_where_one_is_required),
		cmocka_unit_test(a_client_without_a_certificate_is_served_where_one_is_asked_for),
		cmocka_unit_test(a_client_resumes_with_another_worker),
		cmocka_unit_test(a_ticket_is_renewed_after_one_rotation_and_refused_after_three),
		cmocka_unit_test(a_ticket_of_other_conditions_is_not_taken),
		cmocka_unit_test(of_a_key_that_was_rotated_out_nothing_is_left),
		cmocka_unit_test(the_text_of_a_key_is_not_kept),
		cmocka_unit_test(a_worker_with_keys_leaves_no_core),
		cmocka_unit_test(a_new_bundle_is_for_new_connections),
		cmocka_unit_test(what_cannot_be_used_is_logged_and_the_former_stays),
		cmocka_unit_test(without_ticket_keys_handshakes_are_full),
		cmocka_unit_test(a_listener_with_tls_never_serves_plaintext),
		cmocka_unit_test(half_a_hello_ends_with_the_handshakes_time),
		cmocka_unit_test(a_flood_of_bad_bytes_is_one_line_in_the_log_and_harms_nobody),
		cmocka_unit_test(who_asks_to_renegotiate_is_sent_away),
		cmocka_unit_test(early_data_is_not_offered),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make, unmake);
}
