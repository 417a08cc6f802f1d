/* TLS from the middle of a connection on, and how a connection under TLS lives and ends, in both
 * styles. */
#include "common/base.h"
#include "test/unit/worker/client.h"
#include "test/unit/worker/hand.h"
#include "test/unit/worker/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct pki pair;

static int make_pair(void **state)
{
	pki_make(&pair, "EC", "mail.example.org", NULL);
	return 0;
}

static int free_pair(void **state)
{
	pki_free(&pair);
	return 0;
}

static struct fake *start(const struct fake_options *o)
{
	static struct bundle b;
	struct fake *f = fake_start(o);

	bundle_begin(&b, TLS1_2_VERSION);
	bundle_pair(&b, &pair, NULL);
	bundle_send(&b, f);
	tickets_send(f, "a");
	return f;
}

static struct fake *start_plain(const char *image)
{
	return start(&(struct fake_options){.image = image, .kill_timeout_ms = 5000});
}

static struct fake *start_secret(const char *image)
{
	return start(&(struct fake_options){.image = image, .kill_timeout_ms = 5000, .tls = true});
}

/* Over the plain connection, to where the handshake begins. */
static int ask(struct fake *f, const char *words)
{
	char go[3];
	int fd;

	fake_offer_tcp(f, 1, &fd);
	fake_say(fd, words);
	fake_read(fd, go, sizeof(go));
	assert_memory_equal(go, "go\n", sizeof(go));
	return fd;
}

static void plaintext_becomes_tls_with_the_same_calls(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct fake *f = start_plain(PROBE);
		struct client c;

		client_open_on(&c, ask(f, "starttls\n"), version);
		assert_int_equal(client_shake(&c), 1);
		client_expect(&c, "", "welcome\n");
		client_expect(&c, "hello\r\n", "5:hello\n");
		client_expect(&c, "may\r\n", "0\n");
		client_end(&c);
		fake_expect_line(f, "close 0");
		fake_end(f);
	}
}

static void plaintext_becomes_tls_in_a_thread(void **state)
{
	struct fake *f = start_plain(BLOCKING);
	struct client c;

	client_open_on(&c, ask(f, "starttls\n"), TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_expect(&c, "hello\r\n", "5:hello\n");
	client_expect(&c, "tls\n", "TLSv1.3\n");
	client_end(&c);
	fake_expect_line(f, "starttls 0");
	fake_expect_line(f, "end -61"); /* ENODATA: the client said goodbye */
	fake_end(f);
}

/* The command and what an attacker puts behind it, in one piece. */
static void plaintext_behind_the_command_ends_the_connection(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};

	for (unsigned i = 0; i < 2; i++) {
		struct fake *f = start_plain(images[i]);
		char rest[100];
		int fd = ask(f, "starttls\nattack\n");

		assert_int_equal(fake_read_end(fd, rest, sizeof(rest)), 0);
		close(fd);
		fake_expect_line(f, "plaintext came behind the command");
		fake_wait_done(f, 1);
		fake_end(f);
	}
}

/* In a piece of its own, which the library has not read yet when the handshake begins. */
static void plaintext_instead_of_a_handshake_ends_the_connection(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};

	for (unsigned i = 0; i < 2; i++) {
		struct fake *f = start_plain(images[i]);
		char rest[100];
		int fd = ask(f, "starttls\n");

		fake_say(fd, "attack\nattack\nattack\n");
		fake_expect_line(f, "no TLS with 127.0.0.1");
		fake_wait_done(f, 1);
		recv(fd, rest, sizeof(rest), 0); /* an alert, or nothing but the end */
		assert_null(memmem(rest, sizeof(rest), "6:attack", 8));
		close(fd);
		fake_end(f);
	}
}

static void a_half_line_behind_the_command_ends_the_connection_too(void **state)
{
	struct fake *f = start_plain(PROBE);
	char rest[100];
	int fd = ask(f, "starttls\natt");

	assert_int_equal(fake_read_end(fd, rest, sizeof(rest)), 0);
	close(fd);
	fake_expect_line(f, "close -71"); /* EPROTO */
	fake_end(f);
}

static void without_a_certificate_starttls_is_refused_and_plaintext_goes_on(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};

	for (unsigned i = 0; i < 2; i++) {
		struct fake *f = fake_start(&(struct fake_options){.image = images[i]});
		char answer[8];
		int fd = ask(f, "starttls\n");

		fake_expect_line(f, "starttls -95"); /* ENOTSUP */
		fake_say(fd, "hello\n");
		fake_read(fd, answer, sizeof(answer));
		assert_memory_equal(answer, "5:hello\n", sizeof(answer));
		close(fd);
		fake_end(f);
	}
}

static void tls_starts_only_once(void **state)
{
	struct fake *f = start_secret(BLOCKING);
	struct client c;

	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_expect(&c, "starttls\n", "go\n");
	fake_expect_line(f, "starttls -114"); /* EALREADY */
	client_expect(&c, "hello\n", "5:hello\n");
	client_end(&c);
	fake_end(f);
}

