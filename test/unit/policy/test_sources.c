/* Connections per source. */
#include "dispatcher/policy/siphash.h"
#include "dispatcher/policy/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = {1, 2, 3};

static struct source source(uint32_t number, uint8_t family)
{
	struct source s = {.family = family};

	memcpy(s.ip, &number, sizeof(number));
	return s;
}

static struct sources *start(uint32_t max_open)
{
	return sources_init(malloc(sources_bytes(max_open)), max_open, key);
}

static void a_source_has_no_more_than_its_limit(void **state)
{
	struct sources *s = start(10);
	struct source a = source(1, 4), b = source(2, 4);

	assert_true(sources_opened(s, &a, 2));
	assert_true(sources_opened(s, &a, 2));
	assert_false(sources_opened(s, &a, 2));
	assert_int_equal(sources_count(s, &a), 2);
	assert_true(sources_opened(s, &b, 2));
	sources_closed(s, &a);
	assert_true(sources_opened(s, &a, 2));
	assert_true(sources_opened(s, &a, 0));
	free(s);
}

static void families_are_counted_apart(void **state)
{
	struct sources *s = start(10);
	struct source a = source(1, 4), b = source(1, 6);

	assert_true(sources_opened(s, &a, 1));
	assert_true(sources_opened(s, &b, 1));
	assert_int_equal(sources_count(s, &a), 1);
	sources_closed(s, &a);
	assert_int_equal(sources_count(s, &a), 0);
	assert_int_equal(sources_count(s, &b), 1);
	free(s);
}

static void a_full_table_refuses_new_sources_only(void **state)
{
	struct sources *s = start(3);
	struct source extra = source(99, 4), first = source(0, 4);

	for (uint32_t i = 0; i < 3; i++) {
		struct source a = source(i, 4);

		assert_true(sources_opened(s, &a, 0));
	}
	assert_false(sources_opened(s, &extra, 0));
	assert_true(sources_opened(s, &first, 0));
	sources_closed(s, &first);
	sources_closed(s, &first);
	assert_true(sources_opened(s, &extra, 0));
	assert_false(sources_opened(s, &first, 0));
	free(s);
}

static void closing_what_was_not_counted_changes_nothing(void **state)
{
	struct sources *s = start(3);
	struct source a = source(1, 4);

	sources_closed(s, &a);
	assert_int_equal(sources_count(s, &a), 0);
	assert_true(sources_opened(s, &a, 1));
	free(s);
}

static void a_source_is_logged_once_a_minute(void **state)
{
	struct sources *s = start(3);
	struct source a = source(1, 4), b = source(2, 4);

	assert_true(sources_may_log(s, &a, 1000));
	assert_false(sources_may_log(s, &a, 60999));
	assert_true(sources_may_log(s, &b, 60999));
	assert_true(sources_may_log(s, &a, 61000));
	assert_false(sources_may_log(s, &a, 61001));
	free(s);
}

static void the_oldest_logged_source_is_forgotten_first(void **state)
{
	struct sources *s = start(3);
	struct source a = source(1, 4), b = source(2, 4);

	assert_true(sources_may_log(s, &a, 10));
	assert_true(sources_may_log(s, &b, 11));
	for (uint32_t i = 100; i < 163; i++) {
		struct source other = source(i, 4);

		assert_true(sources_may_log(s, &other, 12));
	}
	assert_false(sources_may_log(s, &b, 13));
	assert_true(sources_may_log(s, &a, 13));
	free(s);
}

static void the_hash_is_the_published_one(void **state)
{
	uint8_t bytes[16];

	for (uint8_t i = 0; i < 16; i++)
		bytes[i] = i;
	assert_true(siphash(bytes, bytes, 15, 2, 4) == 0xa129ca6149be45e5);
	assert_true(siphash(bytes, bytes, 15, 1, 3) != 0xa129ca6149be45e5);
}

/* Without the key nobody can choose sources that meet in one place. */
static void the_key_decides_about_the_places(void **state)
{
	static const uint8_t other_key[16] = {1, 2, 4};
	struct sources *s = start(1000), *t;

	t = sources_init(malloc(sources_bytes(1000)), 1000, other_key);
	for (uint32_t i = 0; i < 1000; i++) {
		struct source a = source(i, 4);

		assert_true(sources_opened(s, &a, 1));
		assert_true(sources_opened(t, &a, 1));
	}
	assert_memory_not_equal((char *)s + sources_bytes(1000) - 4096,
		(char *)t + sources_bytes(1000) - 4096, 4096);
	free(s);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_has_no_more_than_its_limit),
		cmocka_unit_test(families_are_counted_apart),
		cmocka_unit_test(a_full_table_refuses_new_sources_only),
		cmocka_unit_test(closing_what_was_not_counted_changes_nothing),
		cmocka_unit_test(a_source_is_logged_once_a_minute),
		cmocka_unit_test(the_oldest_logged_source_is_forgotten_first),
		cmocka_unit_test(the_hash_is_the_published_one),
		cmocka_unit_test(the_key_decides_about_the_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
