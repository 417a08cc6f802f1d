/* The ledger's tables: their places, and that another layout is noticed. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/ledger.h"

#include <errno.h>
#include <string.h>

static struct ledger *new_ledger(uint32_t services, uint32_t workers, uint32_t conns)
{
	struct ledger *l = calloc(1, ledger_bytes(services, workers, conns));

	ledger_format(l, services, workers, conns);
	return l;
}

static void a_fresh_ledger_is_whole(void **state)
{
	struct ledger *l = new_ledger(2, 10, 100);

	assert_int_equal(ledger_check(l, ledger_bytes(2, 10, 100), 2, 10, 100), 0);
	assert_int_equal(l->next_seq, 1);
	free(l);
}

static void tables_follow_each_other_and_end_with_the_memory(void **state)
{
	struct ledger *l = new_ledger(3, 7, 11);

	assert_ptr_equal(ledger_workers(l), ledger_services(l) + 3);
	assert_ptr_equal(ledger_conns(l), ledger_workers(l) + 7);
	assert_ptr_equal(ledger_conns(l) + 11, (char *)l + ledger_bytes(3, 7, 11));
	memset(ledger_conns(l), 0xff, 11 * sizeof(struct ledger_conn));
	free(l);
}

static void tables_are_aligned_for_their_numbers(void **state)
{
	struct ledger *l = new_ledger(1, 1, 1);

	assert_int_equal((uintptr_t)ledger_services(l) % _Alignof(struct ledger_service), 0);
	assert_int_equal((uintptr_t)ledger_workers(l) % _Alignof(struct ledger_worker), 0);
	assert_int_equal((uintptr_t)ledger_conns(l) % _Alignof(struct ledger_conn), 0);
	free(l);
}

static void other_sizes_or_another_version_are_refused(void **state)
{
	struct ledger *l = new_ledger(2, 10, 100);
	size_t bytes = ledger_bytes(2, 10, 100);

	assert_int_equal(ledger_check(l, bytes, 3, 10, 100), -EBADMSG);
	assert_int_equal(ledger_check(l, bytes, 2, 11, 100), -EBADMSG);
	assert_int_equal(ledger_check(l, bytes, 2, 10, 99), -EBADMSG);
	assert_int_equal(ledger_check(l, bytes - 1, 2, 10, 100), -EBADMSG);
	assert_int_equal(ledger_check(l, 10, 2, 10, 100), -EBADMSG);
	l->version++;
	assert_int_equal(ledger_check(l, bytes, 2, 10, 100), -EBADMSG);
	free(l);
}

static void the_largest_tables_have_a_size(void **state)
{
	assert_true(ledger_bytes(1000, 1u << 20, INT32_MAX) >
		    (uint64_t)INT32_MAX * sizeof(struct ledger_conn));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_ledger_is_whole),
		cmocka_unit_test(tables_follow_each_other_and_end_with_the_memory),
		cmocka_unit_test(tables_are_aligned_for_their_numbers),
		cmocka_unit_test(other_sizes_or_another_version_are_refused),
		cmocka_unit_test(the_largest_tables_have_a_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
