/* dispatcher-exec under TLS: commands that know nothing of it. */
#include "common/base.h"
#include "test/unit/worker/client.h"
#include "test/unit/worker/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static struct pki authority, pair, user;

static int make(void **state)
{
	pki_make(&authority, "EC", "Authority", NULL);
	pki_make(&pair, "EC", "mail.example.org", &authority);
	pki_make(&user, "EC", "user", &authority);
	return 0;
}

static int unmake(void **state)
{
	pki_free(&authority);
	pki_free(&pair);
	pki_free(&user);
	return 0;
}

static struct fake *start_with(const struct fake_options *o)
{
	static struct bundle b;
	struct fake *f = fake_start(o);

	bundle_begin(&b, TLS1_2_VERSION);
	bundle_pair(&b, &pair, NULL);
	tls_put_u32(&b.writer, TLS_CLIENT_AUTH, TLS_CLIENT_ASKED);
	tls_put_text(&b.writer, TLS_CLIENT_CA, authority.chain_pem);
	bundle_send(&b, f);
	tickets_send(f, "a");
	return f;
}

static struct fake *start(const char *const *command)
{
	static const char *const environment[] = {"SSL_CLIENT_S_DN=CN=root", NULL};

	return start_with(&(struct fake_options){.image = EXEC,
		.command = command,
		.environment = environment,
		.kill_timeout_ms = 5000,
		.tls = true});
}

static struct fake *start_shell(const char *script)
{
	const char *const command[] = {"/bin/sh", "-c", script, NULL};

	return start(command);
}

static void open_client(struct client *c, struct fake *f)
{
	client_open(c, f, TLS1_3_VERSION);
	assert_int_equal(client_shake(c), 1);
}

/* All there is, to the server's goodbye. */
static size_t read_all(struct client *c, char *buf, size_t size)
{
	size_t have = 0;
	int got;

	while ((got = client_get(c, buf + have, size - have)) > 0)
		have += (size_t)got;
	assert_int_equal(SSL_get_error(c->ssl, got), SSL_ERROR_ZERO_RETURN);
	buf[MIN(have, size - 1)] = '\0';
	return have;
}

