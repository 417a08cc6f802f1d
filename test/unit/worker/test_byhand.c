/* Workers started by hand: they listen for themselves. */
#include "common/base.h"
#include "test/unit/worker/fake.h"
#include "test/unit/worker/hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void expect_answer(int client, const char *question, const char *answer)
{
	char buf[300];

	fake_say(client, question);
	fake_read(client, buf, strlen(answer));
	assert_memory_equal(buf, answer, strlen(answer));
}

static void expect_failure(const char *const *argv, const char *words)
{
	struct hand h;

	hand_start(&h, argv);
	hand_expect(&h, words);
	assert_int_equal(WEXITSTATUS(hand_wait(&h)), 1);
}

static void echo_listens_for_itself_and_ends_on_term(void **state)
{
	static const char *const argv[] = {ECHO, "-l", "127.0.0.1:0", NULL};
	struct hand h;
	int client;
	char byte;

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	expect_answer(client, "hello", "hello");
	kill(h.pid, SIGTERM);
	assert_int_equal(fake_read_end(client, &byte, 1), 0);
	assert_int_equal(hand_wait(&h), 0);
	close(client);
}

static void interrupt_ends_it_as_well(void **state)
{
	static const char *const argv[] = {ECHO, "--listen=127.0.0.1:0", NULL};
	struct hand h;

	hand_start(&h, argv);
	hand_port(&h);
	kill(h.pid, SIGINT);
	assert_int_equal(hand_wait(&h), 0);
}

static void a_second_signal_ends_it_at_once(void **state)
{
	static const char *const argv[] = {PROBE, "-l", "127.0.0.1:0", NULL};
	struct hand h;
	int client;

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	fake_say(client, "pour 9000000\n");
	hand_expect(&h, "pour 0");
	kill(h.pid, SIGINT);
	hand_expect(&h, "deadline 10000");
	kill(h.pid, SIGINT);
	assert_int_equal(WEXITSTATUS(hand_wait(&h)), 1);
	close(client);
}

static void the_kill_timeout_ends_what_hangs(void **state)
{
	static const char *const argv[] = {PROBE, "-l", "127.0.0.1:0", "KILL_TIMEOUT=50ms", NULL};
	struct hand h;
	int client;

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	fake_say(client, "pour 9000000\n");
	hand_expect(&h, "pour 0");
	kill(h.pid, SIGTERM);
	assert_int_equal(WEXITSTATUS(hand_wait(&h)), 1);
	close(client);
}

static void parameters_and_several_listeners_are_taken(void **state)
{
	char path[] = "/tmp/worker-test-XXXXXX", listener[64], buf[64];
	const char *const argv[] = {
		ECHO, "-l", "127.0.0.1:0", "-l", listener, "BANNER=220 by hand", NULL};
	struct hand h;
	struct stat st;
	int client;

	close(mkstemp(path));
	unlink(path);
	snprintf(listener, sizeof(listener), "unix:%s", path);
	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "220 by hand\r\n");
	close(client);
	hand_expect(&h, path);
	client = hand_connect_unix(path);
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "220 by hand\r\n");
	close(client);
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
	assert_int_equal(stat(path, &st), -1);
}

static void beyond_max_conns_clients_wait_in_the_backlog(void **state)
{
	static const char *const argv[] = {ECHO, "-l", "127.0.0.1:0", "MAX_CONNS=2", NULL};
	struct hand h;
	int clients[3];
	struct pollfd p;
	char byte;

	hand_start(&h, argv);
	for (int i = 0; i < 3; i++)
		clients[i] = hand_connect(hand_port(&h));
	expect_answer(clients[0], "a", "a");
	expect_answer(clients[1], "b", "b");
	fake_say(clients[2], "c");
	p = (struct pollfd){.fd = clients[2], .events = POLLIN};
	expect_answer(clients[0], "a", "a");
	assert_int_equal(poll(&p, 1, 0), 0);
	close(clients[0]);
	fake_read(clients[2], &byte, 1);
	assert_int_equal(byte, 'c');
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
	close(clients[1]);
	close(clients[2]);
}

static void exec_runs_its_command(void **state)
{
	static const char *const argv[] = {EXEC, "-l", "127.0.0.1:0",
		"command=sh -c 'echo \"$PROTO $TCPREMOTEIP\"; exec cat'", NULL};
	struct hand h;
	int client;

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	expect_answer(client, "and on", "TCP 127.0.0.1\nand on");
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
	close(client);
}

