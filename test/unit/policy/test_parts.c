/* The small parts under the pool: the order by load, the times of unread offers. */
#include "dispatcher/policy/byload.h"
#include "dispatcher/policy/offered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLOTS   8
#define BUCKETS 10000

static struct byload start_byload(void)
{
	struct byload b;

	byload_init(&b, malloc(byload_bytes(SLOTS, BUCKETS)), SLOTS, BUCKETS);
	assert_int_equal(byload_first(&b), BYLOAD_NONE);
	return b;
}

static void the_lowest_bucket_comes_first_however_far_the_next(void **state)
{
	static const uint32_t buckets[SLOTS] = {9999, 4096, 4095, 5000, 64, 63, 1, 0};
	struct byload b = start_byload();

	for (uint32_t i = 0; i < SLOTS; i++) {
		byload_put(&b, i, buckets[i], true);
		assert_int_equal(byload_bucket(&b, i), buckets[i]);
	}
	static const uint32_t order[SLOTS] = {7, 6, 5, 4, 2, 1, 3, 0};
	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_int_equal(byload_first(&b), order[i]);
		byload_drop(&b, order[i]);
		assert_int_equal(byload_bucket(&b, order[i]), BYLOAD_NONE);
	}
	assert_int_equal(byload_first(&b), BYLOAD_NONE);
	byload_drop(&b, 3);
	free(b.used);
}

static void within_a_bucket_the_order_is_the_callers(void **state)
{
	struct byload b = start_byload();

	byload_put(&b, 0, 7, true);
	byload_put(&b, 1, 7, false);
	byload_put(&b, 2, 7, true);
	assert_int_equal(byload_first(&b), 2);
	byload_put(&b, 2, 7, false);
	assert_int_equal(byload_first(&b), 0);
	byload_drop(&b, 1);
	byload_put(&b, 0, 8, true);
	assert_int_equal(byload_first(&b), 2);
	byload_drop(&b, 2);
	assert_int_equal(byload_first(&b), 0);
	free(b.used);
}

static void the_oldest_unread_offer_gives_the_time(void **state)
{
	struct offered_batch ring[3];
	struct offered o = {.ring = ring, .size = 3};

	assert_int_equal(offered_oldest_ms(&o), UINT64_MAX);
	offered_made(&o, 0, 5);
	assert_int_equal(offered_oldest_ms(&o), UINT64_MAX);
	for (uint64_t round = 0; round < 10; round++) {
		offered_made(&o, 2, 10 * round);
		offered_made(&o, 1, 10 * round);
		offered_made(&o, 1, 10 * round + 1);
		offered_made(&o, 3, 10 * round + 2);
		assert_int_equal(offered_oldest_ms(&o), 10 * round);
		offered_gone(&o, 2);
		assert_int_equal(offered_oldest_ms(&o), 10 * round);
		offered_gone(&o, 1);
		assert_int_equal(offered_oldest_ms(&o), 10 * round + 1);
		offered_gone(&o, 2);
		assert_int_equal(offered_oldest_ms(&o), 10 * round + 2);
		offered_gone(&o, 2);
		assert_int_equal(offered_oldest_ms(&o), UINT64_MAX);
	}
}

static void more_offers_than_the_ring_has_places_are_taken_for_older(void **state)
{
	struct offered_batch ring[2];
	struct offered o = {.ring = ring, .size = 2};

	for (uint64_t i = 1; i <= 5; i++)
		offered_made(&o, 1, i);
	offered_gone(&o, 4);
	assert_int_equal(offered_oldest_ms(&o), 2);
	offered_gone(&o, 1);
	assert_int_equal(offered_oldest_ms(&o), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_bucket_comes_first_however_far_the_next),
		cmocka_unit_test(within_a_bucket_the_order_is_the_callers),
		cmocka_unit_test(the_oldest_unread_offer_gives_the_time),
		cmocka_unit_test(more_offers_than_the_ring_has_places_are_taken_for_older),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