static void a_command_learns_of_tls_by_its_environment(void **state)
{
	static const char *const command[] = {CHILD, NULL};
	struct fake *f = start(command);
	char heard[4000];
	struct client c;

	client_open(&c, f, TLS1_2_VERSION);
	SSL_set_tlsext_host_name(c.ssl, "mail.example.org");
	SSL_use_certificate(c.ssl, user.certificate);
	SSL_use_PrivateKey(c.ssl, user.key);
	assert_int_equal(client_shake(&c), 1);
	SSL_shutdown(c.ssl);
	read_all(&c, heard, sizeof(heard));
	assert_non_null(strstr(heard, "fds 0 1 2\nblocking\n"));
	assert_non_null(strstr(heard,
		"SSL_CIPHER=ECDHE-ECDSA-AES256-GCM-SHA384\nSSL_CIPHER_ALGKEYSIZE=256\n"
		"SSL_CIPHER_USEKEYSIZE=256\nSSL_CLIENT_I_DN=CN=Authority\nSSL_CLIENT_S_DN=CN=user\n"
		"SSL_PROTOCOL=TLSv1.2\nSSL_SESSION_RESUMED=Initial\n"
		"SSL_TLS_SNI_SERVERNAME=mail.example.org\nTCPLOCALIP=127.0.0.1\n"));
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

static void a_client_cannot_pass_for_another_by_what_was_inherited(void **state)
{
	struct fake *f = start_shell("echo \"($SSL_CLIENT_S_DN)\"");
	struct client c;
	char heard[100];

	open_client(&c, f);
	read_all(&c, heard, sizeof(heard));
	assert_string_equal(heard, "()\n");
	client_end(&c);
	fake_end(f);
}

static void bytes_go_both_ways_unchanged(void **state)
{
	static const char *const command[] = {"/bin/cat", NULL};
	static char data[200000], back[200000];
	struct fake *f = start(command);
	struct client c;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	open_client(&c, f);
	for (unsigned round = 0; round < 20; round++) {
		/* less than what the buffers hold, as we do not read meanwhile */
		assert_int_equal(SSL_write(c.ssl, data, 60000), 60000);
		client_read(&c, back, 60000);
		assert_memory_equal(data, back, 60000);
	}
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

/* What a program gets that reads to the end and then answers, as rsync, tar and mail filters do. */
static void a_client_that_has_ended_still_gets_the_answer(void **state)
{
	struct fake *f = start_shell("wc -c");
	static char data[500000];
	struct client c;
	char heard[100];

	open_client(&c, f);
	assert_int_equal(SSL_write(c.ssl, data, sizeof(data)), sizeof(data));
	SSL_shutdown(c.ssl);
	read_all(&c, heard, sizeof(heard));
	assert_string_equal(heard, "500000\n");
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

static void a_command_that_has_ended_its_output_still_hears_the_client(void **state)
{
	struct fake *f =
		start_shell("exec perl -e '$| = 1; print \"over\"; shutdown(STDOUT, 1); "
			    "while (<STDIN>) { $n += length } print STDERR \"heard $n\\n\"'");
	struct client c;
	char heard[100];

	open_client(&c, f);
	read_all(&c, heard, sizeof(heard));
	assert_string_equal(heard, "over");
	client_say(&c, "twelve bytes");
	client_end(&c);
	fake_expect_line(f, "heard 12");
	fake_wait_done(f, 1);
	fake_end(f);
}

static void what_a_command_wrote_before_its_exit_arrives(void **state)
{
	struct fake *f = start_shell("head -c 3000000 /dev/zero");
	static char data[3000001];
	struct client c;

	open_client(&c, f);
	client_read(&c, data, 1);
	assert_int_equal(read_all(&c, data, sizeof(data)), 2999999);
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

/* One who does not read must not hold up the other, and the command waits with him. */
static void a_client_that_does_not_read_holds_up_only_its_command(void **state)
{
	struct fake *f = start_shell("head -c 30000000 /dev/zero; echo done >&2");
	struct client slow, quick;
	static char data[1 << 20];
	size_t have = 0;
	int got;

	open_client(&slow, f);
	client_read(&slow, data, 1);
	open_client(&quick, f);
	while ((got = client_get(&quick, data, sizeof(data))) > 0)
		have += (size_t)got;
	assert_int_equal(have, 30000000);
	fake_expect_line(f, "done");
	assert_null(strstr(f->output + f->output_at, "done")); /* of the slow one */
	for (have = 1; (got = client_get(&slow, data, sizeof(data))) > 0; have += (size_t)got)
		;
	assert_int_equal(have, 30000000);
	client_end(&slow);
	client_end(&quick);
	fake_wait_done(f, 2);
	fake_end(f);
}

static void a_command_that_does_not_read_holds_up_only_its_client(void **state)
{
	static const char *const command[] = {"/bin/sleep", "60", NULL};
	struct timeval soon = {.tv_usec = 300000};
	struct fake *f = start(command);
	static char data[1 << 16];
	struct client c, other;
	size_t sent = 0;

	open_client(&c, f);
	setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
	while (sent < 100000000 && SSL_write(c.ssl, data, sizeof(data)) > 0)
		sent += sizeof(data);
	assert_true(sent < 100000000);
	open_client(&other, f);
	client_end(&other);
	client_end(&c);
	fake_end(f);
}

static void a_client_that_vanishes_ends_its_command(void **state)
{
	static const char *const command[] = {"/bin/cat", NULL};
	struct fake *f = start(command);
	struct client c;

	open_client(&c, f);
	client_expect(&c, "hello", "hello");
	SSL_set_quiet_shutdown(c.ssl, 1);
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

static void a_command_that_closes_its_socket_early_ends_the_client(void **state)
{
	struct fake *f = start_shell("exec <&- >&-; sleep 60");
	char heard[10];
	struct client c;

	open_client(&c, f);
	assert_int_equal(read_all(&c, heard, sizeof(heard)), 0);
	client_end(&c);
	assert_int_equal(f->page->done, 0); /* the command runs and counts */
	fake_end(f);
}

static void a_command_that_cannot_be_started_closes_the_connection(void **state)
{
	static const char *const command[] = {"/nonexistent", NULL};
	struct fake *f = start(command);
	char heard[10];
	struct client c;

	open_client(&c, f);
	assert_int_equal(read_all(&c, heard, sizeof(heard)), 0);
	client_end(&c);
	fake_expect_line(f, "cannot be started");
	fake_wait_done(f, 1);
	fake_end(f);
}

static void a_client_who_does_not_shake_hands_starts_no_command(void **state)
{
	struct fake *f = start_shell("echo started >&2; cat");
	struct client c;
	int fd;

	fake_offer_tcp(f, 1, &fd);
	fake_say(fd, "EHLO me\r\n");
	fake_expect_line(f, "no TLS with");
	close(fd);
	fake_wait_done(f, 1);
	assert_null(strstr(f->output, "started"));
	open_client(&c, f);
	client_expect(&c, "hello", "hello");
	client_end(&c);
	fake_end(f);
}

static void when_the_time_is_over_command_and_client_are_ended(void **state)
{
	static const char *const command[] = {"/bin/cat", NULL};
	struct fake *f = start_with(&(struct fake_options){.image = EXEC,
		.command = command,
		.conn_timeout_ms = 300,
		.kill_timeout_ms = 5000,
		.tls = true});
	char heard[10];
	struct client c;

	open_client(&c, f);
	assert_int_equal(read_all(&c, heard, sizeof(heard)), 0);
	client_end(&c);
	fake_wait_done(f, 1);
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_learns_of_tls_by_its_environment),
		cmocka_unit_test(a_client_cannot_pass_for_another_by_what_was_inherited),
		cmocka_unit_test(bytes_go_both_ways_unchanged),
		cmocka_unit_test(a_client_that_has_ended_still_gets_the_answer),
		cmocka_unit_test(a_command_that_has_ended_its_output_still_hears_the_client),
		cmocka_unit_test(what_a_command_wrote_before_its_exit_arrives),
		cmocka_unit_test(a_client_that_does_not_read_holds_up_only_its_command),
		cmocka_unit_test(a_command_that_does_not_read_holds_up_only_its_client),
		cmocka_unit_test(a_client_that_vanishes_ends_its_command),
		cmocka_unit_test(a_command_that_closes_its_socket_early_ends_the_client),
		cmocka_unit_test(a_command_that_cannot_be_started_closes_the_connection),
		cmocka_unit_test(a_client_who_does_not_shake_hands_starts_no_command),
		cmocka_unit_test(when_the_time_is_over_command_and_client_are_ended),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make, unmake);
}
