/* Who gets the next connections, and how many of them. */
#include "test/unit/policy/world.h"

static uint32_t pick(struct world *w, uint32_t waiting, uint32_t *ret_slot)
{
	*ret_slot = UINT32_MAX;
	return pool_pick(w->pool, waiting, ret_slot);
}

static void nobody_has_room_before_a_worker_is_ready(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .min_procs = 2);
	assert_int_equal(pick(&w, 1, &slot), 0);
	world_settle(&w);
	assert_int_equal(pick(&w, 1, &slot), 0);
	pool_ready(w.pool, 1, w.now_ms);
	assert_int_equal(pick(&w, 1, &slot), 1);
	assert_int_equal(slot, 1);
	world_end(&w);
}

static void connections_go_to_the_least_loaded(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3);
	world_settle_ready(&w);
	for (int i = 0; i < 9; i++)
		world_open(&w);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(world_load(&w, i), 3);
	world_close(&w, 1);
	assert_int_equal(world_open(&w), 1);
	world_end(&w);
}

static void among_equals_the_one_used_last_is_picked(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3);
	world_settle_ready(&w);
	assert_int_equal(world_open(&w), 0);
	assert_int_equal(world_open(&w), 1);
	assert_int_equal(world_open(&w), 2);
	world_close(&w, 0);
	world_close(&w, 2);
	world_close(&w, 1);
	assert_int_equal(world_open(&w), 1);
	world_close(&w, 1);
	assert_int_equal(world_open(&w), 1);
	assert_int_equal(world_open(&w), 2);
	assert_int_equal(world_open(&w), 0);
	world_end(&w);
}

/* Reading is no use: it does not change who was given or has finished a connection last. */
static void a_worker_that_only_reads_keeps_its_place(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	assert_int_equal(world_offer(&w), 0);
	assert_int_equal(world_offer(&w), 1);
	pool_taken(w.pool, 0, 1, w.now_ms);
	assert_int_equal(world_offer(&w), 1);
	world_end(&w);
}

static void a_new_worker_waits_behind_those_that_were_used(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle(&w);
	pool_ready(w.pool, 0, w.now_ms);
	world_close(&w, world_open(&w));
	pool_ready(w.pool, 1, w.now_ms);
	assert_int_equal(world_open(&w), 0);
	world_end(&w);
}

static void a_burst_goes_to_one_worker_up_to_the_size_of_a_message(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	assert_int_equal(pick(&w, 5, &slot), 5);
	assert_int_equal(pick(&w, 100, &slot), 8);
	assert_int_equal(pick(&w, 0, &slot), 1);
	world_end(&w);
	world_start(&w, .burst = 1);
	world_settle_ready(&w);
	assert_int_equal(pick(&w, 100, &slot), 1);
	world_end(&w);
}

static void a_burst_goes_no_further_than_min_conns(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .max_procs = 1, .min_conns = 10, .max_conns = 12);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 4, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 6);
	pool_given(w.pool, 0, 6, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 1);
	pool_given(w.pool, 0, 1, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 1);
	pool_given(w.pool, 0, 1, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 0);
	assert_int_equal(pool_room_of(w.pool, 0), 0);
	world_end(&w);
}

static void a_worker_is_offered_no_more_than_its_window(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .max_procs = 1, .max_handoffs = 10);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 8, w.now_ms);
	assert_int_equal(pool_room_of(w.pool, 0), 2);
	assert_int_equal(pick(&w, 8, &slot), 2);
	pool_given(w.pool, 0, 2, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 0);
	pool_taken(w.pool, 0, 1, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 1);
	world_end(&w);
}

static void a_burst_stops_at_the_end_of_the_workers_life(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .max_life_conns = 12, .min_procs = 2);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 5, w.now_ms);
	pool_given(w.pool, 1, 8, w.now_ms);
	assert_int_equal(pool_room_of(w.pool, 0), 7);
	assert_int_equal(pick(&w, 8, &slot), 7);
	assert_int_equal(slot, 0);
	pool_given(w.pool, 0, 7, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 4);
	assert_int_equal(slot, 1);
	world_end(&w);
}

static void a_spent_worker_is_picked_only_when_no_other_has_room(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .min_procs = 2, .max_procs = 2, .min_conns = 2, .max_conns = 3,
		.max_life_conns = 3);
	world_settle_ready(&w);
	for (int i = 0; i < 3; i++) {
		pool_given(w.pool, 0, 1, w.now_ms);
		pool_taken(w.pool, 0, 1, w.now_ms);
		world_close(&w, 0);
	}
	world_settle(&w);
	assert_true(pool_worker(w.pool, 0)->wants_rest);
	assert_int_equal(pool_worker(w.pool, 0)->wants_reason, POOL_SPENT);
	pool_given(w.pool, 1, 2, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 1);
	assert_int_equal(slot, 1);
	pool_given(w.pool, 1, 1, w.now_ms);
	assert_int_equal(pick(&w, 8, &slot), 2);
	assert_int_equal(slot, 0);
	assert_int_equal(pool_room_of(w.pool, 0), 3);
	world_end(&w);
}

static void peak_load_and_life_are_kept_for_status(void **state)
{
	struct world w;
	const struct pool_worker *worker;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	worker = pool_worker(w.pool, 0);
	pool_given(w.pool, 0, 5, w.now_ms);
	assert_int_equal(worker->unread, 5);
	pool_taken(w.pool, 0, 4, w.now_ms);
	pool_done(w.pool, 0, 3, w.now_ms);
	pool_given(w.pool, 0, 1, w.now_ms);
	assert_int_equal(worker->load, 3);
	assert_int_equal(worker->unread, 2);
	assert_int_equal(worker->peak, 5);
	assert_int_equal(worker->life, 6);
	assert_int_equal(pool_load(w.pool), 3);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_has_room_before_a_worker_is_ready),
		cmocka_unit_test(connections_go_to_the_least_loaded),
		cmocka_unit_test(among_equals_the_one_used_last_is_picked),
		cmocka_unit_test(a_worker_that_only_reads_keeps_its_place),
		cmocka_unit_test(a_new_worker_waits_behind_those_that_were_used),
		cmocka_unit_test(a_burst_goes_to_one_worker_up_to_the_size_of_a_message),
		cmocka_unit_test(a_burst_goes_no_further_than_min_conns),
		cmocka_unit_test(a_worker_is_offered_no_more_than_its_window),
		cmocka_unit_test(a_burst_stops_at_the_end_of_the_workers_life),
		cmocka_unit_test(a_spent_worker_is_picked_only_when_no_other_has_room),
		cmocka_unit_test(peak_load_and_life_are_kept_for_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
