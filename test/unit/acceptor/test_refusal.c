/* What a refused client is told, and how long its connection is kept. */
#include "dispatcher/acceptor/refusal.h"
#include "common/base.h"
#include "dispatcher/acceptor/endings.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

static uv_loop_t loop;
static struct endings endings;
static struct hand *hand;

static int set_up(void **state)
{
	hand = hand_new();
	assert_int_equal(uv_loop_init(&loop), 0);
	endings_init(&endings, &loop, hand);
	return 0;
}

static int tear_down(void **state)
{
	endings_hurry(&endings);
	uv_close((uv_handle_t *)&endings.timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void text_is(const char *text, const char *bytes)
{
	char made[REFUSAL_BYTES];
	size_t len = refusal_make(text, made);

	assert_int_equal(len, strlen(bytes));
	assert_memory_equal(made, bytes, len);
}

static void a_text_ends_with_crlf_and_may_have_several_lines(void **state)
{
	text_is(NULL, "");
	text_is("", "");
	text_is("421 busy", "421 busy\r\n");
	text_is("a\\nb\\n", "a\r\nb\r\n\r\n");
	text_is("a\\\\n b\\", "a\\n b\\\r\n");
	text_is("50\\% \\t", "50\\% \\t\r\n");
}

static void a_text_of_any_length_fits(void **state)
{
	char text[2 * REFUSAL_BYTES], made[REFUSAL_BYTES];

	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\\n", 2);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(refusal_make(text, made), REFUSAL_BYTES);
}

/* Both ends of a TCP connection over the loopback. */
static void meet(int *ret_client, int *ret_server)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&sa, &len);
	assert_int_equal(connect(*ret_client, (struct sockaddr *)&sa, len), 0);
	*ret_server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*ret_server >= 0);
	close(listener);
}

static void refuse(int server)
{
	unsigned place = endings_place(&endings);

	endings_put(&endings, place, server);
	refusal_say(server, "no\r\n", 4);
	endings_begin(&endings, place);
}

static void expect_refusal(int client)
{
	char got[10];

	assert_int_equal(recv(client, got, sizeof(got), MSG_WAITALL), 4);
	assert_memory_equal(got, "no\r\n", 4);
	assert_int_equal(recv(client, got, sizeof(got), 0), 0); /* an end, and no reset */
}

static void who_has_gone_already_is_closed_at_once(void **state)
{
	int client, server;

	meet(&client, &server);
	shutdown(client, SHUT_WR);
	refuse(server);
	assert_int_equal(endings.count, 0);
	assert_false(uv_is_active((uv_handle_t *)&endings.timer));
	expect_refusal(client);
	close(client);
}

static void who_has_sent_and_sends_more_reads_the_text_and_is_closed_once_it_closes(void **state)
{
	char much[10000] = {0};
	int client, server;

	meet(&client, &server);
	assert_int_equal(send(client, much, sizeof(much), 0), sizeof(much));
	refuse(server);
	assert_int_equal(endings.count, 1);
	for (int i = 0; i < 3; i++) {
		uv_run(&loop, UV_RUN_ONCE);
		assert_int_equal(send(client, much, sizeof(much), MSG_NOSIGNAL), sizeof(much));
	}
	assert_int_equal(endings.count, 1);
	expect_refusal(client);
	close(client);
	uv_run(&loop, UV_RUN_DEFAULT); /* until the timer stops */
	assert_int_equal(endings.count, 0);
}

static void who_never_closes_has_two_seconds(void **state)
{
	uint64_t began_ms = uv_hrtime() / 1000000;
	int client, server;

	meet(&client, &server);
	refuse(server);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_in_range(uv_hrtime() / 1000000 - began_ms, 1900, 20000);
	expect_refusal(client);
	close(client);
}

static void with_too_many_the_one_refused_first_makes_place(void **state)
{
	int clients[HAND_ENDING + 1], server;

	for (unsigned i = 0; i <= HAND_ENDING; i++) {
		meet(&clients[i], &server);
		assert_int_equal(send(clients[i], "hello", 5, 0), 5);
		refuse(server);
	}
	assert_int_equal(endings.count, HAND_ENDING);
	for (unsigned i = 0; i <= HAND_ENDING; i++) {
		expect_refusal(clients[i]);
		close(clients[i]);
	}
}

#define ENDING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_ends_with_crlf_and_may_have_several_lines),
		cmocka_unit_test(a_text_of_any_length_fits),
		ENDING_TEST(who_has_gone_already_is_closed_at_once),
		ENDING_TEST(who_has_sent_and_sends_more_reads_the_text_and_is_closed_once_it_closes),
		ENDING_TEST(who_never_closes_has_two_seconds),
		ENDING_TEST(with_too_many_the_one_refused_first_makes_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
