/* Who retires, when, and with what replacement. */
#include "test/unit/policy/world.h"

/* A connection that is opened, read and over at once. */
static uint32_t serve(struct world *w)
{
	uint32_t slot = world_open(w);

	assert_int_not_equal(slot, UINT32_MAX);
	world_close(w, slot);
	return slot;
}

static void serve_many(struct world *w, unsigned count)
{
	while (count--)
		serve(w);
}

static void a_replacement_is_ordered_min_conns_before_the_limit(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 100, .max_procs = 1);
	world_settle_ready(&w);
	serve_many(&w, 69);
	assert_int_equal(world_settle(&w), 0);
	serve(&w);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	serve_many(&w, 29);
	assert_int_equal(world_settle(&w), 0);
	assert_false(pool_worker(w.pool, 0)->wants_rest);
	world_end(&w);
}

static void a_busy_workers_replacement_is_ordered_as_early_as_its_start_takes(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 100, .max_procs = 1);
	world_settle(&w);
	w.now_ms += 10;
	pool_ready(w.pool, 0, w.now_ms);
	w.now_ms += 9;
	serve_many(&w, 33); /* 3.3 in a millisecond: in 20 of them it is not spent */
	assert_int_equal(world_settle(&w), 0);
	serve(&w);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void nobody_is_replaced_in_the_first_quarter_of_its_life(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 100, .max_procs = 1);
	world_settle(&w);
	w.now_ms += 1000;
	pool_ready(w.pool, 0, w.now_ms);
	serve_many(&w, 24);
	assert_int_equal(world_settle(&w), 0);
	serve(&w);
	assert_int_equal(world_settle(&w), 1);
	w.now_ms += 20000;
	serve(&w);
	assert_int_equal(world_settle(&w), 0); /* once ordered it is not taken back */
	assert_int_equal(world_count(&w, POOL_STARTING), 1);
	world_end(&w);
}

static void how_long_a_start_takes_is_forgotten_by_and_by(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 100, .max_procs = 8, .max_shutdown = 8, .min_procs = 1);
	world_settle(&w);
	w.now_ms += 100;
	pool_ready(w.pool, 0, w.now_ms);
	for (int i = 0; i < 20; i++) {
		uint32_t slot;

		w.now_ms += 1000;
		slot = serve(&w);
		pool_exited(w.pool, slot, w.now_ms + 10000);
		pool_released(w.pool, slot, w.now_ms + 10000);
		w.now_ms += 10000;
		world_settle_ready(&w);
	}
	serve_many(&w, 50);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_worker_at_its_limit_goes_on_until_its_replacement_is_ready(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 100, .max_procs = 1);
	world_settle_ready(&w);
	serve_many(&w, 70);
	world_settle(&w);
	serve_many(&w, 35);
	assert_int_equal(world_settle(&w), 0);
	assert_true(pool_worker(w.pool, 0)->wants_rest);
	pool_ready(w.pool, world_first(&w, POOL_SPAWN) == UINT32_MAX ? 1 : 0, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_SPENT);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_SPENT);
	assert_false(pool_worker(w.pool, 0)->wants_rest);
	assert_int_equal(serve(&w), 1);
	world_end(&w);
}

static void nobody_is_replaced_whom_the_pool_does_not_miss(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 10, .min_conns = 4, .max_conns = 8);
	world_settle_ready(&w);
	for (int i = 0; i < 4; i++)
		world_open(&w);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	for (int i = 0; i < 4; i++)
		world_close(&w, 0);
	for (int i = 0; i < 10; i++) {
		serve(&w);
		world_settle(&w);
		assert_int_equal(world_said(&w, POOL_SPAWN), 0);
	}
	assert_int_equal(world_count(&w, POOL_RETIRING), 1);
	assert_int_equal(world_count(&w, POOL_SERVING), 1);
	world_end(&w);
}

static void a_replacement_that_dies_is_ordered_again(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 10, .min_conns = 2, .max_procs = 1);
	world_settle_ready(&w);
	serve_many(&w, 10);
	world_settle(&w);
	world_exit(&w, 1);
	assert_int_equal(world_settle(&w), 0);
	assert_true(pool_worker(w.pool, 0)->wants_rest);
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	pool_ready(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	world_end(&w);
}

static void no_more_than_max_shutdown_retire_at_a_time(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4, .max_procs = 4, .max_life_ms = 100000);
	world_settle_ready(&w);
	for (int i = 0; i < 4; i++)
		world_open(&w);
	world_pass(&w, 90000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 2);
	world_settle_ready(&w);
	world_pass(&w, 10000);
	assert_int_equal(world_said(&w, POOL_RETIRE), 2);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_OLD);
	assert_int_equal(world_said(&w, POOL_SPAWN), 0);
	assert_int_equal(world_count(&w, POOL_SERVING), 4);
	for (uint32_t i = 2; i < 4; i++) {
		assert_true(pool_worker(w.pool, i)->wants_rest);
		assert_int_equal(pool_worker(w.pool, i)->wants_reason, POOL_OLD);
	}
	world_close(&w, 0);
	world_exit(&w, 0);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	world_settle_ready(&w);
	assert_int_equal(world_said(&w, POOL_RETIRE), 1);
	assert_int_equal(world_count(&w, POOL_SERVING), 4);
	world_end(&w);
}

