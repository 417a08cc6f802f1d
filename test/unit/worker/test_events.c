/* Workers in event style under the real protocol. */
#include "common/base.h"
#include "test/unit/worker/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const struct fake_options echo = {.image = ECHO};
static const struct fake_options probe = {.image = PROBE, .kill_timeout_ms = 5000};

static void expect_echo(int client, const char *text)
{
	char buf[100];

	fake_say(client, text);
	fake_read(client, buf, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void expect_answer(int client, const char *question, const char *answer)
{
	char buf[100];

	fake_say(client, question);
	fake_read(client, buf, strlen(answer));
	assert_memory_equal(buf, answer, strlen(answer));
}

static void expect_end(int client)
{
	char buf[10];

	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 0);
	close(client);
}

static void expect_clean_exit(struct fake *f)
{
	assert_int_equal(fake_wait_exit(f), 0);
	fake_end(f);
}

static void an_offer_of_eight_connections_is_served(void **state)
{
	struct fake *f = fake_start(&echo);
	int clients[8];

	fake_offer_tcp(f, 8, clients);
	fake_wait_taken(f, 8);
	for (int i = 0; i < 8; i++)
		expect_echo(clients[i], "hello");
	for (int i = 0; i < 8; i++)
		close(clients[i]);
	fake_wait_done(f, 8);
	fake_end(f);
}

static void a_banner_is_sent_and_the_connection_closed(void **state)
{
	static const char *const params[] = {"banner=220 ready", NULL};
	struct fake *f = fake_start(&(struct fake_options){.image = ECHO, .params = params});
	char buf[100];
	int client;

	fake_offer_tcp(f, 1, &client);
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "220 ready\r\n");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void a_ping_is_answered_in_the_page(void **state)
{
	struct fake *f = fake_start(&echo);

	fake_ping(f, 41);
	fake_wait_beat(f, 41);
	fake_end(f);
}

static void a_retired_worker_ends_with_its_last_connection(void **state)
{
	struct fake *f = fake_start(&probe);
	int clients[2];

	fake_offer(f, 2, clients);
	fake_order(f, MSG_RETIRE);
	fake_expect_line(f, "retire");
	expect_answer(clients[0], "a\n", "1:a\n");
	close(clients[0]);
	fake_wait_done(f, 1);
	fake_ping(f, 5);
	fake_wait_beat(f, 5);
	expect_answer(clients[1], "b\n", "1:b\n");
	close(clients[1]);
	expect_clean_exit(f);
}

static void an_idle_worker_ends_at_once_when_retired(void **state)
{
	struct fake *f = fake_start(&probe);

	fake_order(f, MSG_RETIRE);
	fake_expect_line(f, "stop");
	expect_clean_exit(f);
}

static void without_anybody_on_the_channel_it_finishes_and_ends(void **state)
{
	struct fake *f = fake_start(&probe);
	int client;

	fake_offer(f, 1, &client);
	fake_let_go(f);
	fake_expect_line(f, "retire");
	expect_answer(client, "a\n", "1:a\n");
	close(client);
	expect_clean_exit(f);
}

static void term_lets_it_say_goodbye(void **state)
{
	struct fake *f = fake_start(&probe);
	int client;
	char buf[100];

	fake_offer(f, 1, &client);
	fake_wait_taken(f, 1);
	kill(f->pid, SIGTERM);
	fake_expect_line(f, "deadline 5000");
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "421 goodbye\r\n");
	expect_clean_exit(f);
	close(client);
}

static void term_closes_everything_when_the_author_says_nothing(void **state)
{
	struct fake *f = fake_start(&echo);
	int client;

	fake_offer(f, 1, &client);
	fake_wait_taken(f, 1);
	kill(f->pid, SIGTERM);
	expect_end(client);
	expect_clean_exit(f);
}

static void an_unread_offer_stays_in_the_channel_after_term(void **state)
{
	struct fake *f = fake_start(&probe);
	struct pollfd p = {.fd = f->kept, .events = POLLIN};
	int clients[2];

	fake_offer(f, 1, clients);
	fake_wait_taken(f, 1);
	fake_say(clients[0], "pour 4000000\n");
	fake_expect_line(f, "pour 0");
	kill(f->pid, SIGTERM);
	fake_expect_line(f, "deadline");
	fake_offer(f, 1, clients + 1);
	assert_int_equal(poll(&p, 1, 200), 1);
	assert_int_equal(f->page->taken, 1);
	close(clients[0]);
	close(clients[1]);
	expect_clean_exit(f);
}

