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

static bool hung(struct hang_sight before, struct hang_sight now)
{
	now.at_ms = before.at_ms + LIMIT_MS;
	return hang_between(&before, &now);
}

static void who_is_stopped_all_the_time_hangs(void **state)
{
	struct hang_sight stopped = {.stopped = true}, runs = {0};

	assert_true(hung(stopped, stopped));
	assert_false(hung(runs, stopped));
	assert_false(hung(stopped, runs));
}

static void what_a_process_used_that_ended_is_no_sign_of_spinning(void **state)
{
	struct hang_sight before = {.unread_bytes = 10, .cpu_ms = 5000}, now = {.unread_bytes = 10, .cpu_ms = 4000};

	assert_false(hung(before, now));
	now.cpu_ms = before.cpu_ms + LIMIT_MS;
	assert_true(hung(before, now));
}

static void who_leaves_unread_what_came_and_does_nothing_hangs(void **state)
{
	struct hang_sight some = {.unread_bytes = 10}, more = {.unread_bytes = 20}, none = {0};

	assert_true(hung(some, some));
	assert_true(hung(some, more));
	assert_false(hung(more, some));
	assert_false(hung(none, some));
	assert_false(hung(none, none));
}

static void who_leaves_unread_what_came_and_computes_hangs_unless_it_works_for_others(void **state)
{
	struct hang_sight before = {.unread_bytes = 10, .cpu_ms = 7000};
	struct hang_sight spins = {.unread_bytes = 10, .cpu_ms = 7900};
	struct hang_sight works = {.unread_bytes = 10, .cpu_ms = 7100};
	struct hang_sight ticks = {.unread_bytes = 10, .cpu_ms = 7010};
	struct hang_sight starves = {.unread_bytes = 10, .cpu_ms = 7000, .running = true};
	struct hang_sight starves_on = {.unread_bytes = 10, .cpu_ms = 7100, .running = true};

	assert_true(hung(before, spins));
	assert_false(hung(before, works));
	assert_true(hung(before, ticks));
	assert_true(hung(starves, starves_on));
	assert_false(hung(before, starves_on));
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
		cmocka_unit_test(who_is_stopped_all_the_time_hangs),
		cmocka_unit_test(what_a_process_used_that_ended_is_no_sign_of_spinning),
		cmocka_unit_test(who_leaves_unread_what_came_and_does_nothing_hangs),
		cmocka_unit_test(who_leaves_unread_what_came_and_computes_hangs_unless_it_works_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
