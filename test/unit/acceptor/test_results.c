/* Results of orders, as a new acceptor hears of them. */
#include "common/base.h"
#include "dispatcher/acceptor/results.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

static struct results results;

static int end(void **state)
{
	results_deinit(&results);
	return 0;
}

static int memory_of(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void keep(uint64_t id, uint32_t number, const char *text)
{
	struct link_record r = {.id = id, .number = number, .created_wall_ms = 7, .text = "reload"};

	results_keep_consume(&results, &r, text ? memory_of(text) : -1);
}

static void a_result_is_found_by_its_id(void **state)
{
	const struct result *r;

	assert_null(results_find(&results, 5));
	keep(5, 1, "wrong in line 3");
	r = results_find(&results, 5);
	assert_non_null(r);
	assert_int_equal(r->status, 1);
	assert_string_equal(r->verb, "reload");
	assert_string_equal(r->report, "wrong in line 3");
	assert_null(results_find(&results, 0));
	assert_null(results_find(&results, 6));
}

static void what_is_told_again_takes_no_second_place(void **state)
{
	keep(1, 0, "first");
	for (int i = 0; i < 3 * RESULTS_KEPT; i++)
		keep(2, 0, "again");
	assert_non_null(results_find(&results, 1));
}

static void the_oldest_makes_place(void **state)
{
	for (uint64_t id = 1; id <= RESULTS_KEPT + 1; id++)
		keep(id, 0, NULL);
	assert_null(results_find(&results, 1));
	for (uint64_t id = 2; id <= RESULTS_KEPT + 1; id++)
		assert_non_null(results_find(&results, id));
	assert_null(results_find(&results, 2)->report);
}

static void a_result_without_an_id_is_nobodys(void **state)
{
	keep(0, 0, "of a signal");
	for (unsigned i = 0; i < RESULTS_KEPT; i++)
		assert_null(results.kept[i].report);
}

#define TEST(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_result_is_found_by_its_id),
		TEST(what_is_told_again_takes_no_second_place),
		TEST(the_oldest_makes_place),
		TEST(a_result_without_an_id_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
