/* Workers that never start, die early, lie, hang or do not go; and the end of the service. */
#include "test/unit/policy/world.h"

static void a_worker_not_ready_in_time_is_killed_and_counts_as_a_failure(void **state)
{
	struct world w;

	world_start(&w, .start_ms = 3000);
	world_settle(&w);
	assert_int_equal(pool_worker(w.pool, 0)->deadline_ms, w.now_ms + 3000);
	world_pass(&w, 2999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_NOT_READY);
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_NOT_READY);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1); /* the killed one does not count */
	pool_ready(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_KILLED);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_until(w.pool), w.now_ms + 1000);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void without_start_timeout_a_worker_may_start_for_ever(void **state)
{
	struct world w;

	world_start(&w, .start_ms = 0);
	world_settle(&w);
	world_pass(&w, 100000000);
	assert_int_equal(w.count, 0);
	world_end(&w);
}

/* COMMAND=/bin/false. */
static void early_deaths_double_the_back_off_from_one_to_sixty_seconds(void **state)
{
	static const uint64_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60};
	struct world w;

	world_start(&w, .max_procs = 3);
	assert_int_equal(world_settle(&w), 1);
	for (int i = 0; i < 8; i++) {
		world_exit(&w, world_first(&w, POOL_SPAWN));
		assert_int_equal(world_settle(&w), 0);
		assert_int_equal(pool_backoff_ms(w.pool), waits[i] * 1000);
		world_pass(&w, waits[i] * 1000 - 1);
		assert_int_equal(w.count, 0);
		world_pass(&w, 1);
		assert_int_equal(world_said(&w, POOL_SPAWN), 1);
		assert_int_equal(pool_backoff_until(w.pool), 0);
		assert_int_equal(pool_backoff_ms(w.pool), 0);
	}
	world_end(&w);
}

static void deaths_while_the_pool_backs_off_anyway_do_not_double_it(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4);
	world_settle(&w);
	for (uint32_t i = 0; i < 4; i++)
		world_exit(&w, i);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 4);
	pool_exited(w.pool, 0, w.now_ms);
	assert_int_equal(pool_backoff_ms(w.pool), 2000);
	world_end(&w);
}

static void a_death_within_ten_seconds_of_ready_backs_off_a_later_one_does_not(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	world_pass(&w, 9999);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	world_pass(&w, 10000);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 0);
	assert_int_equal(world_settle(&w), 1);
	world_end(&w);
}

static void a_suspect_that_is_seen_to_live_has_its_time_again(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	pool_silent(w.pool, 0, w.now_ms);
	world_settle_ready(&w); /* who stands in for it */
	world_pass(&w, 29000);
	pool_lives(w.pool, 0, w.now_ms);
	world_pass(&w, 29999);
	assert_int_equal(world_said(&w, POOL_KILL), 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_KILL), 1);
	world_end(&w);
}

static void the_death_of_a_young_suspect_is_a_failure(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2);
	pool_adopted(w.pool, 0, POOL_SUSPECT, POOL_NO_REASON, 1, 1, 0, w.now_ms - 100, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void a_worker_that_lives_ten_seconds_after_ready_resets_the_back_off(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle(&w);
	world_exit(&w, 0);
	world_pass(&w, 1000);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 2000);
	pool_ready(w.pool, 1, w.now_ms);
	world_pass(&w, 9999);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 4000);
	world_pass(&w, 1);
	assert_int_equal(pool_backoff_until(w.pool), 0);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void a_spawn_that_failed_backs_off(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2);
	world_settle(&w);
	pool_spawn_failed(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_FREE);
	assert_int_equal(world_settle(&w), 0);
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void a_retired_worker_may_go_early_without_harm(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1, .max_life_conns = 1);
	world_settle_ready(&w);
	world_close(&w, world_open(&w));
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_until(w.pool), 0);
	world_end(&w);
}

