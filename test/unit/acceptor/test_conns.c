/* The table of connection slots: free list, owners, rebuilding. */
#include "common/base.h"
#include "dispatcher/acceptor/conns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SLOTS 8

static struct ledger_conn table[SLOTS];
static struct conns conns;

static int fresh(void **state)
{
	for (int i = 0; i < SLOTS; i++)
		table[i] = (struct ledger_conn){0};
	conns_init(&conns, table, SLOTS);
	return 0;
}

static uint32_t open_for(uint32_t worker, uint64_t seq)
{
	uint32_t slot = conns_open(&conns);

	assert_int_not_equal(slot, CONNS_NONE);
	table[slot].phase = LEDGER_OPEN;
	table[slot].worker = worker;
	table[slot].seq = seq;
	return slot;
}

static void no_more_connections_than_slots(void **state)
{
	for (int i = 0; i < SLOTS; i++)
		open_for(1, 1);
	assert_int_equal(conns_open(&conns), CONNS_NONE);
	assert_int_equal(conns.open, SLOTS);
}

static void the_slot_freed_last_is_used_first(void **state)
{
	uint32_t a = open_for(1, 1), b = open_for(1, 2);

	conns_close(&conns, a);
	conns_close(&conns, b);
	assert_int_equal(conns_open(&conns), b);
	assert_int_equal(conns_open(&conns), a);
}

static void a_connection_belongs_to_its_worker_only(void **state)
{
	uint32_t slot = open_for(3, 1);

	assert_non_null(conns_of(&conns, slot, 3));
	assert_null(conns_of(&conns, slot, 4));
	assert_null(conns_of(&conns, slot + 1, 3));
	assert_null(conns_of(&conns, UINT32_MAX, 3));
	conns_close(&conns, slot);
	assert_null(conns_of(&conns, slot, 3));
}

static void the_newest_is_the_one_offered_last(void **state)
{
	open_for(1, 10);
	open_for(2, 30);
	uint32_t newest = open_for(1, 20);

	open_for(1, 15);
	assert_int_equal(conns_newest_of(&conns, 1), newest);
	assert_int_equal(conns_count_of(&conns, 1), 3);
	assert_int_equal(conns_newest_of(&conns, 9), CONNS_NONE);
}

static void rebuilding_keeps_what_is_open(void **state)
{
	uint32_t kept = open_for(1, 1), gone = open_for(2, 2);
	struct conns again;

	conns_close(&conns, gone);
	conns_init(&again, table, SLOTS);
	assert_int_equal(again.open, 1);
	assert_non_null(conns_of(&again, kept, 1));
	for (int i = 1; i < SLOTS; i++) {
		uint32_t slot = conns_open(&again);

		assert_int_not_equal(slot, kept);
		assert_int_not_equal(slot, CONNS_NONE);
		table[slot].phase = LEDGER_OPEN;
	}
	assert_int_equal(conns_open(&again), CONNS_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_more_connections_than_slots, fresh),
		cmocka_unit_test_setup(the_slot_freed_last_is_used_first, fresh),
		cmocka_unit_test_setup(a_connection_belongs_to_its_worker_only, fresh),
		cmocka_unit_test_setup(the_newest_is_the_one_offered_last, fresh),
		cmocka_unit_test_setup(rebuilding_keeps_what_is_open, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
