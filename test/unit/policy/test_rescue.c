/* Unread offers of workers that died or hang, and how the pool lives on without these workers. */
#include "test/unit/policy/world.h"

/* Two workers, each with an unread offer; one may read its own. */
static void start_two(struct world *w)
{
	world_start(w, .min_procs = 2, .max_procs = 2);
	world_settle_ready(w);
	assert_int_equal(world_offer(w), 0);
	assert_int_equal(world_offer(w), 1);
	world_settle(w);
}

static void offers_of_a_dead_worker_are_stolen_at_once(void **state)
{
	struct world w;

	start_two(&w);
	pool_given(w.pool, 0, 2, w.now_ms);
	pool_taken(w.pool, 0, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_EXITED);
	assert_int_equal(world_load(&w, 0), 2);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	pool_robbed(w.pool, 0, 2, w.now_ms);
	pool_given(w.pool, 1, 2, w.now_ms);
	assert_int_equal(world_load(&w, 0), 0);
	pool_released(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_FREE);
	assert_int_equal(pool_load(w.pool), 3);
	world_end(&w);
}

static void a_dead_worker_with_nothing_unread_is_not_robbed(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 0, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	assert_int_equal(pool_load(w.pool), 1);
	world_end(&w);
}

static void nothing_is_stolen_before_another_has_room(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 1);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	world_offer(&w);
	pool_exited(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_SPAWN), 1);
	pool_ready(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	assert_int_equal(world_settle(&w), 0);
	world_end(&w);
}

static void a_full_worker_is_no_room_for_what_is_stolen(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .min_conns = 1, .max_conns = 1);
	world_settle_ready(&w);
	world_pass(&w, 10000);
	world_offer(&w);
	world_open(&w);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	world_close(&w, 1);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void a_slot_is_not_robbed_twice_before_the_first_theft_is_over(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_pass(&w, 50000);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	world_end(&w);
}

static void a_theft_that_brought_nothing_is_tried_again(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	pool_robbed(w.pool, 0, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_EXITED);
	world_pass(&w, 99);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	world_end(&w);
}

static void what_a_theft_left_is_stolen_at_once(void **state)
{
	struct world w;

	start_two(&w);
	pool_given(w.pool, 0, 5, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	pool_robbed(w.pool, 0, 2, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	assert_int_equal(world_load(&w, 0), 4);
	world_end(&w);
}

static void offers_unread_for_handoff_timeout_are_stolen(void **state)
{
	struct world w;

	start_two(&w);
	world_pass(&w, 500);
	pool_given(w.pool, 0, 1, w.now_ms);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 499);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	world_end(&w);
}

static void a_worker_that_reads_in_time_is_left_alone(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 900);
	pool_given(w.pool, 0, 1, w.now_ms);
	pool_taken(w.pool, 0, 1, w.now_ms);
	assert_int_equal(pool_worker(w.pool, 0)->unread_since_ms, w.now_ms);
	world_pass(&w, 999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void without_handoff_timeout_only_the_dead_are_robbed(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .handoff_ms = 0);
	world_settle_ready(&w);
	world_offer(&w);
	world_pass(&w, 1000000);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void nobody_is_offered_anything_while_he_is_robbed(void **state)
{
	struct world w;
	uint32_t slot;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	for (int i = 0; i < 5; i++)
		pool_given(w.pool, 1, 1, w.now_ms);
	pool_taken(w.pool, 1, 5, w.now_ms);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 0);
	world_pass(&w, 1000);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 1);
	assert_int_equal(pool_room_of(w.pool, 0), 0);
	world_end(&w);
}

static void a_robbed_worker_is_suspect_until_it_answers(void **state)
{
	struct world w;
	uint32_t slot;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_given(w.pool, 0, 2, w.now_ms);
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	pool_robbed(w.pool, 0, 3, w.now_ms);
	pool_given(w.pool, 1, 3, w.now_ms);
	pool_taken(w.pool, 1, 3, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_SUSPECT);
	assert_int_equal(pool_worker(w.pool, 0)->life, 0);
	assert_int_equal(world_load(&w, 0), 0);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 1);
	world_pass(&w, 5000);
	assert_int_equal(w.count, 0);
	pool_answered(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_SERVING);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 0);
	pool_answered(w.pool, 1, w.now_ms);
	assert_int_equal(world_state(&w, 1), POOL_SERVING);
	world_end(&w);
}