static void a_liar_retires_at_once_and_is_killed_at_the_deadline(void **state)
{
	struct world w;
	uint32_t slot;

	world_start(&w, .min_procs = 3, .max_procs = 3, .max_shutdown = 1, .kill_ms = 5000);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	for (uint32_t i = 0; i < 3; i++)
		pool_given(w.pool, i, 1, w.now_ms);
	for (uint32_t i = 0; i < 3; i++)
		pool_taken(w.pool, i, 1, w.now_ms);
	pool_lied(w.pool, 0, w.now_ms);
	pool_lied(w.pool, 1, w.now_ms);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 2);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_RETIRE), 2);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_FALSE_REPORT);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1); /* no more: both are still alive */
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_KILL), 2);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_FALSE_REPORT);
	assert_int_equal(world_said(&w, POOL_TERM), 0);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_until(w.pool), 0);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void an_early_lie_is_a_failure(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2);
	world_settle_ready(&w);
	pool_lied(w.pool, 0, w.now_ms);
	world_settle(&w);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
	world_start(&w, .max_procs = 2);
	world_settle(&w);
	pool_lied(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void a_lie_of_a_retiring_worker_brings_its_deadline_once(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2, .max_life_conns = 1, .kill_ms = 5000);
	world_settle_ready(&w);
	world_open(&w);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_pass(&w, 100000);
	assert_int_equal(w.count, 0);
	pool_lied(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_FALSE_REPORT);
	world_pass(&w, 3000);
	pool_lied(w.pool, 0, w.now_ms);
	world_pass(&w, 1999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	pool_lied(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_hung_worker_is_killed_at_once(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	pool_hung(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_KILL), 1);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_HUNG);
	assert_int_equal(pool_worker(w.pool, 1)->reason, POOL_HUNG);
	pool_hung(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	world_exit(&w, 1);
	assert_int_equal(pool_backoff_until(w.pool), 0);
	world_end(&w);
}

static void an_early_hang_is_a_failure(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	pool_hung(w.pool, 1, w.now_ms);
	world_settle(&w);
	world_pass(&w, 20000);
	world_exit(&w, 1);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void a_retiring_worker_may_hang_too(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 1, .max_procs = 2);
	world_settle_ready(&w);
	world_offer(&w);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	pool_hung(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_HUNG);
	world_exit(&w, 0);
	assert_int_equal(pool_backoff_until(w.pool), 0);
	world_end(&w);
}

static void a_lone_retiring_worker(struct world *w, uint64_t drain_ms)
{
	world_start(w, .max_life_conns = 1, .max_procs = 2, .kill_ms = 5000, .drain_ms = drain_ms);
	world_settle_ready(w);
	world_open(w);
	world_settle_ready(w);
	assert_int_equal(world_state(w, 0), POOL_RETIRING);
}

static void a_retired_worker_keeps_its_connections_as_long_as_they_live(void **state)
{
	struct world w;

	a_lone_retiring_worker(&w, 0);
	assert_int_equal(pool_worker(w.pool, 0)->deadline_ms, POOL_NEVER);
	world_pass(&w, 1000000000);
	assert_int_equal(w.count, 0);
	world_end(&w);
}

static void an_empty_retired_worker_that_stays_is_termed_then_killed(void **state)
{
	struct world w;

	a_lone_retiring_worker(&w, 0);
	world_pass(&w, 70000);
	world_close(&w, 0);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	assert_int_equal(world_reason(&w, POOL_TERM), POOL_SPENT);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_SPENT);
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_SPENT);
	world_end(&w);
}

static void a_worker_idle_before_it_retired_has_its_time_from_the_retirement(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 1, .max_idle_ms = 50000, .kill_ms = 5000);
	pool_adopted(w.pool, 3, POOL_SERVING, POOL_NO_REASON, 1, 0, 0, w.now_ms, w.now_ms);
	world_settle(&w);
	pool_adopted(w.pool, 4, POOL_SERVING, POOL_NO_REASON, 1, 0, 0, w.now_ms, w.now_ms);
	world_pass(&w, 50000);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_IDLE);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_TERM), 1);
	world_end(&w);
}

static void a_retired_worker_that_was_robbed_of_its_last_has_its_time_from_then(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 1, .max_procs = 2, .kill_ms = 5000);
	world_settle_ready(&w);
	world_offer(&w);
	world_settle_ready(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_pass(&w, 3000);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	pool_robbed(w.pool, 0, 1, w.now_ms);
	world_pass(&w, 4999);
	assert_int_equal(world_said(&w, POOL_TERM), 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	world_end(&w);
}

static void what_was_owed_to_the_dead_is_forgotten(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	pool_hung(w.pool, 0, w.now_ms);
	pool_lied(w.pool, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	pool_exited(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), w.count);
	world_end(&w);
}

static void drain_timeout_ends_the_connections_of_a_retired_worker(void **state)
{
	struct world w;

	a_lone_retiring_worker(&w, 30000);
	world_pass(&w, 29999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	assert_int_equal(world_reason(&w, POOL_TERM), POOL_DRAINED);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_DRAINED);
	world_end(&w);
}

static void without_kill_timeout_nobody_is_killed(void **state)
{
	struct world w;

	world_start(&w, .max_life_conns = 1, .max_procs = 2, .kill_ms = 0, .drain_ms = 1000);
	world_settle_ready(&w);
	world_open(&w);
	world_settle_ready(&w);
	world_pass(&w, 1000);
	assert_int_equal(world_first(&w, POOL_TERM), 0);
	world_pass(&w, 100000000);
	assert_int_equal(w.count, 0);
	world_end(&w);
}

static void a_killed_worker_found_after_a_take_over_is_killed_again(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	pool_adopted(w.pool, 3, POOL_KILLED, POOL_NOT_READY, 1, 0, 0, w.now_ms, w.now_ms);
	pool_adopted(w.pool, 4, POOL_KILLED, POOL_NO_REASON, 1, 0, 0, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 2);
	assert_int_equal(world_first(&w, POOL_KILL), 3);
	assert_int_equal(world_reason(&w, POOL_KILL), POOL_NOT_READY);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_closed_pool_retires_everybody_at_once(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4, .max_shutdown = 1);
	world_settle(&w);
	for (uint32_t i = 0; i < 3; i++)
		pool_ready(w.pool, i, w.now_ms);
	world_open(&w);
	pool_close(w.pool, POOL_NEVER, w.now_ms);
	assert_int_equal(world_open(&w), UINT32_MAX);
	assert_int_equal(world_settle(&w), 4);
	assert_int_equal(world_said(&w, POOL_RETIRE), 4);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_CLOSED);
	pool_waiting(w.pool, 100, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	assert_false(pool_is_closed(w.pool));
	for (uint32_t i = 0; i < 3; i++)
		world_exit(&w, i);
	assert_false(pool_is_closed(w.pool));
	pool_exited(w.pool, 3, w.now_ms);
	assert_true(pool_is_closed(w.pool));
	assert_int_equal(pool_backoff_until(w.pool), 0);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void an_open_pool_without_workers_is_not_closed(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	assert_false(pool_is_closed(w.pool));
	pool_close(w.pool, POOL_NEVER, w.now_ms);
	assert_true(pool_is_closed(w.pool));
	world_end(&w);
}

static void at_the_deadline_of_the_close_comes_term_then_kill(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_life_conns = 1, .kill_ms = 5000);
	world_settle_ready(&w);
	world_open(&w);
	world_settle_ready(&w);
	world_open(&w);
	pool_close(w.pool, w.now_ms + 60000, w.now_ms);
	world_settle(&w);
	world_pass(&w, 59999);
	assert_int_equal(world_said(&w, POOL_TERM), 1); /* the one without connections stayed */
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_TERM), 2); /* ... those of both before the close too */
	assert_int_equal(world_reason(&w, POOL_TERM), POOL_CLOSED);
	world_pass(&w, 4999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_KILL), 2);
	world_end(&w);
}