static void a_worker_near_its_limit_gives_way_to_one_at_it(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .max_shutdown = 1, .max_life_conns = 10,
		.min_conns = 5);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 5, w.now_ms);
	pool_given(w.pool, 1, 5, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_SPAWN), 2);
	pool_given(w.pool, 1, 5, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_ready(w.pool, 2, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 1);
	world_end(&w);
}

static void a_replacement_that_came_early_is_handed_on_too(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .max_shutdown = 1, .max_life_conns = 10,
		.min_conns = 5);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 5, w.now_ms);
	pool_given(w.pool, 1, 5, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 3);
	pool_given(w.pool, 1, 5, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 1);
	world_end(&w);
}

static void without_retiring_slots_nobody_retires_by_itself(void **state)
{
	struct world w;

	world_start(&w, .max_shutdown = 0, .max_life_conns = 5, .max_life_ms = 1000,
		.max_idle_ms = 1000, .max_procs = 3);
	world_settle_ready(&w);
	serve_many(&w, 20);
	assert_int_equal(world_pass(&w, 100000), 0);
	assert_int_equal(pool_worker(w.pool, 0)->wants_reason, POOL_SPENT);
	world_end(&w);
}

static void an_old_worker_retires_at_its_age_from_creation(void **state)
{
	struct world w;

	world_start(&w, .max_life_ms = 60000);
	world_settle(&w);
	w.now_ms += 20000;
	pool_ready(w.pool, 0, w.now_ms);
	world_pass(&w, 60000 - 6000 - 20000 - 1);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	pool_ready(w.pool, 1, w.now_ms);
	world_pass(&w, 5999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_OLD);
	world_end(&w);
}

static void a_replacement_of_age_is_ordered_no_earlier_than_it_may_need(void **state)
{
	struct world w;

	world_start(&w, .max_life_ms = 1000000, .start_ms = 30000);
	world_settle_ready(&w);
	world_pass(&w, 1000000 - 30001);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
	world_start(&w, .max_life_ms = 1000000, .start_ms = 0);
	world_settle_ready(&w);
	world_pass(&w, 899999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void the_oldest_idle_worker_retires_first_and_min_procs_stay(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 1, .min_conns = 1, .max_conns = 1, .max_idle_ms = 5000);
	world_settle_ready(&w);
	for (int i = 0; i < 3; i++) {
		world_open(&w);
		world_settle_ready(&w);
	}
	assert_int_equal(world_count(&w, POOL_SERVING), 4);
	world_pass(&w, 500);
	world_close(&w, 1);
	world_pass(&w, 500);
	world_close(&w, 0);
	world_close(&w, 2);
	world_pass(&w, 3999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 500);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 3);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_IDLE);
	world_pass(&w, 500);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 1);
	world_exit(&w, 3);
	world_exit(&w, 1);
	world_pass(&w, 500);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	world_pass(&w, 100000);
	assert_int_equal(world_count(&w, POOL_SERVING), 1);
	world_end(&w);
}

static void an_idle_worker_stays_if_the_pool_would_want_a_spawn_at_once(void **state)
{
	struct world w;

	world_start(&w, .min_conns = 2, .max_conns = 4, .max_idle_ms = 5000);
	world_settle_ready(&w);
	world_open(&w);
	world_open(&w);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_pass(&w, 100000);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	world_close(&w, 0);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 1);
	world_end(&w);
}

static void a_worker_that_was_used_begins_its_idle_time_again(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0, .max_idle_ms = 5000);
	pool_waiting(w.pool, 1, w.now_ms);
	world_settle_ready(&w);
	pool_waiting(w.pool, 0, w.now_ms);
	world_pass(&w, 4000);
	serve(&w);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_IDLE);
	world_end(&w);
}

static void idle_time_begins_with_the_end_of_a_long_connection(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .max_idle_ms = 5000);
	world_settle_ready(&w);
	pool_adopted(w.pool, 9, POOL_SERVING, POOL_NO_REASON, 40, 30, 0, w.now_ms, w.now_ms);
	slot = world_open(&w);
	world_pass(&w, 600000);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	world_close(&w, slot);
	pool_done(w.pool, 9, 15, w.now_ms);
	world_settle(&w);
	world_pass(&w, 4999);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), slot);
	world_end(&w);
}

/* A second replacement would make it wait for that one too. */
static void a_worker_gets_one_replacement_only_even_if_it_was_handed_on(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 3, .max_shutdown = 1, .max_life_conns = 10,
		.min_conns = 5, .max_conns = 10);
	world_settle_ready(&w);
	pool_given(w.pool, 0, 5, w.now_ms);
	pool_given(w.pool, 1, 5, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 3);
	pool_waiting(w.pool, 100, w.now_ms);
	pool_given(w.pool, 1, 5, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 1);
	world_end(&w);
}

