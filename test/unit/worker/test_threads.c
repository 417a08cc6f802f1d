/* Workers in thread style under the real protocol. */
#include "common/base.h"
#include "test/unit/worker/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static const struct fake_options threads = {.image = BLOCKING, .kill_timeout_ms = 3000};

static void expect_answer(int client, const char *question, const char *answer)
{
	char buf[100];

	fake_say(client, question);
	fake_read(client, buf, strlen(answer));
	assert_memory_equal(buf, answer, strlen(answer));
}

static void read_answer(int client, const char *question, char *buf)
{
	fake_say(client, question);
	do
		fake_read(client, buf, 1);
	while (*buf++ != '\n');
	buf[-1] = '\0';
}

static void eight_clients_are_served_at_the_same_time(void **state)
{
	struct fake *f = fake_start(&threads);
	int clients[8];

	fake_offer_tcp(f, 8, clients);
	for (int i = 7; i >= 0; i--)
		expect_answer(clients[i], "hello\r\n", "5:hello\n");
	for (int i = 0; i < 8; i++)
		close(clients[i]);
	fake_wait_done(f, 8);
	fake_order(f, MSG_RETIRE);
	assert_int_equal(fake_wait_exit(f), 0);
	fake_end(f);
}

static void one_client_after_another_is_served_by_the_same_thread(void **state)
{
	struct fake *f = fake_start(&threads);
	char first[50], next[50];
	int client;

	for (unsigned i = 1; i <= 5; i++) {
		fake_offer(f, 1, &client);
		read_answer(client, "thread\n", i == 1 ? first : next);
		close(client);
		fake_wait_done(f, i);
	}
	assert_string_equal(first, next);
	fake_end(f);
}

static void more_clients_than_threads_wait_for_one(void **state)
{
	struct fake *f = fake_start(&(struct fake_options){.image = BLOCKING, .max_conns = 2});
	int clients[4];

	fake_offer(f, 4, clients);
	expect_answer(clients[0], "a\n", "1:a\n");
	expect_answer(clients[1], "b\n", "1:b\n");
	fake_say(clients[2], "c\n");
	close(clients[1]);
	expect_answer(clients[2], "", "1:c\n");
	close(clients[0]);
	expect_answer(clients[3], "d\n", "1:d\n");
	close(clients[2]);
	close(clients[3]);
	fake_wait_done(f, 4);
	fake_end(f);
}

static void a_blocked_read_is_canceled_by_the_deadline_and_goodbye_still_goes_out(void **state)
{
	struct fake *f = fake_start(&threads);
	int clients[2];
	char buf[100];

	fake_offer(f, 2, clients);
	expect_answer(clients[0], "a\n", "1:a\n");
	expect_answer(clients[1], "b\n", "1:b\n");
	kill(f->pid, SIGTERM);
	fake_expect_line(f, "deadline 3000");
	for (int i = 0; i < 2; i++) {
		fake_read_end(clients[i], buf, sizeof(buf));
		assert_string_equal(buf, "421 goodbye\n");
		close(clients[i]);
	}
	fake_expect_line(f, "end -125");
	assert_int_equal(fake_wait_exit(f), 0);
	fake_end(f);
}

static void a_blocked_write_is_canceled_by_the_deadline(void **state)
{
	struct fake *f = fake_start(&threads);
	int client;
	char byte;

	fake_offer(f, 1, &client);
	fake_say(client, "pour 9000000\n");
	fake_read(client, &byte, 1);
	kill(f->pid, SIGTERM);
	fake_expect_line(f, "poured -125");
	assert_int_equal(fake_wait_exit(f), 0);
	close(client);
	fake_end(f);
}

static void a_silent_client_times_out(void **state)
{
	struct fake *f = fake_start(&threads);
	int client;

	fake_offer(f, 1, &client);
	fake_say(client, "timeout 30\n");
	fake_expect_line(f, "end -110");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void everything_is_written_to_a_slow_client(void **state)
{
	static char buf[5000001];
	struct fake *f = fake_start(&threads);
	int client;

	fake_offer(f, 1, &client);
	fake_say(client, "pour 5000000\n");
	shutdown(client, SHUT_WR);
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 5000000);
	fake_expect_line(f, "poured 0");
	fake_expect_line(f, "end -61"); /* ENODATA */
	close(client);
	fake_end(f);
}

