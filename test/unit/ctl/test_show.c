/* What an operator sees, from documents as the dispatcher makes them. */
#include "common/base.h"
#include "dispatcher/ctl/text.h"
#include "test/unit/ctl/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Compares with the text beside the document; DISPATCHER_SHOW=1 prints what is rendered. */
static void is_shown_as(const char *name, bool detailed)
{
	char file[64], *json, *wanted, *got;

	snprintf(file, sizeof(file), "%s.json", name);
	json = fixture_text(file);
	snprintf(file, sizeof(file), "%s.txt", name);
	wanted = fixture_text(file);
	got = rendered_consume(json_loads(json, 0, NULL), detailed);
	if (getenv("DISPATCHER_SHOW"))
		fputs(got, stdout);
	assert_string_equal(got, wanted);
	free(json);
	free(wanted);
	free(got);
}

static void quiet_services_take_one_line_each(void **state)
{
	is_shown_as("quiet", false);
}

static void trouble_comes_first_and_is_explained(void **state)
{
	is_shown_as("trouble", false);
}

static void one_service_is_shown_with_every_worker(void **state)
{
	is_shown_as("detail", true);
}

static void connections_are_shown_longest_first(void **state)
{
	is_shown_as("connections", false);
}

static void no_line_is_longer_than_80_columns(void **state)
{
	static const char *const names[] = {"quiet.txt", "trouble.txt", "detail.txt", "connections.txt"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char *text = fixture_text(names[i]);

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			assert_in_range(strlen(line), 0, TEXT_COLUMNS);
		free(text);
	}
}

static void empty_document_is_no_crash(void **state)
{
	free(rendered_consume(json_object(), true));
	free(rendered_consume(json_pack("{s:[{}], s:{s:[n]}}", "services", "dispatcher", "not_enforced"), true));
	free(rendered_consume(json_pack("{s:[{s:[{}, n]}]}", "services", "workers"), false));
	free(rendered_consume(json_pack("[{}, n]"), false));
}

static void line_of_a_worker_cannot_command_the_terminal(void **state)
{
	char *text = rendered_consume(json_pack("{s:[{s:s, s:s, s:[{s:s, s:s}]}]}", "services", "name",
		"\033[2Jx", "state", "open", "workers", "id", "x/\033c", "line", "evil \033[31m\a"), true);

	assert_null(strpbrk(text, "\033\a"));
	assert_non_null(strstr(text, "evil ?[31m?"));
	free(text);
}

static void supervisor_that_is_gone_is_an_alarm(void **state)
{
	char *text = rendered_consume(json_pack("{s:{s:n}}", "dispatcher", "supervisor_pid"), false);

	assert_non_null(strstr(text, "supervisor GONE"));
	assert_non_null(strstr(text, "no worker can be started"));
	free(text);
}

static void durations_keep_to_two_units(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {{-1, "0s"}, {0.9, "0s"}, {59.9, "59s"}, {60, "1m 0s"}, {125, "2m 5s"},
		{3600, "1h 0m"}, {86399, "23h 59m"}, {90061, "1d 1h"}, {8640000, "100d"}, {1e300, "99999d"}};
	char text[TEXT_SHORT_BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(text_duration(cases[i].seconds, text), cases[i].text);
}

static void counts_keep_to_five_characters(void **state)
{
	static const struct {
		double count;
		const char *text;
	} cases[] = {{0, "0"}, {99999, "99999"}, {100000, "100k"}, {9999499, "9999k"}, {9999500, "10M"},
		{123456789, "123M"}, {18446744073709551615.0, "18E"}};
	char text[TEXT_SHORT_BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(text_count(cases[i].count, text), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiet_services_take_one_line_each),
		cmocka_unit_test(trouble_comes_first_and_is_explained),
		cmocka_unit_test(one_service_is_shown_with_every_worker),
		cmocka_unit_test(connections_are_shown_longest_first),
		cmocka_unit_test(no_line_is_longer_than_80_columns),
		cmocka_unit_test(empty_document_is_no_crash),
		cmocka_unit_test(line_of_a_worker_cannot_command_the_terminal),
		cmocka_unit_test(supervisor_that_is_gone_is_an_alarm),
		cmocka_unit_test(durations_keep_to_two_units),
		cmocka_unit_test(counts_keep_to_five_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
