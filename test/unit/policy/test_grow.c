/* Whom the pool picks, and when it starts a worker. */
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
	static const unsigned workers[22] = {2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_starts_min_procs_workers_at_once),
		cmocka_unit_test(pool_grows_with_held_connections_exactly_by_the_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