static void thread_style_works_by_hand(void **state)
{
	static const char *const argv[] = {BLOCKING, "-l", "127.0.0.1:0", NULL};
	struct hand h;
	int client;
	char buf[30];

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	expect_answer(client, "a\n", "1:a\n");
	kill(h.pid, SIGTERM);
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "421 goodbye\n");
	assert_int_equal(hand_wait(&h), 0);
	close(client);
}

static void help_is_printed(void **state)
{
	static const char *const argv[] = {ECHO, "--help", NULL};
	struct hand h;

	hand_start(&h, argv);
	hand_expect(&h, "Usage: dispatcher-echo -l ADDRESS");
	assert_int_equal(hand_wait(&h), 0);
}

static void what_is_not_understood_is_named(void **state)
{
	expect_failure((const char *const[]){ECHO, NULL}, "nowhere to listen");
	expect_failure((const char *const[]){ECHO, "-l", "here", NULL}, "here: not an address");
	expect_failure(
		(const char *const[]){ECHO, "-l", "127.0.0.1:99999", NULL}, "not an address");
	expect_failure(
		(const char *const[]){ECHO, "-l", "0", "word", NULL}, "word: not NAME=VALUE");
	expect_failure(
		(const char *const[]){ECHO, "-l", "0", "MAX_CONNS=many", NULL}, "not understood");
	expect_failure(
		(const char *const[]){ECHO, "-l", "0", "COMMAND='a", NULL}, "not understood");
	expect_failure(
		(const char *const[]){ECHO, "-l", "unix:/no/such/dir/s", NULL}, "No such file");
}

static void a_failed_start_by_hand_says_why(void **state)
{
	expect_failure((const char *const[]){PROBE, "-l", "0", "FAIL=so be it", NULL},
		"probe: error: told to fail: so be it");
}

static void the_redirect_example_redirects(void **state)
{
	static const char *const argv[] = {
		REDIRECT, "-l", "0", "TARGET=https://www.example.org", NULL};
	char buf[1000];
	struct hand h;
	int client;

	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	fake_say(client, "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n");
	fake_read_end(client, buf, sizeof(buf));
	assert_non_null(strstr(buf, "HTTP/1.1 301 "));
	assert_non_null(strstr(buf, "\r\nLocation: https://www.example.org/a?b=c\r\n"));
	close(client);
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
}

static void the_greylist_example_defers_a_stranger_and_passes_an_old_friend(void **state)
{
	static const char ask[] = "request=smtpd_access_policy\nclient_address=192.0.2.1\n"
				  "sender=a@example.org\nrecipient=b/c@example.org\n\n";
	static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char dir[] = "/tmp/worker-test-XXXXXX", param[64], file[200];
	const char *const argv[] = {GREYLIST, "-l", "0", param, NULL};
	struct hand h;
	int client;

	assert_non_null(mkdtemp(dir));
	snprintf(param, sizeof(param), "DIR=%s", dir);
	snprintf(file, sizeof(file), "%s/%s", dir, "192.0.2.1 a@example.org b\\c@example.org");
	hand_start(&h, argv);
	client = hand_connect(hand_port(&h));
	expect_answer(client, ask, "action=defer_if_permit Greylisted\n\n");
	assert_int_equal(utimensat(AT_FDCWD, file, long_ago, 0), 0);
	expect_answer(client, ask, "action=dunno\n\n");
	close(client);
	kill(h.pid, SIGTERM);
	assert_int_equal(hand_wait(&h), 0);
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_listens_for_itself_and_ends_on_term),
		cmocka_unit_test(interrupt_ends_it_as_well),
		cmocka_unit_test(a_second_signal_ends_it_at_once),
		cmocka_unit_test(the_kill_timeout_ends_what_hangs),
		cmocka_unit_test(parameters_and_several_listeners_are_taken),
		cmocka_unit_test(beyond_max_conns_clients_wait_in_the_backlog),
		cmocka_unit_test(exec_runs_its_command),
		cmocka_unit_test(thread_style_works_by_hand),
		cmocka_unit_test(help_is_printed),
		cmocka_unit_test(what_is_not_understood_is_named),
		cmocka_unit_test(a_failed_start_by_hand_says_why),
		cmocka_unit_test(the_redirect_example_redirects),
		cmocka_unit_test(the_greylist_example_defers_a_stranger_and_passes_an_old_friend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
