/* The parts of the library that need no process: lines, output, setup, connection objects. */
#include "common/base.h"
#include "worker/conns.h"
#include "worker/lines.h"
#include "worker/output.h"
#include "worker/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct heard {
	char text[LINES_MAX_BYTES * 2];
	unsigned lines, stop_at;
};

static bool hear(void *arg, char *text, size_t len)
{
	struct heard *h = arg;

	assert_int_equal(strlen(text), len);
	strcat(h->text, text);
	strcat(h->text, "|");
	return ++h->lines != h->stop_at;
}

static int feed(struct partial **p, const char *text, struct heard *h)
{
	char copy[200];

	strcpy(copy, text);
	return lines_feed(p, copy, strlen(copy), hear, h);
}

static void lines_may_end_with_crlf_or_lf(void **state)
{
	struct heard h = {.lines = 0};
	struct partial *p = NULL;

	assert_int_equal(feed(&p, "one\r\ntwo\n\r\n\nfive\r\r\n", &h), 0);
	assert_string_equal(h.text, "one|two|||five\r|");
	assert_null(p);
}

static void a_line_may_come_byte_by_byte(void **state)
{
	struct heard h = {.lines = 0};
	struct partial *p = NULL;

	for (const char *c = "ab\r\nc\n"; *c; c++)
		assert_int_equal(feed(&p, (char[]){*c, '\0'}, &h), 0);
	assert_string_equal(h.text, "ab|c|");
	assert_null(p);
}

static void who_hears_a_line_may_stop(void **state)
{
	struct heard h = {.stop_at = 1};
	struct partial *p = NULL;

	assert_int_equal(feed(&p, "one\ntwo\nthr", &h), 7);
	assert_string_equal(h.text, "one|");
	assert_null(p);
}

/* A line of so many letters, fed in pieces of step. */
static int feed_long(size_t letters, size_t step, struct heard *h)
{
	static char data[LINES_MAX_BYTES + 10], piece[LINES_MAX_BYTES + 10];
	struct partial *p = NULL;
	int bad = 0;

	memset(data, 'x', letters);
	memcpy(data + letters, "\r\n", 2);
	for (size_t at = 0; !bad && at < letters + 2; at += step) {
		size_t len = MIN(step, letters + 2 - at);

		memcpy(piece, data + at, len);
		bad = lines_feed(&p, piece, len, hear, h);
	}
	lines_free(p);
	return bad;
}

static void the_longest_line_is_heard_and_a_longer_one_refused(void **state)
{
	for (size_t step = 1000; step <= LINES_MAX_BYTES + 2; step += LINES_MAX_BYTES - 998) {
		struct heard h = {.lines = 0};

		assert_int_equal(feed_long(LINES_MAX_BYTES, step, &h), 0);
		assert_int_equal(strlen(h.text), LINES_MAX_BYTES + 1);
		assert_int_equal(feed_long(LINES_MAX_BYTES + 5, step, &h), -EMSGSIZE);
		assert_int_equal(h.lines, 1);
	}
}

static void what_the_socket_takes_never_waits(void **state)
{
	struct output *o = NULL;
	char buf[10];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(output_write(&o, pair[0], NULL, "hello", 5), 0);
	assert_null(o);
	assert_int_equal(read(pair[1], buf, sizeof(buf)), 5);
	close(pair[0]);
	close(pair[1]);
}

static size_t drain(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t got;

	while ((got = recv(fd, buf + have, size - have, MSG_DONTWAIT)) > 0)
		have += (size_t)got;
	return have;
}

static void what_waits_goes_out_in_order_and_is_bounded(void **state)
{
	static char data[1000000], got[1100000];
	struct output *o = NULL;
	size_t have = 0;
	int pair[2], answer = OUTPUT_WAITS;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i % 251);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(output_write(&o, pair[0], NULL, data, sizeof(data)), OUTPUT_WAITS);
	assert_int_equal(output_write(&o, pair[0], NULL, "more", 4), -ENOBUFS);
	while (answer == OUTPUT_WAITS) {
		have += drain(pair[1], got + have, sizeof(got) - have);
		answer = output_flush(&o, pair[0], NULL);
	}
	assert_int_equal(answer, 0);
	assert_null(o);
	assert_int_equal(output_write(&o, pair[0], NULL, "end", 3), 0);
	have += drain(pair[1], got + have, sizeof(got) - have);
	assert_int_equal(have, sizeof(data) + 3);
	assert_memory_equal(data, got, sizeof(data));
	assert_memory_equal("end", got + sizeof(data), 3);
	close(pair[0]);
	close(pair[1]);
}