static void a_second_close_may_bring_the_deadline_nearer(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	world_open(&w);
	pool_close(w.pool, w.now_ms + 60000, w.now_ms);
	world_settle(&w);
	pool_close(w.pool, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_TERM), 1);
	pool_close(w.pool, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_worker_found_by_a_closed_pool_retires(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0);
	pool_close(w.pool, POOL_NEVER, w.now_ms);
	pool_adopted(w.pool, 0, POOL_SERVING, POOL_NO_REASON, 5, 1, 0, w.now_ms, w.now_ms);
	pool_adopted(w.pool, 1, POOL_RETIRING, POOL_IDLE, 5, 1, 0, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_RETIRE), 0);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_not_ready_in_time_is_killed_and_counts_as_a_failure),
		cmocka_unit_test(without_start_timeout_a_worker_may_start_for_ever),
		cmocka_unit_test(early_deaths_double_the_back_off_from_one_to_sixty_seconds),
		cmocka_unit_test(deaths_while_the_pool_backs_off_anyway_do_not_double_it),
		cmocka_unit_test(
			a_death_within_ten_seconds_of_ready_backs_off_a_later_one_does_not),
		cmocka_unit_test(a_suspect_that_is_seen_to_live_has_its_time_again),
		cmocka_unit_test(the_death_of_a_young_suspect_is_a_failure),
		cmocka_unit_test(a_worker_that_lives_ten_seconds_after_ready_resets_the_back_off),
		cmocka_unit_test(a_spawn_that_failed_backs_off),
		cmocka_unit_test(a_retired_worker_may_go_early_without_harm),
		cmocka_unit_test(a_liar_retires_at_once_and_is_killed_at_the_deadline),
		cmocka_unit_test(an_early_lie_is_a_failure),
		cmocka_unit_test(a_lie_of_a_retiring_worker_brings_its_deadline_once),
		cmocka_unit_test(a_hung_worker_is_killed_at_once),
		cmocka_unit_test(an_early_hang_is_a_failure),
		cmocka_unit_test(a_retiring_worker_may_hang_too),
		cmocka_unit_test(a_retired_worker_keeps_its_connections_as_long_as_they_live),
		cmocka_unit_test(an_empty_retired_worker_that_stays_is_termed_then_killed),
		cmocka_unit_test(a_worker_idle_before_it_retired_has_its_time_from_the_retirement),
		cmocka_unit_test(
			a_retired_worker_that_was_robbed_of_its_last_has_its_time_from_then),
		cmocka_unit_test(what_was_owed_to_the_dead_is_forgotten),
		cmocka_unit_test(drain_timeout_ends_the_connections_of_a_retired_worker),
		cmocka_unit_test(without_kill_timeout_nobody_is_killed),
		cmocka_unit_test(a_killed_worker_found_after_a_take_over_is_killed_again),
		cmocka_unit_test(a_closed_pool_retires_everybody_at_once),
		cmocka_unit_test(an_open_pool_without_workers_is_not_closed),
		cmocka_unit_test(at_the_deadline_of_the_close_comes_term_then_kill),
		cmocka_unit_test(a_second_close_may_bring_the_deadline_nearer),
		cmocka_unit_test(a_worker_found_by_a_closed_pool_retires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
