/* Who waits before a full service, and who is refused. */
#include "dispatcher/policy/queue.h"

#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct queue_entry ring[QUEUE_MOST];

static struct queue queue_of(uint32_t size, uint64_t wait_ms)
{
	struct queue q;

	queue_init(&q, ring, size, wait_ms);
	return q;
}

static void the_first_who_came_is_the_first_who_goes(void **state)
{
	struct queue q = queue_of(3, 1000);

	queue_joined(&q, 7, 100);
	queue_joined(&q, 5, 110);
	assert_int_equal(queue_head(&q).conn, 7);
	assert_int_equal(queue_left(&q).conn, 7);
	queue_joined(&q, 9, 120);
	assert_int_equal(queue_left(&q).conn, 5);
	assert_int_equal(queue_left(&q).since_ms, 120);
	assert_int_equal(q.count, 0);
}

static void who_finds_as_many_as_may_wait_is_refused(void **state)
{
	struct queue q = queue_of(2, 1000);

	queue_weeded(&q, 0);
	assert_int_equal(queue_judge(&q, 0), QUEUE_JOINS);
	queue_joined(&q, 1, 0);
	assert_int_equal(queue_judge(&q, 0), QUEUE_JOINS);
	queue_joined(&q, 2, 0);
	assert_int_equal(queue_judge(&q, 0), QUEUE_FULL);
	queue_left(&q);
	assert_int_equal(queue_judge(&q, 0), QUEUE_JOINS);
}

static void a_queue_of_no_size_lets_nobody_in_and_is_never_looked_through(void **state)
{
	struct queue q = queue_of(0, 1000);

	assert_int_equal(queue_judge(&q, 5000), QUEUE_FULL);
	queue_joined(&q, 1, 0); /* of a former configuration */
	assert_int_equal(queue_judge(&q, 5000), QUEUE_FULL);
}

static void a_full_queue_is_looked_through_once_a_second_for_those_who_left(void **state)
{
	struct queue q = queue_of(1, 100000);

	queue_joined(&q, 1, 0);
	assert_int_equal(queue_judge(&q, 10), QUEUE_CROWDED);
	queue_weeded(&q, 10);
	assert_int_equal(queue_judge(&q, 10 + QUEUE_WEED_MS - 1), QUEUE_FULL);
	assert_int_equal(queue_judge(&q, 10 + QUEUE_WEED_MS), QUEUE_CROWDED);
}

static void the_head_is_late_when_its_time_is_over_and_nobody_has_room(void **state)
{
	struct queue q = queue_of(2, 1000);

	assert_int_equal(queue_next(&q, true, 0), QUEUE_RESTS);
	assert_true(queue_deadline(&q) == QUEUE_NEVER);
	queue_joined(&q, 1, 500);
	assert_int_equal(queue_deadline(&q), 1500);
	assert_int_equal(queue_next(&q, false, 1499), QUEUE_RESTS);
	assert_int_equal(queue_next(&q, false, 1500), QUEUE_LATE);
	assert_int_equal(queue_next(&q, true, 500), QUEUE_SERVES);
	assert_int_equal(queue_next(&q, true, 9000), QUEUE_SERVES);
}

static void without_a_limit_nobody_is_ever_late(void **state)
{
	struct queue q = queue_of(0, QUEUE_NEVER);

	queue_joined(&q, 1, 500);
	assert_true(queue_deadline(&q) == QUEUE_NEVER);
	assert_int_equal(queue_next(&q, false, UINT64_MAX - 1), QUEUE_RESTS);
}

static void a_queue_that_was_half_turned_knows_how_far_it_must_turn(void **state)
{
	struct queue q = queue_of(5, 1000);

	assert_int_equal(queue_skew(&q), 0);
	queue_joined(&q, 1, 30);
	queue_joined(&q, 2, 30);
	queue_joined(&q, 3, 40);
	assert_int_equal(queue_skew(&q), 0);
	queue_joined(&q, 4, 10);
	queue_joined(&q, 5, 20);
	assert_int_equal(queue_skew(&q), 3);
}

static void no_size_is_larger_than_the_ring(void **state)
{
	struct queue q = queue_of(UINT32_MAX, 1000);

	for (uint32_t i = 0; queue_judge(&q, 0) == QUEUE_JOINS; i++)
		queue_joined(&q, i, 0);
	assert_int_equal(q.count, QUEUE_MOST);
	assert_int_equal(queue_left(&q).conn, 0);
	queue_joined(&q, 77, 0);
	assert_int_equal(q.ring[0].conn, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_who_came_is_the_first_who_goes),
		cmocka_unit_test(who_finds_as_many_as_may_wait_is_refused),
		cmocka_unit_test(a_queue_of_no_size_lets_nobody_in_and_is_never_looked_through),
		cmocka_unit_test(a_full_queue_is_looked_through_once_a_second_for_those_who_left),
		cmocka_unit_test(the_head_is_late_when_its_time_is_over_and_nobody_has_room),
		cmocka_unit_test(without_a_limit_nobody_is_ever_late),
		cmocka_unit_test(a_queue_that_was_half_turned_knows_how_far_it_must_turn),
		cmocka_unit_test(no_size_is_larger_than_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
