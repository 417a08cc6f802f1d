/* Answers in pieces. */
#include "common/base.h"
#include "dispatcher/acceptor/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void the_head_is_a_line_of_json(void **state)
{
	struct answer an = {0};

	answer_head(&an, ANSWER_DONE, NULL, ",\"running\":true");
	assert_string_equal(an.text, "{\"status\":0,\"error\":null,\"running\":true}\n");
	answer_head(&an, ANSWER_REFUSED, "\"quoted\"\n", NULL);
	assert_string_equal(an.text, "{\"status\":1,\"error\":\"\\\"quoted\\\"\\n\"}\n");
	answer_add(&an, "more");
	assert_string_equal(an.text + an.len - 5, "\nmore");
	assert_false(answer_next(&an));
	answer_deinit(&an);
}

/* Writes an->only_serial bytes for each item, an->service items. */
static bool write_items(struct answer *an, FILE *out)
{
	for (uint32_t i = 0; i < an->only_serial; i++)
		fputc('a' + (int)(an->item % 26), out);
	return ++an->item < an->service;
}

/* All pieces together; *ret_most: the longest. */
static size_t read_all(struct answer *an, size_t *ret_most, unsigned *ret_pieces)
{
	size_t all = 0;

	*ret_most = *ret_pieces = 0;
	while (answer_next(an)) {
		all += an->len;
		*ret_most = MAX(*ret_most, an->len);
		(*ret_pieces)++;
	}
	return all;
}

static void a_long_body_comes_in_pieces_of_bounded_length(void **state)
{
	struct answer an = {.more = write_items, .service = 5000, .only_serial = 1000};
	size_t most;
	unsigned pieces;

	assert_int_equal(read_all(&an, &most, &pieces), 5000 * 1000);
	assert_true(most < 40000);
	assert_true(pieces > 100);
	answer_deinit(&an);
}

static void a_search_that_finds_nothing_lets_others_in_between(void **state)
{
	struct answer an = {.more = write_items, .service = 5000, .only_serial = 0};
	size_t most;
	unsigned pieces;

	assert_int_equal(read_all(&an, &most, &pieces), 0);
	assert_int_equal(an.item, 5000);
	assert_true(pieces > 50);
	answer_deinit(&an);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_head_is_a_line_of_json),
		cmocka_unit_test(a_long_body_comes_in_pieces_of_bounded_length),
		cmocka_unit_test(a_search_that_finds_nothing_lets_others_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