static void a_suspect_that_does_not_answer_within_start_ms_is_killed(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 1000);
	pool_robbed(w.pool, 0, 1, w.now_ms);
	world_settle_ready(&w);
	world_pass(&w, 29999);
	assert_int_equal(world_said(&w, POOL_KILL), 0);
	world_pass(&w, 1);
	assert_int_equal(world_said(&w, POOL_KILL), 1);
	assert_int_equal(world_first(&w, POOL_KILL), 0);
	assert_int_equal(pool_worker(w.pool, 0)->reason, POOL_HUNG);
	world_end(&w);
}

static void a_suspect_killed_soon_after_it_was_ready_is_a_failure(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .start_ms = 2000);
	world_settle_ready(&w);
	pool_silent(w.pool, 0, w.now_ms);
	world_pass(&w, 2000);
	assert_int_equal(world_state(&w, 0), POOL_KILLED);
	pool_exited(w.pool, 0, w.now_ms);
	assert_int_equal(pool_backoff_ms(w.pool), 1000);
	world_end(&w);
}

static void a_silent_worker_is_suspect_and_not_robbed_again(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 1000);
	pool_robbed(w.pool, 0, 0, w.now_ms);
	pool_silent(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_SUSPECT);
	world_pass(&w, 20000);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	pool_answered(w.pool, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_SERVING);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void a_killed_worker_is_robbed_only_once_it_is_dead(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_hung(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_KILL), 1);
	world_pass(&w, 60000);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void a_worker_robbed_of_nothing_goes_on_serving(void **state)
{
	struct world w;
	uint32_t slot;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 1000);
	pool_taken(w.pool, 0, 1, w.now_ms);
	pool_robbed(w.pool, 0, 0, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_SERVING);
	assert_true(pool_pick(w.pool, 1, &slot) && slot == 0);
	world_end(&w);
}

static void a_living_worker_is_asked_again_only_after_handoff_timeout(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 1000);
	pool_robbed(w.pool, 0, 0, w.now_ms);
	world_pass(&w, 999);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	world_pass(&w, 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	world_end(&w);
}

/* The one worker hangs: a second is started for its clients, although max_procs is one. */
static void a_lone_hanging_worker_gets_a_rescuer_beyond_max_procs(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0, .max_procs = 1);
	pool_waiting(w.pool, 1, w.now_ms);
	world_settle_ready(&w);
	pool_waiting(w.pool, 0, w.now_ms);
	world_offer(&w);
	world_pass(&w, 999);
	assert_int_equal(w.count, 0);
	world_pass(&w, 1);
	assert_int_equal(w.count, 1);
	assert_int_equal(world_first(&w, POOL_SPAWN), 1);
	pool_ready(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	world_end(&w);
}

static void clients_that_wait_behind_suspects_alone_get_a_worker(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 0, .max_procs = 2);
	for (uint32_t i = 0; i < 2; i++)
		pool_adopted(w.pool, i, POOL_SUSPECT, POOL_NO_REASON, 50, 1, 0, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_waiting(w.pool, 1, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void suspects_count_against_max_procs_but_not_as_min_procs(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 1, .max_procs = 3, .min_conns = 2);
	for (uint32_t i = 0; i < 2; i++)
		pool_adopted(w.pool, i, POOL_SUSPECT, POOL_NO_REASON, 50, 1, 0, w.now_ms, w.now_ms);
	pool_waiting(w.pool, 10, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void unread_offers_of_the_dead_count_as_waiting(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 1, .max_procs = 5, .min_conns = 2, .max_conns = 2);
	world_settle_ready(&w);
	pool_adopted(w.pool, 8, POOL_SERVING, POOL_NO_REASON, 50, 4, 4, 0, w.now_ms);
	pool_exited(w.pool, 8, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 2);
	world_end(&w);
}

static void never_more_live_processes_than_max_procs_and_max_shutdown(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 2, .max_procs = 2, .max_shutdown = 1);
	for (uint32_t i = 0; i < 2; i++)
		pool_adopted(w.pool, i, POOL_SUSPECT, POOL_NO_REASON, 5, 1, 0, w.now_ms, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	pool_waiting(w.pool, 1000, w.now_ms);
	assert_int_equal(world_settle(&w), 0);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_SPAWN), 0); /* it backs off: the dead one was young */
	world_pass(&w, 1000);
	assert_int_equal(world_said(&w, POOL_SPAWN), 1);
	world_end(&w);
}

