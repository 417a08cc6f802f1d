/* Workers that somebody wants replaced: by order, for a new configuration, for their memory. */
#include "test/unit/policy/world.h"

static void stale(struct world *w, uint32_t slot, uint64_t drain_ms)
{
	pool_stale(w->pool, slot, POOL_RESTARTED, drain_ms, w->now_ms, w->now_ms);
}

static void restart(struct world *w, uint64_t drain_ms)
{
	for (uint32_t i = 0; i < pool_slots(&w->limits); i++)
		stale(w, i, drain_ms);
}

/* So many workers that serve, each with `load` connections; they have lived for a while. */
static void start_serving(struct world *w, uint32_t workers, uint32_t load)
{
	for (uint32_t i = 0; i < workers; i++)
		pool_adopted(w->pool, i, POOL_SERVING, POOL_NO_REASON, load, load, 0, w->now_ms,
			w->now_ms);
	world_pass(w, 20000);
}

static void an_old_worker_serves_until_its_replacement_is_ready(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	restart(&w, POOL_NEVER);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_SPAWN), 1);
	assert_int_equal(world_open(&w), 0);
	assert_true(pool_worker(w.pool, 0)->wants_rest);
	assert_int_equal(pool_worker(w.pool, 0)->wants_reason, POOL_RESTARTED);
	pool_ready(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_RESTARTED);
	assert_int_equal(world_open(&w), 1);
	world_pass(&w, 86400000); /* and finishes what it serves */
	assert_int_equal(w.count, 0);
	world_end(&w);
}

static void an_old_worker_that_drains_holds_up_no_other(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4, .max_procs = 4, .max_shutdown = 1);
	start_serving(&w, 4, 10);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 4);
	assert_int_equal(world_count(&w, POOL_SERVING), 4);
	world_end(&w);
}

static void no_more_than_max_shutdown_are_being_replaced_at_a_time(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4, .max_procs = 4, .max_shutdown = 2);
	start_serving(&w, 4, 10);
	restart(&w, POOL_NEVER);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 2);
	assert_int_equal(world_said(&w, POOL_RETIRE), 0);
	world_end(&w);
}

static void a_worker_at_its_limit_still_retires_beside_those_that_drain(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .max_shutdown = 1, .max_life_conns = 100);
	start_serving(&w, 2, 10);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 2);
	for (unsigned i = 0; i < 2 * 100; i++)
		world_close(&w, world_open(&w));
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 3);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_end(&w);
}

static void a_second_restart_finds_room_while_the_first_drains(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 4, .max_shutdown = 1);
	start_serving(&w, 2, 10);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	w.now_ms += 1000;
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 4);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_end(&w);
}

static void processes_never_exceed_twice_max_procs_and_max_shutdown(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .max_shutdown = 1);
	for (unsigned i = 0; i < 5; i++) {
		start_serving(&w, 0, 0);
		world_settle_ready(&w);
		for (uint32_t s = 0; s < pool_slots(&w.limits); s++)
			if (world_state(&w, s) == POOL_SERVING && !world_load(&w, s))
				pool_given(w.pool, s, 5, w.now_ms);
		restart(&w, POOL_NEVER);
		world_settle_ready(&w);
	}
	assert_int_equal(world_count(&w, POOL_RETIRING) + world_count(&w, POOL_SERVING), 5);
	assert_true(world_count(&w, POOL_SERVING) >= 2);
	world_end(&w);
}

static void workers_whom_the_pool_does_not_miss_are_not_replaced(void **state)
{
	struct world w;

	world_start(&w);
	start_serving(&w, 5, 0);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 5);
	assert_int_equal(world_count(&w, POOL_SERVING), 1);
	world_end(&w);
}

/* Even if the pool could do without the old ones: the new program must first be seen to start. */
static void nobody_leaves_before_one_that_was_started_since_is_ready(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w);
	start_serving(&w, 5, 0);
	restart(&w, POOL_NEVER);
	for (unsigned tries = 0; tries < 4; tries++) {
		assert_int_equal(world_said(&w, POOL_RETIRE), 0);
		if (!tries)
			assert_int_equal(world_settle(&w), 1);
		slot = world_first(&w, POOL_SPAWN);
		assert_int_not_equal(slot, UINT32_MAX);
		world_exit(&w, slot);
		world_pass(&w, 10000);
	}
	assert_int_equal(world_count(&w, POOL_SERVING), 5);
	pool_ready(w.pool, world_first(&w, POOL_SPAWN), w.now_ms);
	world_settle(&w);
	assert_true(world_said(&w, POOL_RETIRE) > 0);
	world_end(&w);
}