static void an_unknown_message_is_skipped(void **state)
{
	struct fake *f = fake_start(&echo);

	fake_order(f, 99);
	fake_ping(f, 7);
	fake_wait_beat(f, 7);
	fake_end(f);
}

static void a_long_unknown_message_is_skipped(void **state)
{
	static uint8_t buf[60000], value[50000];
	struct fake *f = fake_start(&echo);
	struct msg_writer m;

	msg_begin(&m, buf, sizeof(buf), 99);
	msg_put(&m, 999, value, sizeof(value));
	fake_send(f, &m);
	fake_ping(f, 7);
	fake_wait_beat(f, 7);
	fake_end(f);
}

static void new_limits_are_seen(void **state)
{
	struct fake *f = fake_start(&probe);
	uint8_t buf[100];
	struct msg_writer m;
	int client;

	msg_begin(&m, buf, sizeof(buf), MSG_LIMITS);
	msg_put_u32(&m, MSG_MAX_CONNS_FACT, 1234);
	fake_send(f, &m);
	fake_offer(f, 1, &client);
	expect_answer(client, "limits\n", "1234\n");
	close(client);
	fake_end(f);
}

static void new_listeners_are_seen_by_connections_that_come_then(void **state)
{
	struct fake *f = fake_start(&probe);
	uint8_t buf[100];
	struct msg_writer m;
	int before, after;

	for (int i = 0; i < 2; i++) {
		msg_begin(&m, buf, sizeof(buf), MSG_LIMITS);
		msg_put_text(&m, MSG_LISTENER_NAME, "unix:/x");
		msg_put_text(&m, MSG_LISTENER_NAME, i ? "[::]:26" : "[::]:25");
		fake_send(f, &m);
		fake_offer(f, 1, i ? &after : &before);
	}
	expect_answer(before, "listener\n", "[::]:25\n");
	expect_answer(after, "listener\n", "[::]:26\n");
	close(before);
	close(after);
	fake_end(f);
}

static void reopen_reaches_the_author(void **state)
{
	struct fake *f = fake_start(&probe);

	fake_order(f, MSG_REOPEN);
	fake_expect_line(f, "reopen");
	fake_end(f);
}

static void the_ring_of_the_page_wraps_around(void **state)
{
	struct fake *f = fake_start(&(struct fake_options){.image = ECHO, .max_conns = 8, .ring_len = 16});
	int clients[8];

	assert_int_equal(f->ring_len, 16);
	for (unsigned round = 1; round <= 25; round++) {
		fake_offer(f, 8, clients);
		for (int i = 0; i < 8; i++)
			close(clients[i]);
		fake_wait_done(f, round * 8);
	}
	fake_end(f);
}

static unsigned rings(struct fake *f)
{
	char bytes[100];
	ssize_t got = read(f->doorbell, bytes, sizeof(bytes));

	return got < 0 ? 0 : (unsigned)got;
}

static void the_bell_is_rung_once_per_arming(void **state)
{
	struct fake *f = fake_start(&echo);
	int clients[8];

	fake_ping(f, 1);
	fake_wait_beat(f, 1); /* has left the bell armed */
	rings(f);
	fake_offer(f, 8, clients);
	for (int i = 0; i < 8; i++) {
		expect_echo(clients[i], "x");
		expect_end((shutdown(clients[i], SHUT_WR), clients[i]));
	}
	assert_true(rings(f) <= 1);
	fake_wait_done(f, 8);
	fake_end(f);
}

static void no_socket_is_lost_when_descriptors_are_few(void **state)
{
	struct fake *f = fake_start(&(struct fake_options){.image = ECHO, .nofile = 26});
	int clients[24];

	for (int i = 0; i < 24; i += 8)
		fake_offer(f, 8, clients + i);
	fake_wait_taken(f, 8);
	assert_true(f->page->taken < 24);
	for (int i = 0; i < 24; i++) {
		expect_echo(clients[i], "hello");
		close(clients[i]);
	}
	fake_wait_done(f, 24);
	fake_end(f);
}