static void a_suspect_that_comes_back_makes_its_stand_in_surplus(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 1000);
	pool_robbed(w.pool, 0, 1, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	pool_answered(w.pool, 0, w.now_ms);
	assert_int_equal(world_settle(&w), 1);
	assert_int_equal(world_reason(&w, POOL_RETIRE), POOL_SURPLUS);
	assert_int_equal(world_count(&w, POOL_SERVING), 2);
	world_end(&w);
}

static void offers_that_a_retiring_worker_does_not_read_are_stolen_too(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_lied(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_pass(&w, 1000);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	pool_robbed(w.pool, 0, 1, w.now_ms);
	assert_int_equal(world_state(&w, 0), POOL_RETIRING);
	world_end(&w);
}

static void what_reached_a_worker_that_just_died_is_stolen_again(void **state)
{
	struct world w;

	start_two(&w);
	pool_taken(w.pool, 0, 1, w.now_ms);
	pool_taken(w.pool, 1, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	pool_given(w.pool, 0, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	world_end(&w);
}

static void the_longest_unread_are_stolen_first(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3);
	world_settle_ready(&w);
	pool_given(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 10);
	pool_given(w.pool, 0, 1, w.now_ms);
	w.now_ms += 1000;
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 2);
	assert_int_equal(world_first(&w, POOL_STEAL), 1);
	world_end(&w);
}

static void loot_is_not_for_a_worker_that_leaves_offers_unread(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 3, .max_procs = 3);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	pool_given(w.pool, 0, 1, w.now_ms);
	pool_given(w.pool, 1, 1, w.now_ms);
	world_pass(&w, 124);
	assert_int_equal(pool_room_of(w.pool, 1), 15);
	world_pass(&w, 1);
	pool_given(w.pool, 2, 1, w.now_ms);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 1);
	assert_int_equal(pool_room_of(w.pool, 1), 0);
	assert_int_equal(pool_room_of(w.pool, 2), 15);
	pool_taken(w.pool, 1, 1, w.now_ms);
	assert_int_equal(pool_room_of(w.pool, 1), 16);
	world_end(&w);
}

static void nothing_is_stolen_for_workers_that_leave_offers_unread(void **state)
{
	struct world w;

	start_two(&w);
	world_pass(&w, 20);
	pool_taken(w.pool, 0, 1, w.now_ms);
	pool_given(w.pool, 0, 1, w.now_ms);
	world_pass(&w, 125);
	pool_exited(w.pool, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_said(&w, POOL_STEAL), 0);
	pool_taken(w.pool, 0, 1, w.now_ms);
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_STEAL), 1);
	world_end(&w);
}

/* An idle worker may have been stopped together with the one that does not read. */
static void loot_is_for_workers_that_were_alive_lately(void **state)
{
	struct world w;

	world_start(&w, .min_procs = 4, .max_procs = 4);
	world_settle_ready(&w);
	assert_int_equal(world_offer(&w), 0);
	assert_int_equal(world_open(&w), 1);
	world_pass(&w, 900);
	world_close(&w, 1);
	w.now_ms += 100;
	world_settle(&w);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	assert_int_equal(pool_room_of(w.pool, 1), 16);
	assert_int_equal(pool_room_of(w.pool, 2), 0);
	pool_robbed(w.pool, 0, 0, w.now_ms);
	world_pass(&w, 1000);
	assert_int_equal(world_first(&w, POOL_STEAL), 0);
	assert_int_equal(pool_room_of(w.pool, 1), 16); /* nobody was: so any will do */
	assert_int_equal(pool_room_of(w.pool, 2), 16);
	world_end(&w);
}

