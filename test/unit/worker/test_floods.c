/* Clients under TLS that send more than there is to read of it. */
#include "common/base.h"
#include "test/unit/worker/client.h"
#include "test/unit/worker/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define KEY_UPDATES 100000 /* more than the kernel holds of them */

static struct fake *start(void)
{
	static const struct fake_options probe = {.image = PROBE, .tls = true};
	struct bundle *b = malloc(sizeof(*b));
	struct fake *f = fake_start(&probe);
	struct pki p;

	assert_non_null(b);
	pki_make(&p, "EC", "ec.default", NULL);
	bundle_begin(b, TLS1_3_VERSION);
	bundle_pair(b, &p, NULL);
	bundle_send(b, f);
	tickets_send(f, "a");
	pki_free(&p);
	free(b);
	return f;
}

static void visit(struct client *c, struct fake *f)
{
	client_open(c, f, TLS1_3_VERSION);
	if (client_shake(c) != 1)
		fail_msg("no handshake");
	client_expect(c, "hello\n", "5:hello\n");
}

/* Records that carry nothing for the worker, made beforehand: they come faster than they are read. */
static size_t make_key_updates(struct client *c, char **ret_records)
{
	BIO *memory = BIO_new(BIO_s_mem());
	char *data;
	size_t len;

	SSL_set0_wbio(c->ssl, memory);
	for (unsigned i = 0; i < KEY_UPDATES; i++) {
		assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(c->ssl), 1);
	}
	len = (size_t)BIO_get_mem_data(memory, &data);
	*ret_records = malloc(len);
	assert_non_null(*ret_records);
	memcpy(*ret_records, data, len);
	return len;
}

static pid_t flood(int fd, const char *records, size_t len)
{
	int most_bytes = 65536;
	pid_t pid = fork();

	if (pid)
		return pid;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most_bytes, sizeof(most_bytes));
	for (size_t at = 0; at < len;) {
		ssize_t sent = send(fd, records + at, len - at, MSG_NOSIGNAL);

		if (sent <= 0)
			_exit(1);
		at += (size_t)sent;
	}
	_exit(0);
}

static void a_flood_of_key_updates_keeps_nobody_waiting(void **state)
{
	struct fake *f = start();
	struct client bad, good;
	char *records;
	size_t len;
	pid_t pid;

	visit(&bad, f);
	visit(&good, f);
	len = make_key_updates(&bad, &records);
	pid = flood(bad.fd, records, len);
	for (unsigned i = 0; i < 5; i++)
		client_expect(&good, "hello\n", "5:hello\n");
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it goes on */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(records);
	client_end(&good);
	client_end(&bad);
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_of_key_updates_keeps_nobody_waiting),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