static void a_line_that_does_not_fit_is_dropped_and_the_next_one_read(void **state)
{
	struct fake *f = fake_start(&threads);
	int client;

	fake_offer(f, 1, &client);
	expect_answer(client, "0123456789012345678\n", "19:0123456789012345678\n");
	expect_answer(client, "01234567890123456789\nnext\n", "-90:too long\n4:next\n");
	close(client);
	fake_end(f);
}

static void raw_reading_gets_what_lines_have_left(void **state)
{
	struct fake *f = fake_start(&threads);
	int client;

	fake_offer(f, 1, &client);
	expect_answer(client, "raw\nab", "2\n");
	expect_answer(client, "raw\nabcdefg\n", "5\n2:fg\n");
	close(client);
	fake_end(f);
}

static void stacks_are_as_large_as_asked(void **state)
{
	struct fake *f =
		fake_start(&(struct fake_options){.image = BLOCKING, .stacksize = 300 * 1024});
	char buf[50];
	int client;

	fake_offer(f, 1, &client);
	read_answer(client, "stack\n", buf);
	assert_in_range(strtoul(buf, NULL, 10), 300 * 1024, 2000 * 1024);
	close(client);
	fake_end(f);
}

static void closing_early_ends_the_connection_for_the_client(void **state)
{
	struct fake *f = fake_start(&threads);
	char buf[50];
	int client;

	fake_offer(f, 1, &client);
	fake_say(client, "close\n");
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0);
	fake_expect_line(f, "end -32"); /* EPIPE */
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void a_retired_worker_ends_with_its_last_handler(void **state)
{
	struct fake *f = fake_start(&threads);
	int client;

	fake_offer(f, 1, &client);
	fake_order(f, MSG_RETIRE);
	fake_expect_line(f, "retire");
	expect_answer(client, "a\n", "1:a\n");
	close(client);
	assert_int_equal(fake_wait_exit(f), 0);
	assert_int_equal(f->page->done, 1);
	fake_end(f);
}

static void no_socket_is_lost_when_descriptors_are_few(void **state)
{
	struct fake *f = fake_start(&(struct fake_options){.image = BLOCKING, .nofile = 26});
	int clients[24];

	for (int i = 0; i < 24; i += 8)
		fake_offer(f, 8, clients + i);
	for (int i = 0; i < 24; i++) {
		expect_answer(clients[i], "a\n", "1:a\n");
		close(clients[i]);
	}
	fake_wait_done(f, 24);
	fake_end(f);
}

static void three_hundred_short_connections_are_counted_once_each(void **state)
{
	struct fake *f = fake_start(&(struct fake_options){.image = BLOCKING, .max_conns = 8});
	int clients[8];

	for (unsigned round = 1; round <= 38; round++) {
		fake_offer(f, 8, clients);
		for (int i = 0; i < 8; i++)
			close(clients[i]);
		fake_wait_done(f, round * 8);
	}
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_clients_are_served_at_the_same_time),
		cmocka_unit_test(one_client_after_another_is_served_by_the_same_thread),
		cmocka_unit_test(more_clients_than_threads_wait_for_one),
		cmocka_unit_test(
			a_blocked_read_is_canceled_by_the_deadline_and_goodbye_still_goes_out),
		cmocka_unit_test(a_blocked_write_is_canceled_by_the_deadline),
		cmocka_unit_test(a_silent_client_times_out),
		cmocka_unit_test(everything_is_written_to_a_slow_client),
		cmocka_unit_test(a_line_that_does_not_fit_is_dropped_and_the_next_one_read),
		cmocka_unit_test(raw_reading_gets_what_lines_have_left),
		cmocka_unit_test(stacks_are_as_large_as_asked),
		cmocka_unit_test(closing_early_ends_the_connection_for_the_client),
		cmocka_unit_test(a_retired_worker_ends_with_its_last_handler),
		cmocka_unit_test(no_socket_is_lost_when_descriptors_are_few),
		cmocka_unit_test(three_hundred_short_connections_are_counted_once_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
