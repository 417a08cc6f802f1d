/* When the pool starts a worker. */
#include "test/unit/policy/world.h"

static void pool_starts_min_procs_workers_at_once(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3);
	assert_int_equal(world_settle(&w), 3);
	assert_int_equal(world_said(&w, POOL_SPAWN), 3);
	assert_int_equal(world_count(&w, POOL_STARTING), 3);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

/* MIN_PROCS=2 MAX_PROCS=5 MIN_CONNS=3 MAX_CONNS=4, connections held one by one. */
static void pool_grows_with_held_connections_exactly_by_the_rule(void **state)
{
	static const unsigned workers[] = {2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5};
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 5, .min_conns = 3, .max_conns = 4);
	world_settle_ready(&w);
	for (unsigned held = 1; held <= 20; held++) {
		assert_int_not_equal(world_open(&w), UINT32_MAX);
		world_settle_ready(&w);
		assert_int_equal(world_count(&w, POOL_SERVING), held < 12 ? workers[held] : 5);
	}
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(world_load(&w, i), 4);
	assert_int_equal(world_open(&w), UINT32_MAX);
	pool_waiting(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	world_close(&w, 3);
	assert_int_equal(world_open(&w), 3);
	world_end(&w);
}

static void waiting_clients_grow_the_pool_until_they_have_room(void **state)
{
	struct world w;

	world_start(&w, .min_conns = 5, .max_conns = 10);
	world_settle_ready(&w);
	pool_waiting(w.pool, 4, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_waiting(w.pool, 5, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	pool_waiting(w.pool, 17, w.now_ms);
	assert_int_equal(world_settle(&w), 2);
	assert_int_equal(world_said(&w, POOL_SPAWN), 2);
	pool_waiting(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_flash_crowd_stops_at_max_procs(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 4);
	pool_waiting(w.pool, 100000, w.now_ms);
	assert_int_equal(world_settle(&w), 4);
	world_settle_ready(&w);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void an_idle_pool_without_min_procs_is_empty_and_wakes_for_a_client(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	assert_int_equal(world_settle(&w), 0);
	pool_waiting(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

/* What retiring workers hold needs no new worker. */
static void connections_of_retiring_workers_start_nobody(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0, .max_life_conns = 1);
	pool_waiting(w.pool, 1, w.now_ms);
	world_settle_ready(&w);
	pool_waiting(w.pool, 0, w.now_ms);
	pool_lied(w.pool, world_open(&w), w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_RETIRE), 1);
	world_end(&w);
}

static void starting_workers_count_as_room_to_come(void **state)
{
	struct world w;

	world_start(&w, .min_conns = 2, .max_conns = 2);
	world_settle_ready(&w);
	world_open(&w);
	world_open(&w);
	assert_int_equal(world_settle(&w), 1);
	pool_waiting(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_waiting(w.pool, 2, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	world_end(&w);
}

/* Each load counts against its own worker: one over min_conns takes no spare from another. */
static void spare_never_falls_below_zero_for_a_worker(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 3, .min_conns = 2, .max_conns = 10);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 9, w.now_ms);
	pool_given(w.pool, 1, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_given(w.pool, 1, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	world_end(&w);
}

static void limits_without_sense_are_moved_to_the_nearest_with(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .min_procs = 9, .max_procs = 2, .min_conns = 5, .max_conns = 0,
		.max_handoffs = 0, .burst = 0);
	assert_int_equal(world_settle(&w), 2);
	pool_ready(w.pool, 0, w.now_ms);
	assert_int_equal(pool_pick(w.pool, 10, &slot), 1);
	world_open(&w);
	assert_int_equal(pool_pick(w.pool, 10, &slot), 0);
	world_end(&w);
}

static void min_conns_above_max_conns_means_max_conns(void **state)
{
	struct world w;

	world_start(&w, .min_conns = 5, .max_conns = 2);
	world_settle_ready(&w);
	world_open(&w);
	assert_int_equal(world_settle(&w), 0);
	world_open(&w);
	assert_int_equal(world_settle(&w), 1);
	world_end(&w);
}

static void a_worker_found_after_a_take_over_counts_as_what_it_is(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3, .max_procs = 5, .min_conns = 4);
	pool_adopted(w.pool, 0, POOL_SERVING, POOL_NO_REASON, 50, 3, 1, w.now_ms - 50000, w.now_ms);
	pool_adopted(w.pool, 5, POOL_STARTING, POOL_NO_REASON, 0, 0, 0, w.now_ms - 5000, w.now_ms);
	pool_adopted(w.pool, 7, POOL_RETIRING, POOL_IDLE, 9, 2, 0, w.now_ms - 5000, w.now_ms);
	assert_int_equal(pool_load(w.pool), 5);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_SPAWN), 1);
	assert_int_equal(world_open(&w), 0);
	assert_int_equal(pool_worker(w.pool, 0)->life, 51);
	assert_int_equal(pool_worker(w.pool, 0)->unread, 1);
	assert_int_equal(pool_worker(w.pool, 7)->reason, POOL_IDLE);
	world_end(&w);
}

static void a_starting_worker_found_after_a_take_over_keeps_its_deadline(void **state)
{
	struct world w;

	world_start(&w, .start_ms = 30000);
	pool_adopted(w.pool, 5, POOL_STARTING, POOL_NO_REASON, 0, 0, 0, w.now_ms - 25000, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	assert_int_equal(pool_deadline(w.pool), w.now_ms + 5000);
	world_end(&w);
}

static void every_state_and_reason_has_a_name(void **state)
{
	for (unsigned i = 0; i < POOL_STATES; i++)
		assert_true(pool_state_name(i) && strlen(pool_state_name(i)) > 3);
	for (unsigned i = 0; i < POOL_REASONS; i++)
		assert_true(pool_reason_name(i) && strlen(pool_reason_name(i)) > 2);
	assert_string_equal(pool_state_name(POOL_SUSPECT), "suspect");
	assert_string_equal(pool_reason_name(POOL_SPENT), "spent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_starts_min_procs_workers_at_once),
		cmocka_unit_test(pool_grows_with_held_connections_exactly_by_the_rule),
		cmocka_unit_test(waiting_clients_grow_the_pool_until_they_have_room),
		cmocka_unit_test(a_flash_crowd_stops_at_max_procs),
		cmocka_unit_test(an_idle_pool_without_min_procs_is_empty_and_wakes_for_a_client),
		cmocka_unit_test(connections_of_retiring_workers_start_nobody),
		cmocka_unit_test(starting_workers_count_as_room_to_come),
		cmocka_unit_test(spare_never_falls_below_zero_for_a_worker),
		cmocka_unit_test(limits_without_sense_are_moved_to_the_nearest_with),
		cmocka_unit_test(min_conns_above_max_conns_means_max_conns),
		cmocka_unit_test(a_worker_found_after_a_take_over_counts_as_what_it_is),
		cmocka_unit_test(a_starting_worker_found_after_a_take_over_keeps_its_deadline),
		cmocka_unit_test(every_state_and_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