static void facts_of_a_connection_are_known(void **state)
{
	struct fake *f = fake_start(&probe);
	int clients[2];

	fake_expect_line(f, "start test/7 mark=gone");
	fake_offer(f, 1, clients);
	fake_expect_line(f, "open unix unix unix:/run/test");
	fake_offer_tcp(f, 1, clients + 1);
	assert_non_null(strstr(fake_expect_line(f, "open 127.0.0.1:"), " 127.0.0.1:25"));
	close(clients[0]);
	close(clients[1]);
	fake_end(f);
}

static void the_line_of_state_stands_in_the_page(void **state)
{
	struct fake *f = fake_start(&probe);
	char line[PAGE_LINE_BYTES];

	page_copy_line(f->page, line);
	assert_string_equal(line, "serving since the test began");
	fake_end(f);
}

static void a_failed_start_is_said_and_never_ready(void **state)
{
	static const char *const params[] = {"FAIL=no luck", NULL};
	struct fake *f = fake_spawn(&(struct fake_options){.image = PROBE, .params = params});

	fake_expect_line(f, "error: told to fail: no luck");
	assert_int_equal(WEXITSTATUS(fake_wait_exit(f)), 1);
	assert_int_equal(f->page->ready, 0);
	fake_end(f);
}

static void lines_are_cut_wherever_packets_end(void **state)
{
	struct fake *f = fake_start(&probe);
	int client;

	fake_offer(f, 1, &client);
	expect_answer(client, "ab\r\ncd\ne", "2:ab\n2:cd\n");
	expect_answer(client, "f\r", "");
	expect_answer(client, "\n\n", "2:ef\n0:\n");
	close(client);
	fake_end(f);
}

