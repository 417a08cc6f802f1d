/* Lines of the log: whole or not at all, one event each. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/log.h"

#include <fcntl.h>
#include <string.h>

struct sink {
	int pipes[2];
	char text[8192];
};

static void sink_open(struct sink *s)
{
	assert_int_equal(pipe2(s->pipes, O_NONBLOCK | O_CLOEXEC), 0);
	log_to(s->pipes[1]);
}

static const char *sink_read(struct sink *s)
{
	ssize_t got = read(s->pipes[0], s->text, sizeof(s->text) - 1);

	s->text[MAX(got, 0)] = '\0';
	return s->text;
}

static void sink_close(struct sink *s)
{
	log_to(2);
	close(s->pipes[0]);
	close(s->pipes[1]);
}

static void a_line_has_time_level_event_and_keys(void **state)
{
	struct sink s;
	char *rest;

	sink_open(&s);
	log_event(EV_WORKER_SPAWN, "worker=%s/%u pid=%d", "smtp", 7u, 42);
	rest = strchr(sink_read(&s), ' ');
	assert_int_equal(rest - s.text, strlen("2026-02-03T04:05:06.789+01:00"));
	assert_string_equal(rest, " info worker.spawn worker=smtp/7 pid=42\n");
	sink_close(&s);
}

static void a_long_line_is_cut_but_ends(void **state)
{
	struct sink s;
	char longest[3000];
	size_t len;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	sink_open(&s);
	log_event(EV_CONFIG_ERROR, "text=%s", longest);
	len = strlen(sink_read(&s));
	assert_true(len <= 1024);
	assert_int_equal(s.text[len - 1], '\n');
	assert_ptr_equal(strchr(s.text, '\n'), s.text + len - 1);
	sink_close(&s);
}

static void lines_that_cannot_be_written_are_counted_and_told(void **state)
{
	struct sink s;
	uint64_t before = log_dropped();

	sink_open(&s);
	while (log_dropped() < before + 2)
		log_event(EV_POOL_RELEASE, "service=%s held_ms=%d", "smtp", 1);
	while (*sink_read(&s))
		;
	log_event(EV_START, "version=1");
	assert_non_null(strstr(sink_read(&s), "warning log.dropped lines=2\n"));
	assert_non_null(strstr(s.text, "info dispatcher.start version=1\n"));
	sink_close(&s);
}

static void debug_lines_come_only_for_the_topics_asked_for(void **state)
{
	struct sink s;

	sink_open(&s);
	log_debug(LOG_HANDOFF, "nobody asked");
	assert_string_equal(sink_read(&s), "");
	log_set_debug(0x4000);
	assert_true(log_wants(LOG_HANDOFF));
	assert_false(log_wants(LOG_CONFIG));
	log_debug(LOG_CONFIG, "not this");
	log_debug(LOG_HANDOFF, "slot %d", 3);
	assert_non_null(strstr(sink_read(&s), " debug debug topic=handoff text=slot 3\n"));
	assert_null(strstr(s.text, "not this"));
	log_set_debug(UINT32_MAX);
	for (unsigned i = 0; i < LOG_TOPICS; i++)
		assert_true(log_wants(i));
	log_set_debug(0);
	sink_close(&s);
}

static void a_value_is_quoted_only_when_it_must_be(void **state)
{
	char out[LOG_QUOTE_BYTES];

	assert_string_equal(log_quote("plain", out), "plain");
	assert_string_equal(log_quote("", out), "\"\"");
	assert_string_equal(log_quote("two words", out), "\"two words\"");
	assert_string_equal(log_quote("a\"b\\c", out), "\"a\\\"b\\\\c\"");
	assert_string_equal(log_quote("line\nbreak", out), "\"line\\x0abreak\"");
}

static void a_value_that_is_too_long_is_cut_to_its_room(void **state)
{
	char out[LOG_QUOTE_BYTES], longest[2000];

	memset(longest, '\n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(strlen(log_quote(longest, out)) < LOG_QUOTE_BYTES);
	assert_int_equal(out[strlen(out) - 1], '"');
	memset(longest, 'x', sizeof(longest) - 1);
	assert_true(strlen(log_quote(longest, out)) < LOG_QUOTE_BYTES);
}

static void every_event_is_documented_and_has_a_name_of_its_own(void **state)
{
	for (unsigned i = 0; i < LOG_EVENTS; i++) {
		assert_non_null(log_doc(i)->name);
		assert_non_null(log_doc(i)->means);
		assert_non_null(log_doc(i)->keys);
		for (unsigned other = 0; other < i; other++)
			assert_string_not_equal(log_doc(i)->name, log_doc(other)->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_level_event_and_keys),
		cmocka_unit_test(a_long_line_is_cut_but_ends),
		cmocka_unit_test(lines_that_cannot_be_written_are_counted_and_told),
		cmocka_unit_test(debug_lines_come_only_for_the_topics_asked_for),
		cmocka_unit_test(a_value_is_quoted_only_when_it_must_be),
		cmocka_unit_test(a_value_that_is_too_long_is_cut_to_its_room),
		cmocka_unit_test(every_event_is_documented_and_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