static void a_worker_that_knows_nothing_of_tls_serves_it(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};

	for (unsigned i = 0; i < 4; i++) {
		struct fake *f = start_secret(images[i / 2]);
		struct client c;

		client_open(&c, f, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
		assert_int_equal(client_shake(&c), 1);
		client_expect(&c, "hello\r\n", "5:hello\n");
		client_expect(&c, "one\r\ntwo\r\nthr", "3:one\n3:two\n");
		client_expect(&c, "ee\r\n", "5:three\n");
		client_say(&c, "close\n");
		assert_int_equal(client_get(&c, (char[1]){0}, 1), 0);
		assert_true(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN);
		client_end(&c);
		fake_wait_done(f, 1);
		fake_end(f);
	}
}

static void a_client_is_not_seen_before_its_handshake_is_done(void **state)
{
	struct fake *f = start_secret(PROBE);
	struct client c;
	int fd;

	fake_offer_tcp(f, 1, &fd);
	fake_say(fd, "\x16\x03\x01\x02");
	fake_wait_taken(f, 1);
	close(fd);
	fake_wait_done(f, 1);
	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_expect(&c, "hello\n", "5:hello\n");
	client_end(&c);
	fake_wait_done(f, 2);
	fake_expect_line(f, "no TLS with");
	assert_non_null(strstr(fake_expect_line(f, "o"), "open 127.0.0.1")); /* the very next */
	fake_expect_line(f, "close 0");
	fake_end(f);
}

/* More than all buffers hold, before anything is read. */
static void a_client_that_reads_late_gets_everything(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};
	static char data[3000000];

	for (unsigned i = 0; i < 2; i++) {
		struct fake *f = start_secret(images[i]);
		struct client c;

		client_open(&c, f, TLS1_3_VERSION);
		assert_int_equal(client_shake(&c), 1);
		client_say(&c, "pour 3000000\nhello\n");
		client_read(&c, data, sizeof(data));
		for (unsigned at = 0; at < sizeof(data); at++)
			assert_int_equal(data[at], 0);
		client_read(&c, data, 8);
		assert_memory_equal(data, "5:hello\n", 8);
		client_end(&c);
		fake_end(f);
	}
}

static void what_was_written_before_a_close_still_arrives(void **state)
{
	struct fake *f = start_secret(PROBE);
	static char data[3000000];
	struct client c;

	client_open(&c, f, TLS1_2_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_say(&c, "pour 3000000\n");
	client_say(&c, "close\n");
	client_read(&c, data, sizeof(data));
	assert_int_equal(client_get(&c, data, 1), 0);
	client_end(&c);
	fake_end(f);
}

/* One record after another in one segment, more of them than are read at a time. */
static void many_records_at_once_are_all_heard(void **state)
{
	struct fake *f = start_secret(PROBE);
	char answer[4];
	struct client c;

	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	for (unsigned i = 0; i < 500; i++)
		client_say(&c, "x\n");
	for (unsigned i = 0; i < 500; i++) {
		client_read(&c, answer, 4);
		assert_memory_equal(answer, "1:x\n", 4);
	}
	client_end(&c);
	fake_end(f);
}

static void a_connection_cut_without_goodbye_is_no_end_of_input(void **state)
{
	const char *const images[] = {PROBE, BLOCKING};
	const char *const lines[] = {"close -104", "end -104"}; /* ECONNRESET */

	for (unsigned i = 0; i < 2; i++) {
		struct fake *f = start_secret(images[i]);
		struct client c;

		client_open(&c, f, TLS1_3_VERSION);
		assert_int_equal(client_shake(&c), 1);
		client_expect(&c, "hello\n", "5:hello\n");
		shutdown(c.fd, SHUT_WR);
		fake_expect_line(f, lines[i]);
		client_end(&c);
		fake_end(f);
	}
}

static void an_idle_client_times_out(void **state)
{
	const char *const params[] = {"TIMEOUT=200", NULL};
	struct fake *f =
		start(&(struct fake_options){.image = PROBE, .params = params, .tls = true});
	struct client c;
	char said[10];

	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_read(&c, said, 9);
	assert_memory_equal(said, "too slow\n", 9);
	assert_int_equal(client_get(&c, said, 1), 0);
	client_end(&c);
	fake_end(f);
}

static void at_the_deadline_clients_hear_goodbye_and_those_who_shake_hands_are_closed(void **state)
{
	struct fake *f = start_secret(PROBE);
	struct client c;
	char said[20];
	int half;

	fake_offer_tcp(f, 1, &half);
	fake_say(half, "\x16\x03");
	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_expect(&c, "hello\n", "5:hello\n");
	kill(f->pid, SIGTERM);
	client_read(&c, said, 13);
	assert_memory_equal(said, "421 goodbye\r\n", 13);
	assert_int_equal(client_get(&c, said, 1), 0);
	assert_int_equal(fake_read_end(half, said, sizeof(said)), 0);
	close(half);
	client_end(&c);
	assert_int_equal(fake_wait_exit(f), 0);
	fake_end(f);
}

static void a_thread_in_its_handshake_ends_at_the_deadline(void **state)
{
	struct fake *f = start_secret(BLOCKING);
	int half;

	fake_offer_tcp(f, 1, &half);
	fake_say(half, "\x16\x03");
	fake_wait_taken(f, 1);
	kill(f->pid, SIGTERM);
	assert_int_equal(fake_wait_exit(f), 0);
	close(half);
	fake_end(f);
}

/* What a client says first. */
static size_t hello(uint8_t *buf, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *out = BIO_new(BIO_s_mem());
	int len;

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	assert_int_equal(SSL_connect(ssl), -1);
	len = BIO_read(out, buf, (int)size);
	assert_true(len > 100);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)len;
}

