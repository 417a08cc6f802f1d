/* The text parsers: what they read, and that they read nothing else. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/parse.h"

#include <string.h>

static void numbers_are_decimal_or_in_a_named_base(void **state)
{
	static const struct {
		const char *text;
		uint64_t number;
	} cases[] = {{"0", 0}, {"10", 10}, {"007", 7}, {"16%ff", 255}, {"16%FF", 255}, {"2%101", 5},
		{"8%022", 18}, {"36%z", 35}, {"18446744073709551615", UINT64_MAX}};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t number = 1;

		assert_int_equal(parse_u64(cases[i].text, &number), 0);
		assert_true(number == cases[i].number);
	}
}

static void what_is_no_number_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {"", " ", "1 ", " 1", "-1", "+1", "0x10", "1.5", "1%0",
		"37%1", "0%0", "2%2", "16%", "%5", "16%%5", "10k", "999999999999%1"};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t number = 42;

		assert_int_equal(parse_u64(bad[i], &number), PARSE_BAD);
		assert_int_equal(number, 42);
	}
}

static void a_number_that_does_not_fit_is_told_apart_from_nonsense(void **state)
{
	uint64_t number = 42;
	int64_t small = 42;

	assert_int_equal(parse_u64("18446744073709551616", &number), PARSE_TOO_BIG);
	assert_int_equal(parse_u64("16%10000000000000000", &number), PARSE_TOO_BIG);
	assert_int_equal(parse_i64("9223372036854775808", &small), PARSE_TOO_BIG);
	assert_int_equal(parse_time("18446744073709551615d", &number), PARSE_TOO_BIG);
	assert_int_equal(parse_size("18446744073709551615K", &number), PARSE_TOO_BIG);
	assert_int_equal(number, 42);
	assert_int_equal(small, 42);
}

static void signed_numbers_take_one_sign(void **state)
{
	int64_t number = 42;

	assert_int_equal(parse_i64("-20", &number), 0);
	assert_int_equal(number, -20);
	assert_int_equal(parse_i64("+7", &number), 0);
	assert_int_equal(number, 7);
	assert_int_equal(parse_i64("--7", &number), PARSE_BAD);
	assert_int_equal(parse_i64("-", &number), PARSE_BAD);
	assert_int_equal(parse_i64("-16%1", &number), 0);
	assert_int_equal(number, -1);
}

static void modes_are_octal(void **state)
{
	uint64_t mode = 1;

	assert_int_equal(parse_octal("0660", &mode), 0);
	assert_int_equal(mode, 0660);
	assert_int_equal(parse_octal("16%1f", &mode), 0);
	assert_int_equal(mode, 0x1f);
	assert_int_equal(parse_octal("0680", &mode), PARSE_BAD);
}

static void times_are_seconds_unless_they_name_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {{"90", 90000}, {"90s", 90000}, {"500ms", 500}, {"10m", 600000},
		{"2h", 7200000}, {"1D", 86400000}, {"0", 0}, {"16%a", 10000}};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = 1;

		assert_int_equal(parse_time(cases[i].text, &ms), 0);
		assert_true(ms == cases[i].ms);
	}
}

static void a_time_with_another_unit_is_refused(void **state)
{
	static const char *const bad[] = {"", "s", "10 s", "10sec", "10K", "1h30m", "-1s", "1.5h"};
	uint64_t ms = 42;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_time(bad[i], &ms), PARSE_BAD);
	assert_int_equal(ms, 42);
}

static void sizes_are_powers_of_1024(void **state)
{
	uint64_t bytes = 0;

	assert_int_equal(parse_size("2048000", &bytes), 0);
	assert_int_equal(bytes, 2048000);
	assert_int_equal(parse_size("64k", &bytes), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(parse_size("2G", &bytes), 0);
	assert_true(bytes == 2ull << 30);
	assert_int_equal(parse_size("2GB", &bytes), PARSE_BAD);
}

static void booleans_have_four_pairs_of_words(void **state)
{
	bool value = false;

	assert_int_equal(parse_bool("1", &value), 0);
	assert_true(value);
	assert_int_equal(parse_bool("Off", &value), 0);
	assert_false(value);
	assert_int_equal(parse_bool("YES", &value), 0);
	assert_true(value);
	assert_int_equal(parse_bool("2", &value), PARSE_BAD);
	assert_int_equal(parse_bool("", &value), PARSE_BAD);
}

/* Splits and joins with | to compare in one line. */
static const char *split(const char *text, char joined[256])
{
	char words[100];
	const char *word = words;
	unsigned count = 99;

	strcpy(joined, "");
	if (parse_words(text, words, strlen(text) + 1, &count))
		return "error";
	for (unsigned i = 0; i < count; i++, word += strlen(word) + 1)
		strcat(strcat(joined, word), "|");
	return joined;
}

static void a_command_line_is_split_at_blanks_and_unquoted(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {{"", ""}, {"  \t ", ""}, {"/bin/date", "/bin/date|"}, {" a  b\tc ", "a|b|c|"},
		{"sh -c 'a \"b\" \\ $c'", "sh|-c|a \"b\" \\ $c|"},
		{"a \"b 'c' \\\" \\\\ \\n\"", "a|b 'c' \" \\ \\n|"}, {"a\\ b \\'c", "a b|'c|"},
		{"'' \"\"", "||"}, {"a'b'\"c\"d", "abcd|"}, {"x ''", "x||"}};
	char joined[256];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(split(cases[i].text, joined), cases[i].words);
}

static void an_open_quote_or_escape_is_refused(void **state)
{
	char words[64];
	unsigned count = 99;

	assert_int_equal(parse_words("a 'b", words, sizeof(words), &count), PARSE_OPEN_QUOTE);
	assert_int_equal(parse_words("a \"b\\\"", words, sizeof(words), &count), PARSE_OPEN_QUOTE);
	assert_int_equal(parse_words("a \\", words, sizeof(words), &count), PARSE_OPEN_ESCAPE);
	assert_int_equal(count, 99);
}

static void distance_counts_the_slips_of_a_typist(void **state)
{
	assert_int_equal(parse_distance("MAX_PROCS", "max_procs"), 0);
	assert_int_equal(parse_distance("MAX_PROC", "MAX_PROCS"), 1);
	assert_int_equal(parse_distance("MXA_PROCS", "MAX_PROCS"), 1);
	assert_int_equal(parse_distance("MIN_PROCS", "MAX_PROCS"), 2);
	assert_int_equal(parse_distance("", "abc"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_decimal_or_in_a_named_base),
		cmocka_unit_test(what_is_no_number_is_refused_and_changes_nothing),
		cmocka_unit_test(a_number_that_does_not_fit_is_told_apart_from_nonsense),
		cmocka_unit_test(signed_numbers_take_one_sign),
		cmocka_unit_test(modes_are_octal),
		cmocka_unit_test(times_are_seconds_unless_they_name_a_unit),
		cmocka_unit_test(a_time_with_another_unit_is_refused),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(booleans_have_four_pairs_of_words),
		cmocka_unit_test(a_command_line_is_split_at_blanks_and_unquoted),
		cmocka_unit_test(an_open_quote_or_escape_is_refused),
		cmocka_unit_test(distance_counts_the_slips_of_a_typist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