static void small_pieces_behind_what_waits_are_kept_until_the_bound(void **state)
{
	static char data[600000], piece[1000];
	struct output *o = NULL;
	unsigned kept = 0;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	while (!o)
		assert_true(output_write(&o, pair[0], NULL, data, 50000) >= 0);
	while (output_write(&o, pair[0], NULL, piece, sizeof(piece)) == OUTPUT_WAITS)
		kept++;
	assert_in_range(kept, OUTPUT_MAX_BYTES / 1000 - 50, OUTPUT_MAX_BYTES / 1000);
	output_free(o);
	close(pair[0]);
	close(pair[1]);
}

static void a_client_that_has_gone_is_an_error(void **state)
{
	struct output *o = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	assert_int_equal(output_write(&o, pair[0], NULL, "x", 1), -EPIPE);
	assert_null(o);
	close(pair[0]);
}

static void begin_setup(struct msg_writer *m, void *buf, size_t size)
{
	msg_begin(m, buf, size, MSG_SETUP);
	msg_put_text(m, MSG_SERVICE, "smtp");
	msg_put_u32(m, MSG_WORKER, 7);
	msg_put_u32(m, MSG_MAX_CONNS_FACT, 50);
}

static void setup_holds_texts_numbers_and_lists(void **state)
{
	uint8_t buf[1000];
	struct msg_writer m;
	struct setup s;

	begin_setup(&m, buf, sizeof(buf));
	msg_put_text(&m, MSG_PARAMETER, "A=1");
	msg_put_text(&m, MSG_ARGUMENT, "");
	msg_put_text(&m, MSG_PARAMETER, "Channel=tcp_lmtpss=x");
	msg_put_text(&m, MSG_ARGUMENT, "-v");
	msg_put_text(&m, MSG_LISTENER_NAME, "[::]:25");
	msg_put_text(&m, MSG_PARAMETER, "a=2");
	msg_put_u32(&m, 999, 1);
	assert_int_equal(setup_init(&s, buf, (size_t)msg_end(&m)), 0);
	assert_string_equal(s.service, "smtp");
	assert_int_equal(s.serial, 7);
	assert_int_equal(s.limits.max_conns, 50);
	assert_string_equal(setup_param(&s, "CHANNEL"), "tcp_lmtpss=x");
	assert_string_equal(setup_param(&s, "A"), "2");
	assert_null(setup_param(&s, "B"));
	assert_null(setup_param(&s, "Chan"));
	assert_string_equal(s.command[0], "");
	assert_string_equal(s.command[1], "-v");
	assert_null(s.command[2]);
	assert_string_equal(s.listeners[0], "[::]:25");
	setup_deinit(&s);
}

static void a_setup_that_is_cut_anywhere_is_refused_or_whole(void **state)
{
	uint8_t buf[1000];
	struct msg_writer m;
	struct setup s;

	begin_setup(&m, buf, sizeof(buf));
	msg_put_text(&m, MSG_PARAMETER, "A=1");
	for (size_t len = 0; len < (size_t)msg_end(&m); len++) {
		uint8_t *exact = malloc(len);

		memcpy(exact, buf, len);
		if (setup_init(&s, exact, len) == 0)
			setup_deinit(&s);
		free(exact);
	}
	msg_begin(&m, buf, sizeof(buf), MSG_PING);
	assert_int_equal(setup_init(&s, buf, (size_t)msg_end(&m)), -EBADMSG);
}

static void connection_objects_are_used_again_last_in_first_out(void **state)
{
	struct conns all = {.count = 0};
	struct worker_conn *c[40];
	const struct msg_conn m = {.slot = 3};

	for (int i = 0; i < 40; i++)
		c[i] = conns_get(&all, NULL, &m, -1);
	assert_int_equal(all.count, 40);
	assert_ptr_equal(all.open, c[39]);
	for (int i = 10; i < 20; i++) {
		conns_set(c[i], CONN_CLOSING);
		conns_set(c[i], CONN_CLOSED);
		conns_put(&all, c[i]);
	}
	assert_int_equal(all.count, 30);
	assert_ptr_equal(conns_get(&all, NULL, &m, -1), c[19]);
	assert_ptr_equal(c[20]->next, c[9]);
	assert_ptr_equal(c[9]->prev, c[20]);
	conns_deinit(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_may_end_with_crlf_or_lf),
		cmocka_unit_test(a_line_may_come_byte_by_byte),
		cmocka_unit_test(who_hears_a_line_may_stop),
		cmocka_unit_test(the_longest_line_is_heard_and_a_longer_one_refused),
		cmocka_unit_test(what_the_socket_takes_never_waits),
		cmocka_unit_test(what_waits_goes_out_in_order_and_is_bounded),
		cmocka_unit_test(small_pieces_behind_what_waits_are_kept_until_the_bound),
		cmocka_unit_test(a_client_that_has_gone_is_an_error),
		cmocka_unit_test(setup_holds_texts_numbers_and_lists),
		cmocka_unit_test(a_setup_that_is_cut_anywhere_is_refused_or_whole),
		cmocka_unit_test(connection_objects_are_used_again_last_in_first_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