static void a_hello_with_a_byte_changed_anywhere_leaves_nobody_behind(void **state)
{
	struct fake *f = start_secret(PROBE);
	uint8_t buf[2048];
	size_t len = hello(buf, sizeof(buf)), step = len / 250 + 1;
	unsigned sent = 0;
	struct client c;

	for (size_t at = 0; at < len; at += step) {
		int fd;

		fake_offer_tcp(f, 1, &fd);
		buf[at] ^= (uint8_t)(0x11 + at);
		assert_int_equal(send(fd, buf, len, MSG_NOSIGNAL), len);
		buf[at] ^= (uint8_t)(0x11 + at);
		close(fd);
		fake_wait_done(f, ++sent);
	}
	client_open(&c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_end(&c);
	fake_end(f);
}

static void write_file(const char *path, const struct pki *p)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fprintf(file, "%s%s", p->chain_pem, p->key_pem);
	fclose(file);
}

static void by_hand_it_serves_tls_with_a_file(void **state)
{
	static char cert[] = "TLS_CERT=/tmp/worker-tls-XXXXXX";
	const char *const argv[] = {PROBE, "-t", "127.0.0.1:0", cert, NULL};
	int file = mkstemp(cert + strlen("TLS_CERT="));
	struct client c;
	struct hand h;

	assert_true(file >= 0);
	write_file(cert + strlen("TLS_CERT="), &pair);
	hand_start(&h, argv);
	client_open_on(&c, hand_connect(hand_port(&h)), TLS1_3_VERSION);
	assert_int_equal(client_shake(&c), 1);
	client_expect(&c, "hello\n", "5:hello\n");
	client_end(&c);
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
	unlink(cert + strlen("TLS_CERT="));
	close(file);
}

static void by_hand_tls_needs_a_file(void **state)
{
	static const struct {
		const char *const argv[5], *words;
	} cases[] = {
		{{PROBE, "-t", "127.0.0.1:0", NULL}, "127.0.0.1:0: TLS needs TLS_CERT=path"},
		{{PROBE, "-l", "127.0.0.1:0", "TLS_KEY=/x", NULL}, "TLS_KEY: without TLS_CERT"},
		{{PROBE, "-l", "127.0.0.1:0", "TLS_CERT=/nonexistent", NULL},
			"/nonexistent: No such file"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct hand h;

		hand_start(&h, cases[i].argv);
		hand_expect(&h, cases[i].words);
		assert_int_equal(WEXITSTATUS(hand_wait(&h)), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plaintext_becomes_tls_with_the_same_calls),
		cmocka_unit_test(plaintext_becomes_tls_in_a_thread),
		cmocka_unit_test(plaintext_behind_the_command_ends_the_connection),
		cmocka_unit_test(plaintext_instead_of_a_handshake_ends_the_connection),
		cmocka_unit_test(a_half_line_behind_the_command_ends_the_connection_too),
		cmocka_unit_test(without_a_certificate_starttls_is_refused_and_plaintext_goes_on),
		cmocka_unit_test(tls_starts_only_once),
		cmocka_unit_test(a_worker_that_knows_nothing_of_tls_serves_it),
		cmocka_unit_test(a_client_is_not_seen_before_its_handshake_is_done),
		cmocka_unit_test(a_client_that_reads_late_gets_everything),
		cmocka_unit_test(what_was_written_before_a_close_still_arrives),
		cmocka_unit_test(many_records_at_once_are_all_heard),
		cmocka_unit_test(a_connection_cut_without_goodbye_is_no_end_of_input),
		cmocka_unit_test(an_idle_client_times_out),
		cmocka_unit_test(
			at_the_deadline_clients_hear_goodbye_and_those_who_shake_hands_are_closed),
		cmocka_unit_test(a_thread_in_its_handshake_ends_at_the_deadline),
		cmocka_unit_test(a_hello_with_a_byte_changed_anywhere_leaves_nobody_behind),
		cmocka_unit_test(by_hand_it_serves_tls_with_a_file),
		cmocka_unit_test(by_hand_tls_needs_a_file),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_pair, free_pair);
}