static void a_line_without_end_closes_the_connection(void **state)
{
	static char much[20000];
	struct fake *f = fake_start(&probe);
	int client;

	memset(much, 'x', sizeof(much));
	fake_offer(f, 1, &client);
	assert_int_equal(send(client, much, sizeof(much), MSG_NOSIGNAL), sizeof(much));
	fake_expect_line(f, "close -90"); /* EMSGSIZE */
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void what_a_slow_client_does_not_read_waits_and_is_bounded(void **state)
{
	static char buf[3000001];
	struct fake *f = fake_start(&probe);
	int client;

	fake_offer(f, 1, &client);
	fake_say(client, "pour 3000000\npour 1\nclose\n");
	fake_expect_line(f, "pour 0");
	fake_expect_line(f, "pour -105"); /* ENOBUFS */
	assert_int_equal(fake_read_end(client, buf, sizeof(buf)), 3000000);
	fake_expect_line(f, "close 0");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void the_author_hears_when_all_has_been_sent(void **state)
{
	static char buf[3000000];
	struct fake *f = fake_start(&probe);
	int client;

	fake_offer(f, 1, &client);
	fake_say(client, "pour 3000000\n");
	fake_read(client, buf, sizeof(buf));
	fake_expect_line(f, "drain");
	expect_answer(client, "still here\n", "10:still here\n");
	close(client);
	fake_end(f);
}

static void a_client_without_traffic_times_out(void **state)
{
	static const char *const params[] = {"TIMEOUT=50", NULL};
	struct fake *f = fake_start(&(struct fake_options){.image = PROBE, .params = params});
	char buf[100];
	int client;

	fake_offer(f, 1, &client);
	expect_answer(client, "a\n", "1:a\n");
	fake_read_end(client, buf, sizeof(buf));
	assert_string_equal(buf, "too slow\n");
	fake_wait_done(f, 1);
	close(client);
	fake_end(f);
}

static void one_client_may_close_all_others(void **state)
{
	struct fake *f = fake_start(&probe);
	int clients[8];

	fake_offer(f, 8, clients);
	expect_answer(clients[7], "last\n", "4:last\n");
	fake_say(clients[3], "close all\n");
	for (int i = 0; i < 8; i++)
		expect_end(clients[i]);
	fake_wait_done(f, 8);
	fake_end(f);
}

static void handles_of_the_author_run_on_the_loop(void **state)
{
	struct fake *f = fake_start(&probe);
	int clients[2];
	char buf[20];

	fake_offer(f, 2, clients);
	fake_say(clients[0], "later 20\n");
	fake_read_end(clients[0], buf, sizeof(buf));
	assert_string_equal(buf, "later\n");
	expect_answer(clients[1], "a\n", "1:a\n");
	fake_wait_done(f, 1);
	close(clients[0]);
	close(clients[1]);
	fake_end(f);
}

static void half_closed_input_is_still_answered(void **state)
{
	static char sent[2000000], got[2000001];
	struct fake *f = fake_start(&echo);
	size_t at = 0, have = 0;
	int client;

	fake_offer_tcp(f, 1, &client);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7 + i / 1000);
	fcntl(client, F_SETFL, O_NONBLOCK);
	while (have < sizeof(sent)) {
		struct pollfd p = {
			.fd = client, .events = at < sizeof(sent) ? POLLIN | POLLOUT : POLLIN};
		ssize_t put, take;

		assert_int_equal(poll(&p, 1, 5000), 1);
		put = at < sizeof(sent) ? send(client, sent + at, sizeof(sent) - at, MSG_NOSIGNAL)
					: 0;
		if (put > 0 && (at += (size_t)put) == sizeof(sent))
			shutdown(client, SHUT_WR);
		take = recv(client, got + have, sizeof(got) - have, 0);
		have += take > 0 ? (size_t)take : 0;
	}
	assert_memory_equal(sent, got, sizeof(sent));
	expect_end(client);
	fake_end(f);
}

static void a_client_that_resets_is_noticed(void **state)
{
	struct linger now = {.l_onoff = 1};
	struct fake *f = fake_start(&probe);
	int client;

	fake_offer_tcp(f, 1, &client);
	expect_answer(client, "a\n", "1:a\n");
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	fake_expect_line(f, "close -104"); /* ECONNRESET */
	fake_wait_done(f, 1);
	fake_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_of_eight_connections_is_served),
		cmocka_unit_test(a_banner_is_sent_and_the_connection_closed),
		cmocka_unit_test(a_ping_is_answered_in_the_page),
		cmocka_unit_test(a_retired_worker_ends_with_its_last_connection),
		cmocka_unit_test(an_idle_worker_ends_at_once_when_retired),
		cmocka_unit_test(without_anybody_on_the_channel_it_finishes_and_ends),
		cmocka_unit_test(term_lets_it_say_goodbye),
		cmocka_unit_test(term_closes_everything_when_the_author_says_nothing),
		cmocka_unit_test(an_unread_offer_stays_in_the_channel_after_term),
		cmocka_unit_test(an_unknown_message_is_skipped),
		cmocka_unit_test(a_long_unknown_message_is_skipped),
		cmocka_unit_test(new_limits_are_seen),
		cmocka_unit_test(new_listeners_are_seen_by_connections_that_come_then),
		cmocka_unit_test(reopen_reaches_the_author),
		cmocka_unit_test(the_ring_of_the_page_wraps_around),
		cmocka_unit_test(the_bell_is_rung_once_per_arming),
		cmocka_unit_test(no_socket_is_lost_when_descriptors_are_few),
		cmocka_unit_test(facts_of_a_connection_are_known),
		cmocka_unit_test(the_line_of_state_stands_in_the_page),
		cmocka_unit_test(a_failed_start_is_said_and_never_ready),
		cmocka_unit_test(lines_are_cut_wherever_packets_end),
		cmocka_unit_test(a_line_without_end_closes_the_connection),
		cmocka_unit_test(what_a_slow_client_does_not_read_waits_and_is_bounded),
		cmocka_unit_test(the_author_hears_when_all_has_been_sent),
		cmocka_unit_test(a_client_without_traffic_times_out),
		cmocka_unit_test(one_client_may_close_all_others),
		cmocka_unit_test(handles_of_the_author_run_on_the_loop),
		cmocka_unit_test(half_closed_input_is_still_answered),
		cmocka_unit_test(a_client_that_resets_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