static void one_worker_can_be_replaced_alone(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3, .max_procs = 3);
	start_serving(&w, 3, 10);
	stale(&w, 1, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_SERVING);
	assert_int_equal(world_state(&w, 1), POOL_RETIRING);
	assert_int_equal(world_state(&w, 2), POOL_SERVING);
	assert_int_equal(world_count(&w, POOL_SERVING), 3);
	world_end(&w);
}

static void a_worker_that_starts_is_given_up_at_once(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle(&w);
	assert_int_equal(world_state(&w, 0), POOL_STARTING);
	restart(&w, POOL_NEVER);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_first(&w, POOL_SPAWN), 1);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_until(w.pool), 0); /* it was told to go: no failure */
	world_end(&w);
}

static void a_suspect_is_replaced_once_it_answers(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	pool_silent(w.pool, 0, w.now_ms);
	stale(&w, 0, POOL_NEVER);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_SUSPECT);
	pool_answered(w.pool, 0, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_end(&w);
}

static void a_drain_length_counts_from_the_retirement(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 3);
	restart(&w, 5000);
	world_pass(&w, 10000); /* no replacement yet, no deadline */
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	assert_int_equal(world_said(&w, POOL_TERM), 0);
	pool_ready(w.pool, 1, w.now_ms);
	world_settle(&w);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	assert_int_equal(world_reason(&w, POOL_TERM), POOL_DRAINED);
	world_pass(&w, 9999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	world_end(&w);
}

static void with_now_it_is_told_to_go_as_soon_as_its_replacement_is_there(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 3);
	restart(&w, 0);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	pool_ready(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	world_end(&w);
}

static void a_later_restart_sets_a_deadline_to_those_that_drain(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 3);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	world_pass(&w, 60000);
	assert_int_equal(world_said(&w, POOL_TERM), 0);
	stale(&w, 0, 2000);
	world_pass(&w, 1999);
	assert_int_equal(world_said(&w, POOL_TERM), 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	world_end(&w);
}

static void what_is_said_again_changes_nothing(void **state)
{
	struct world w;
	uint64_t since_ms;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 3);
	since_ms = w.now_ms;
	restart(&w, 5000);
	world_settle_ready(&w);
	world_pass(&w, 4000);
	pool_stale(w.pool, 0, POOL_RESTARTED, 5000, since_ms, w.now_ms);
	world_pass(&w, 999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_TERM), 1);
	world_end(&w);
}

/* As the ledger tells a new acceptor. */
static void a_worker_found_retiring_keeps_its_deadline(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	pool_adopted(w.pool, 3, POOL_RETIRING, POOL_RESTARTED, 9, 1, 0, 0, w.now_ms);
	pool_retired_since(w.pool, 3, w.now_ms - 4000, w.now_ms);
	pool_stale(w.pool, 3, POOL_RESTARTED, 5000, w.now_ms - 6000, w.now_ms);
	world_pass(&w, 999);
	assert_int_equal(w.count, 0);
	assert_int_equal(pool_worker(w.pool, 3)->retired_ms, WORLD_START_MS - 4000);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 3);
	world_end(&w);
}

static void the_drain_timeout_of_the_service_holds_over_a_take_over(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0, .drain_ms = 10000);
	pool_adopted(w.pool, 0, POOL_RETIRING, POOL_SPENT, 9, 1, 0, 0, w.now_ms);
	pool_retired_since(w.pool, 0, w.now_ms - 9000, w.now_ms);
	pool_adopted(w.pool, 1, POOL_SERVING, POOL_NO_REASON, 9, 1, 0, w.now_ms, w.now_ms);
	pool_retired_since(w.pool, 1, w.now_ms - 9000, w.now_ms); /* it does not retire */
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_TERM), 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	world_end(&w);
}

