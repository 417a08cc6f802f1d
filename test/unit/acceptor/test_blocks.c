/* Prefixes that are blocked: what they cover, how long, how many. */
#include "common/base.h"
#include "dispatcher/acceptor/blocks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct ledger_block table[LEDGER_BLOCKS];
static struct blocks blocks;

static int fresh(void **state)
{
	memset(table, 0, sizeof(table));
	blocks_init(&blocks, table);
	return 0;
}

static const char *parsed(const char *text)
{
	static char shown[BLOCKS_TEXT_BYTES];
	struct ledger_block block;

	return blocks_parse(text, &block) ? "none" : blocks_format(&block, shown);
}

static void add(const char *text, uint64_t until_ms)
{
	struct ledger_block block;

	assert_int_equal(blocks_parse(text, &block), 0);
	block.until_ms = until_ms;
	assert_int_equal(blocks_add(&blocks, &block, 0), 0);
}

static bool covers(const char *ip, uint64_t now_ms)
{
	struct addr peer;

	assert_int_equal(addr_parse_ip(ip, &peer), 0);
	peer.port = 4711;
	return blocks_find(&blocks, &peer, now_ms);
}

static void a_prefix_is_read_and_its_rest_cut_off(void **state)
{
	assert_string_equal(parsed("192.0.2.77/24"), "192.0.2.0/24");
	assert_string_equal(parsed("192.0.2.77"), "192.0.2.77/32");
	assert_string_equal(parsed("0.0.0.0/0"), "0.0.0.0/0");
	assert_string_equal(parsed("2001:db8:1::1/32"), "2001:db8::/32");
	assert_string_equal(parsed("::ffff:192.0.2.77"), "192.0.2.77/32");
	assert_string_equal(parsed("::ffff:192.0.2.77/120"), "192.0.2.0/24");
}

static void what_is_no_prefix_is_refused(void **state)
{
	static const char *const wrong[] = {"", "/", "host", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1",
		"192.0.2/24", "2001:db8::/129", "::ffff:192.0.2.1/24", "192.0.2.1/24/8", "192.0.2.1:25"};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_string_equal(parsed(wrong[i]), "none");
}

static void who_comes_from_a_blocked_prefix_is_found(void **state)
{
	assert_false(covers("192.0.2.1", 0));
	add("192.0.2.0/24", UINT64_MAX);
	add("2001:db8::/32", UINT64_MAX);
	assert_int_equal(blocks.count, 2);
	assert_true(covers("192.0.2.1", 0));
	assert_true(covers("::ffff:192.0.2.255", 0));
	assert_true(covers("2001:db8:ffff::1", 0));
	assert_false(covers("192.0.3.1", 0));
	assert_false(covers("2001:db9::1", 0));
	assert_null(blocks_find(&blocks, &(struct addr){.family = AF_UNIX}, 0));
}

static void everybody_of_a_family_is_a_prefix_of_no_bits(void **state)
{
	add("0.0.0.0/0", UINT64_MAX);
	assert_true(covers("203.0.113.9", 0));
	assert_false(covers("2001:db8::1", 0));
}

static void a_block_ends_with_its_time(void **state)
{
	add("192.0.2.0/24", 1000);
	assert_true(covers("192.0.2.1", 999));
	assert_false(covers("192.0.2.1", 1000));
	assert_int_equal(blocks.count, 0);
}

static void the_same_prefix_again_changes_its_time_alone(void **state)
{
	add("192.0.2.0/24", 1000);
	table[0].refused = 7;
	add("192.0.2.9/24", 5000);
	assert_int_equal(blocks.count, 1);
	assert_true(covers("192.0.2.1", 4999));
	assert_int_equal(table[0].refused, 7);
}

static void a_block_can_be_taken_back(void **state)
{
	struct ledger_block block, wider;

	add("192.0.2.0/24", UINT64_MAX);
	assert_int_equal(blocks_parse("192.0.2.0/24", &block), 0);
	assert_int_equal(blocks_parse("192.0.2.0/23", &wider), 0);
	assert_int_equal(blocks_remove(&blocks, &wider), -ENOENT);
	assert_int_equal(blocks_remove(&blocks, &block), 0);
	assert_int_equal(blocks_remove(&blocks, &block), -ENOENT);
	assert_false(covers("192.0.2.1", 0));
}

static void there_are_so_many_places_and_expired_ones_are_free(void **state)
{
	struct ledger_block block;
	char text[32];

	for (int i = 0; i < LEDGER_BLOCKS; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		add(text, i ? UINT64_MAX : 1000);
	}
	assert_int_equal(blocks_parse("198.51.100.0/24", &block), 0);
	block.until_ms = UINT64_MAX;
	assert_int_equal(blocks_add(&blocks, &block, 999), -ENOSPC);
	assert_int_equal(blocks_add(&blocks, &block, 1000), 0);
	assert_true(covers("198.51.100.1", 1000));
}

static void a_new_acceptor_finds_them_and_all_can_be_listed(void **state)
{
	const struct ledger_block *b = NULL;
	unsigned listed = 0;

	add("192.0.2.0/24", 1000);
	add("2001:db8::/32", UINT64_MAX);
	table[5] = table[0];
	table[0] = (struct ledger_block){0};
	blocks_init(&blocks, table);
	assert_int_equal(blocks.count, 2);
	while ((b = blocks_next(&blocks, b)))
		listed++;
	assert_int_equal(listed, 2);
}

static void a_line_is_due_once_a_minute(void **state)
{
	add("192.0.2.0/24", UINT64_MAX);
	assert_true(blocks_may_log(&table[0], 5));
	assert_false(blocks_may_log(&table[0], 60004));
	assert_true(blocks_may_log(&table[0], 60005));
}

#define FRESH(test) cmocka_unit_test_setup(test, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(a_prefix_is_read_and_its_rest_cut_off),
		FRESH(what_is_no_prefix_is_refused),
		FRESH(who_comes_from_a_blocked_prefix_is_found),
		FRESH(everybody_of_a_family_is_a_prefix_of_no_bits),
		FRESH(a_block_ends_with_its_time),
		FRESH(the_same_prefix_again_changes_its_time_alone),
		FRESH(a_block_can_be_taken_back),
		FRESH(there_are_so_many_places_and_expired_ones_are_free),
		FRESH(a_new_acceptor_finds_them_and_all_can_be_listed),
		FRESH(a_line_is_due_once_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
