/* dispatcher-exec under the real protocol. */
#include "common/base.h"
#include "test/unit/worker/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct fake *start(const char *const *command)
{
	static const char *const environment[] = {"GREETING=hello you", "PROTO=stale", NULL};

	return fake_start(&(struct fake_options){
		.image = EXEC, .command = command, .environment = environment});
}

/* Everything that the child says before "end". */
static void hear(int client, char *buf, size_t size)
{
	size_t len = 0;

	do {
		assert_true(len + 1 < size);
		fake_read(client, buf + len++, 1);
		buf[len] = '\0';
	} while (len < 5 || strcmp(buf + len - 5, "\nend\n"));
}

static unsigned port_of(int client, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	assert_int_equal(name(client, (struct sockaddr *)&in, &len), 0);
	return ntohs(in.sin_port);
}

static int local_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

static void a_tcp_command_gets_what_inetd_gives_and_nothing_else(void **state)
{
	static const char *const command[] = {CHILD, "--with", "two words", NULL};
	struct fake *f = start(command);
	char heard[4000], expected[4000];
	int clients[8];

	fake_offer_tcp(f, 8, clients);
	hear(clients[5], heard, sizeof(heard));
	snprintf(expected, sizeof(expected),
		"argument --with\nargument two words\nfds 0 1 2\nblocking\nsignals\nleader\n"
		"GREETING=hello "
		"you\nPATH=/usr/bin:/bin\nPROTO=TCP\nREMOTE_ADDR=127.0.0.1\nREMOTE_PORT=%u\n"
		"TCPLOCALIP=127.0.0.1\nTCPLOCALPORT=%u\nTCPREMOTEIP=127.0.0.1\nTCPREMOTEPORT=%"
		"u\nend\n",
		port_of(clients[5], local_name), port_of(clients[5], peer_name),
		port_of(clients[5], local_name));
	assert_string_equal(heard, expected);
	for (int i = 0; i < 8; i++)
		close(clients[i]);
	fake_wait_done(f, 8);
	fake_end(f);
}

static void a_unix_command_gets_no_addresses(void **state)
{
	static const char *const command[] = {CHILD, NULL};
	struct fake *f = start(command);
	char heard[4000];
	int client;

	fake_offer(f, 1, &client);
	hear(client, heard, sizeof(heard));
	assert_string_equal(heard, "fds 0 1 2\nblocking\nsignals\nleader\n"
				   "GREETING=hello you\nPATH=/usr/bin:/bin\nPROTO=UNIX\nend\n");
	fake_say(client, "and back");
	fake_read(client, heard, 8);
	fake_expect_line(f, "child says so");
	close(client);
	fake_wait_done(f, 1);
	fake_end(f);
}

static void a_connection_counts_until_its_command_has_exited(void **state)
{
	static const char *const command[] = {
		"sh", "-c", "exec 1>&- 0<&-; sleep 0.2; echo gone >&2", NULL};
	struct fake *f = start(command);
	char buf[10];
	int client;

	fake_offer(f, 1, &client);
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0);
	assert_int_equal(f->page->done, 0);
	fake_expect_line(f, "gone");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void a_command_that_cannot_be_started_closes_the_connection_with_one_line(void **state)
{
	static const char *const command[] = {"/no/such/program", NULL};
	struct fake *f = start(command);
	char buf[10];
	int client;

	fake_offer(f, 1, &client);
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0);
	fake_wait_done(f, 1);
	fake_expect_line(f,
		"error: /no/such/program for unix: cannot be started: No such file or directory");
	fake_order(f, MSG_RETIRE);
	assert_int_equal(fake_wait_exit(f), 0);
	assert_int_equal(read(f->log, buf, sizeof(buf)), 0);
	close(client);
	fake_end(f);
}

static void without_a_command_it_does_not_start(void **state)
{
	struct fake *f = fake_spawn(&(struct fake_options){.image = EXEC});

	fake_expect_line(f, "COMMAND is not set");
	assert_int_equal(WEXITSTATUS(fake_wait_exit(f)), 1);
	fake_end(f);
}

static void a_command_over_its_time_is_ended_with_all_it_started(void **state)
{
	static const char *const command[] = {"sh", "-c", "trap '' TERM; sleep 1000", NULL};
	struct fake *f = fake_start(&(struct fake_options){
		.image = EXEC, .command = command, .conn_timeout_ms = 50, .kill_timeout_ms = 100});
	char buf[10];
	int client;

	fake_offer(f, 1, &client);
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0); /* sleep held it as well */
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void the_deadline_ends_every_command(void **state)
{
	static const char *const command[] = {
		"sh", "-c", "trap 'echo bye; exit' TERM; echo hi; sleep 1000 & wait", NULL};
	struct fake *f = fake_start(
		&(struct fake_options){.image = EXEC, .command = command, .kill_timeout_ms = 5000});
	char buf[10];
	int clients[3];

	fake_offer(f, 3, clients);
	for (int i = 0; i < 3; i++)
		fake_read(clients[i], buf, 3);
	kill(f->pid, SIGTERM);
	for (int i = 0; i < 3; i++) {
		fake_read(clients[i], buf, 4);
		assert_memory_equal(buf, "bye\n", 4);
		close(clients[i]);
	}
	assert_int_equal(fake_wait_exit(f), 0);
	fake_end(f);
}

static void at_the_deadline_a_command_that_ignores_term_is_killed(void **state)
{
	static const char *const command[] = {
		"sh", "-c", "trap '' TERM; echo hi; sleep 1000", NULL};
	struct fake *f = fake_start(
		&(struct fake_options){.image = EXEC, .command = command, .kill_timeout_ms = 200});
	char buf[10];
	int client;

	fake_offer(f, 1, &client);
	fake_read(client, buf, 3);
	kill(f->pid, SIGTERM);
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0);
	assert_int_equal(fake_wait_exit(f), 0);
	close(client);
	fake_end(f);
}

static void a_crash_of_the_command_is_logged(void **state)
{
	static const char *const command[] = {"sh", "-c", "kill -SEGV $$", NULL};
	struct fake *f = start(command);
	int client;

	fake_offer(f, 1, &client);
	fake_expect_line(f, "warning: sh for unix, pid ");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void a_retired_worker_waits_for_its_commands(void **state)
{
	static const char *const command[] = {"cat", NULL};
	struct fake *f = start(command);
	char buf[10];
	int client;

	fake_offer(f, 1, &client);
	fake_order(f, MSG_RETIRE);
	fake_say(client, "hello");
	fake_read(client, buf, 5);
	close(client);
	assert_int_equal(fake_wait_exit(f), 0);
	assert_int_equal(f->page->done, 1);
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tcp_command_gets_what_inetd_gives_and_nothing_else),
		cmocka_unit_test(a_unix_command_gets_no_addresses),
		cmocka_unit_test(a_connection_counts_until_its_command_has_exited),
		cmocka_unit_test(
			a_command_that_cannot_be_started_closes_the_connection_with_one_line),
		cmocka_unit_test(without_a_command_it_does_not_start),
		cmocka_unit_test(a_command_over_its_time_is_ended_with_all_it_started),
		cmocka_unit_test(the_deadline_ends_every_command),
		cmocka_unit_test(at_the_deadline_a_command_that_ignores_term_is_killed),
		cmocka_unit_test(a_crash_of_the_command_is_logged),
		cmocka_unit_test(a_retired_worker_waits_for_its_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