static void a_replacement_that_lies_is_ordered_again(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 10, .min_conns = 2, .max_procs = 1);
	world_settle_ready(&w);
	world_pass(&w, 10000);
	serve_many(&w, 10);
	world_settle(&w);
	assert_int_equal(world_state(&w, 1), POOL_STARTING);
	pool_lied(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	pool_ready(w.pool, 2, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	world_end(&w);
}

static void an_idle_worker_near_its_limit_leaves_with_its_replacement_in_place(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 10, .min_conns = 5, .max_procs = 1, .max_idle_ms = 5000);
	world_settle_ready(&w);
	serve_many(&w, 6);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_pass(&w, 5000);
	assert_int_equal(world_said(&w, POOL_RETIRE), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_IDLE);
	world_end(&w);
}

static void workers_beyond_max_procs_retire_the_least_loaded_first(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2);
	for (uint32_t i = 0; i < 4; i++)
		pool_adopted(
			w.pool, i, POOL_SERVING, POOL_NO_REASON, 50, 9 - i, 0, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 2);
	assert_int_equal(world_first(&w, POOL_RETIRE), 3);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_SURPLUS);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	assert_int_equal(world_state(&w, 2), POOL_RETIRING);
	world_end(&w);
}

/* While it backs off, a pool gives up nobody whom it would have to replace. */
static void nobody_retires_who_cannot_be_replaced(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 10, .min_conns = 2, .min_procs = 2);
	world_settle_ready(&w);
	world_exit(&w, 1);
	assert_int_equal(world_settle(&w), 0);
	assert_true(pool_backoff_until(w.pool) > w.now_ms);
	serve_many(&w, 15);
	assert_int_equal(world_settle(&w), 0);
	assert_int_equal(world_state(&w, 0), POOL_SERVING);
	assert_true(pool_worker(w.pool, 0)->wants_rest);
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 2);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_end(&w);
}

/* One client after the other: the warm worker serves all, the next follows when it is spent. */
static void every_worker_ends_at_exactly_its_limit_one_connection_at_a_time(void **state)
{
	struct world w;
	unsigned retired = 0, spawn_in[16] = {0};

	world_start(&w, .min_procs = 4, .max_procs = 4, .max_life_conns = 100);
	world_settle_ready(&w);
	for (unsigned i = 0; i < 10000; i++) {
		w.now_ms += i % 5 == 0;
		serve(&w);
		world_settle(&w);
		for (uint32_t s = 0; s < pool_slots(&w.limits); s++) {
			if (world_state(&w, s) == POOL_RETIRING) {
				assert_int_equal(pool_worker(w.pool, s)->life, 100);
				world_exit(&w, s);
				retired++;
			}
			if (world_state(&w, s) == POOL_STARTING && spawn_in[s]++ == 20) {
				pool_ready(w.pool, s, w.now_ms);
				spawn_in[s] = 0;
			}
		}
		assert_true(world_count(&w, POOL_SERVING) >= 4);
	}
	assert_true(retired >= 99);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_replacement_is_ordered_min_conns_before_the_limit),
		cmocka_unit_test(a_busy_workers_replacement_is_ordered_as_early_as_its_start_takes),
		cmocka_unit_test(nobody_is_replaced_in_the_first_quarter_of_its_life),
		cmocka_unit_test(how_long_a_start_takes_is_forgotten_by_and_by),
		cmocka_unit_test(a_worker_at_its_limit_goes_on_until_its_replacement_is_ready),
		cmocka_unit_test(nobody_is_replaced_whom_the_pool_does_not_miss),
		cmocka_unit_test(a_replacement_that_dies_is_ordered_again),
		cmocka_unit_test(no_more_than_max_shutdown_retire_at_a_time),
		cmocka_unit_test(a_worker_near_its_limit_gives_way_to_one_at_it),
		cmocka_unit_test(a_replacement_that_came_early_is_handed_on_too),
		cmocka_unit_test(without_retiring_slots_nobody_retires_by_itself),
		cmocka_unit_test(an_old_worker_retires_at_its_age_from_creation),
		cmocka_unit_test(a_replacement_of_age_is_ordered_no_earlier_than_it_may_need),
		cmocka_unit_test(the_oldest_idle_worker_retires_first_and_min_procs_stay),
		cmocka_unit_test(an_idle_worker_stays_if_the_pool_would_want_a_spawn_at_once),
		cmocka_unit_test(a_worker_that_was_used_begins_its_idle_time_again),
		cmocka_unit_test(idle_time_begins_with_the_end_of_a_long_connection),
		cmocka_unit_test(a_worker_gets_one_replacement_only_even_if_it_was_handed_on),
		cmocka_unit_test(a_replacement_that_lies_is_ordered_again),
		cmocka_unit_test(
			an_idle_worker_near_its_limit_leaves_with_its_replacement_in_place),
		cmocka_unit_test(workers_beyond_max_procs_retire_the_least_loaded_first),
		cmocka_unit_test(nobody_retires_who_cannot_be_replaced),
		cmocka_unit_test(every_worker_ends_at_exactly_its_limit_one_connection_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
