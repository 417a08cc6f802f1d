/* Cutting what workers write into lines. */
#include "dispatcher/supervisor/logline.h"
#include "test/unit/supervisor/testing.h"

#include <stdlib.h>
#include <string.h>

struct seen {
	unsigned count;
	size_t longest;
	char all[65536];
};

static void note(void *user, const char *text, size_t len)
{
	struct seen *s = user;

	s->count++;
	s->longest = len > s->longest ? len : s->longest;
	strncat(s->all, text, len);
	strcat(s->all, "|");
}

static void feed(struct logline *l, struct seen *s, const char *text)
{
	logline_feed(l, text, strlen(text), note, s);
}

static void lines_come_out_one_by_one_without_their_newlines(void **state)
{
	struct logline l = {0};
	struct seen s = {0};

	feed(&l, &s, "one\ntwo\r\n\nfour\n");
	assert_string_equal(s.all, "one|two||four|");
	assert_null(l.text);
}

static void a_line_that_comes_in_pieces_comes_out_whole(void **state)
{
	struct logline l = {0};
	struct seen s = {0};

	feed(&l, &s, "a");
	feed(&l, &s, "b");
	assert_int_equal(s.count, 0);
	feed(&l, &s, "c\nd");
	logline_flush(&l, note, &s);
	assert_string_equal(s.all, "abc|d|");
	assert_null(l.text);
}

static void a_line_that_never_ends_is_split_with_a_mark(void **state)
{
	static char much[LOGLINE_BYTES * 2 + 11];
	struct logline l = {0};
	struct seen s = {0};

	memset(much, 'x', sizeof(much) - 1);
	feed(&l, &s, much);
	feed(&l, &s, "\n");
	assert_int_equal(s.count, 3);
	assert_int_equal(s.longest, LOGLINE_BYTES + strlen(LOGLINE_MARK));
	assert_string_equal(s.all + strlen(s.all) - 11, "xxxxxxxxxx|");
}

static void a_line_of_just_the_most_bytes_is_not_split(void **state)
{
	static char full[LOGLINE_BYTES + 1];
	struct logline l = {0};
	struct seen s = {0};

	memset(full, 'x', sizeof(full) - 1);
	feed(&l, &s, full);
	feed(&l, &s, "\n");
	assert_int_equal(s.count, 1);
	assert_int_equal(s.longest, LOGLINE_BYTES);
}

static void any_cutting_of_the_input_gives_the_same_lines(void **state)
{
	const char *text = "first\nsecond line\n\nfourth\r\nlast";

	for (size_t cut = 1; cut < strlen(text); cut++) {
		struct logline l = {0};
		struct seen s = {0};

		for (size_t at = 0; at < strlen(text); at += cut) {
			size_t len = strlen(text) - at < cut ? strlen(text) - at : cut;

			logline_feed(&l, text + at, len, note, &s);
		}
		logline_flush(&l, note, &s);
		assert_string_equal(s.all, "first|second line||fourth|last|");
	}
}

static void control_characters_are_shown_and_tabs_and_utf8_stay(void **state)
{
	char out[64];
	size_t len = logline_escape("a\x1b[31m\tb\x7f\0\xc3\xa9", 12, out);

	out[len] = '\0';
	assert_string_equal(out, "a\\x1b[31m\tb\\x7f\\x00\xc3\xa9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_out_one_by_one_without_their_newlines),
		cmocka_unit_test(a_line_that_comes_in_pieces_comes_out_whole),
		cmocka_unit_test(a_line_that_never_ends_is_split_with_a_mark),
		cmocka_unit_test(a_line_of_just_the_most_bytes_is_not_split),
		cmocka_unit_test(any_cutting_of_the_input_gives_the_same_lines),
		cmocka_unit_test(control_characters_are_shown_and_tabs_and_utf8_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