static void a_worker_that_grew_too_large_retires_like_one_at_its_limit(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3, .max_procs = 3, .max_shutdown = 1);
	start_serving(&w, 3, 10);
	for (uint32_t i = 0; i < 2; i++)
		pool_stale(w.pool, i, POOL_MEMORY, POOL_NEVER, w.now_ms, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_RETIRING), 1); /* it holds the only place */
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_MEMORY);
	assert_true(pool_worker(w.pool, 1)->wants_rest);
	world_end(&w);
}

static void memory_does_not_replace_an_operators_order(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 3);
	stale(&w, 0, 5000);
	pool_stale(w.pool, 0, POOL_MEMORY, POOL_NEVER, w.now_ms, w.now_ms);
	assert_int_equal(pool_worker(w.pool, 0)->stale, POOL_RESTARTED);
	assert_true(pool_worker(w.pool, 0)->drain_ms == 5000);
	world_end(&w);
}

static void the_dead_cannot_be_stale(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	pool_adopted(w.pool, 0, POOL_KILLED, POOL_HUNG, 9, 1, 0, w.now_ms, w.now_ms);
	stale(&w, 0, 0);
	stale(&w, 1, 0);
	world_settle(&w);
	assert_int_equal(pool_worker(w.pool, 0)->stale, POOL_NO_REASON);
	assert_int_equal(pool_worker(w.pool, 1)->stale, POOL_NO_REASON);
	world_end(&w);
}

static void a_slot_forgets_that_its_last_worker_was_stale(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	start_serving(&w, 1, 0);
	restart(&w, POOL_NEVER);
	world_settle_ready(&w);
	world_exit(&w, 0);
	assert_int_equal(pool_worker(w.pool, 0)->stale, POOL_NO_REASON);
	world_end(&w);
}

/* Limits that were lowered: more workers than places would be too many, had the pool no more. */
static void a_surplus_retires_within_max_shutdown(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2, .max_shutdown = 1);
	start_serving(&w, pool_slots(&w.limits), 10);
	assert_int_equal(world_count(&w, POOL_RETIRING), 1);
	for (unsigned i = 0; i < 10; i++) {
		for (uint32_t s = 0; s < pool_slots(&w.limits); s++)
			if (world_state(&w, s) == POOL_RETIRING)
				world_exit(&w, s);
		world_settle(&w);
		assert_true(world_count(&w, POOL_RETIRING) <= 1);
		assert_int_equal(world_said(&w, POOL_SPAWN), 0);
	}
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_old_worker_serves_until_its_replacement_is_ready),
		cmocka_unit_test(an_old_worker_that_drains_holds_up_no_other),
		cmocka_unit_test(no_more_than_max_shutdown_are_being_replaced_at_a_time),
		cmocka_unit_test(a_worker_at_its_limit_still_retires_beside_those_that_drain),
		cmocka_unit_test(a_second_restart_finds_room_while_the_first_drains),
		cmocka_unit_test(processes_never_exceed_twice_max_procs_and_max_shutdown),
		cmocka_unit_test(workers_whom_the_pool_does_not_miss_are_not_replaced),
		cmocka_unit_test(nobody_leaves_before_one_that_was_started_since_is_ready),
		cmocka_unit_test(one_worker_can_be_replaced_alone),
		cmocka_unit_test(a_worker_that_starts_is_given_up_at_once),
		cmocka_unit_test(a_suspect_is_replaced_once_it_answers),
		cmocka_unit_test(a_drain_length_counts_from_the_retirement),
		cmocka_unit_test(with_now_it_is_told_to_go_as_soon_as_its_replacement_is_there),
		cmocka_unit_test(a_later_restart_sets_a_deadline_to_those_that_drain),
		cmocka_unit_test(what_is_said_again_changes_nothing),
		cmocka_unit_test(a_worker_found_retiring_keeps_its_deadline),
		cmocka_unit_test(the_drain_timeout_of_the_service_holds_over_a_take_over),
		cmocka_unit_test(a_worker_that_grew_too_large_retires_like_one_at_its_limit),
		cmocka_unit_test(memory_does_not_replace_an_operators_order),
		cmocka_unit_test(the_dead_cannot_be_stale),
		cmocka_unit_test(a_slot_forgets_that_its_last_worker_was_stale),
		cmocka_unit_test(a_surplus_retires_within_max_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
