/* When a worker is asked whether it lives, and when it counts as hung. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dispatcher/acceptor/hang.h"

#define LIMIT_MS 1000

static struct hang worker;
static uint64_t due_ms;

static enum hang_verb look(uint64_t now_ms)
{
	return hang_look(&worker, true, LIMIT_MS, now_ms, &due_ms);
}

static int begin(void **state)
{
	worker = (struct hang){0};
	assert_int_equal(look(5000), HANG_WAIT);
	return 0;
}

static void a_worker_is_asked_after_half_of_the_time(void **state)
{
	assert_int_equal(due_ms, 5500);
	assert_int_equal(look(5499), HANG_WAIT);
	assert_int_equal(look(5500), HANG_ASK);
	assert_int_equal(due_ms, 6000);
}

static void who_answers_is_asked_again_only_later(void **state)
{
	look(5500);
	hang_alive(&worker, 5510);
	assert_int_equal(look(5999), HANG_WAIT);
	assert_int_equal(due_ms, 6010);
	assert_int_equal(look(6010), HANG_ASK);
}

static void who_does_not_answer_in_time_hangs_once(void **state)
{
	look(5500);
	assert_int_equal(look(5999), HANG_WAIT);
	assert_int_equal(look(6000), HANG_HUNG);
	assert_int_equal(look(7000), HANG_WAIT);
	assert_true(due_ms > 7000);
}

static void a_late_question_leaves_as_much_time_for_the_answer(void **state)
{
	assert_int_equal(look(60000), HANG_ASK);
	assert_int_equal(look(60499), HANG_WAIT);
	assert_int_equal(due_ms, 60500);
	assert_int_equal(look(60500), HANG_HUNG);
}

static void who_has_nothing_to_do_is_left_alone(void **state)
{
	assert_int_equal(hang_look(&worker, false, LIMIT_MS, 9000, &due_ms), HANG_WAIT);
	assert_int_equal(look(9499), HANG_WAIT);
	assert_int_equal(look(9500), HANG_ASK);
	assert_int_equal(hang_look(&worker, false, LIMIT_MS, 60000, &due_ms), HANG_WAIT);
	assert_int_equal(look(60001), HANG_WAIT);
}

static void the_next_look_is_never_in_the_past(void **state)
{
	for (uint64_t now = 5001; now < 20000; now += 7) {
		hang_look(&worker, now % 3, LIMIT_MS, now, &due_ms);
		assert_true(due_ms > now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_worker_is_asked_after_half_of_the_time, begin),
		cmocka_unit_test_setup(who_answers_is_asked_again_only_later, begin),
		cmocka_unit_test_setup(who_does_not_answer_in_time_hangs_once, begin),
		cmocka_unit_test_setup(a_late_question_leaves_as_much_time_for_the_answer, begin),
		cmocka_unit_test_setup(who_has_nothing_to_do_is_left_alone, begin),
		cmocka_unit_test_setup(the_next_look_is_never_in_the_past, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