/* Or a service that dies on every first connection would end with nothing but corpses. */
static void new_clients_wait_while_max_procs_dead_workers_are_not_robbed(void **state)
{
	struct world w;

	world_start(&w, .max_procs = 2, .min_procs = 2);
	world_settle_ready(&w);
	world_pass(&w, 20000);
	world_offer(&w);
	pool_exited(w.pool, 0, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_offer(&w), 1);
	pool_exited(w.pool, 1, w.now_ms);
	world_settle_ready(&w);
	assert_int_equal(world_offer(&w), UINT32_MAX);
	assert_int_equal(pool_room_of(w.pool, 2), 16);
	pool_robbed(w.pool, 0, 1, w.now_ms);
	pool_given(w.pool, 2, 1, w.now_ms);
	assert_int_not_equal(world_offer(&w), UINT32_MAX);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_of_a_dead_worker_are_stolen_at_once),
		cmocka_unit_test(a_dead_worker_with_nothing_unread_is_not_robbed),
		cmocka_unit_test(nothing_is_stolen_before_another_has_room),
		cmocka_unit_test(a_full_worker_is_no_room_for_what_is_stolen),
		cmocka_unit_test(a_slot_is_not_robbed_twice_before_the_first_theft_is_over),
		cmocka_unit_test(a_theft_that_brought_nothing_is_tried_again),
		cmocka_unit_test(what_a_theft_left_is_stolen_at_once),
		cmocka_unit_test(offers_unread_for_handoff_timeout_are_stolen),
		cmocka_unit_test(a_worker_that_reads_in_time_is_left_alone),
		cmocka_unit_test(without_handoff_timeout_only_the_dead_are_robbed),
		cmocka_unit_test(nobody_is_offered_anything_while_he_is_robbed),
		cmocka_unit_test(a_robbed_worker_is_suspect_until_it_answers),
		cmocka_unit_test(a_suspect_that_does_not_answer_within_start_ms_is_killed),
		cmocka_unit_test(a_suspect_killed_soon_after_it_was_ready_is_a_failure),
		cmocka_unit_test(a_silent_worker_is_suspect_and_not_robbed_again),
		cmocka_unit_test(a_killed_worker_is_robbed_only_once_it_is_dead),
		cmocka_unit_test(a_worker_robbed_of_nothing_goes_on_serving),
		cmocka_unit_test(a_living_worker_is_asked_again_only_after_handoff_timeout),
		cmocka_unit_test(a_lone_hanging_worker_gets_a_rescuer_beyond_max_procs),
		cmocka_unit_test(clients_that_wait_behind_suspects_alone_get_a_worker),
		cmocka_unit_test(suspects_count_against_max_procs_but_not_as_min_procs),
		cmocka_unit_test(unread_offers_of_the_dead_count_as_waiting),
		cmocka_unit_test(never_more_live_processes_than_max_procs_and_max_shutdown),
		cmocka_unit_test(a_suspect_that_comes_back_makes_its_stand_in_surplus),
		cmocka_unit_test(offers_that_a_retiring_worker_does_not_read_are_stolen_too),
		cmocka_unit_test(what_reached_a_worker_that_just_died_is_stolen_again),
		cmocka_unit_test(the_longest_unread_are_stolen_first),
		cmocka_unit_test(loot_is_not_for_a_worker_that_leaves_offers_unread),
		cmocka_unit_test(nothing_is_stolen_for_workers_that_leave_offers_unread),
		cmocka_unit_test(loot_is_for_workers_that_were_alive_lately),
		cmocka_unit_test(new_clients_wait_while_max_procs_dead_workers_are_not_robbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
