/* What a theft changes in the books. There is no supervisor and there are no workers: a theft is known
 * by its records alone. */
#include "common/base.h"
#include "common/page.h"
#include "dispatcher/acceptor/theft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS 3
#define CONNS 8
#define VICTIM 0
#define TARGET 1

static struct ledger ledger;
static struct ledger_service book;
static struct ledger_worker books[SLOTS];
static struct ledger_conn table[CONNS];
static struct slot slots[SLOTS];
static struct uplink uplink;
static struct service svc;

/* A service that has not begun: as a new acceptor is told of what the last one left. */
static int set_up(void **state)
{
	memset(table, 0, sizeof(table));
	memset(books, 0, sizeof(books));
	ledger = (struct ledger){.next_seq = 1};
	book = (struct ledger_service){0};
	uplink = (struct uplink){.alive = false};
	for (uint32_t i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){
			.index = i, .serial = i + 1, .book = &books[i], .owner = &svc};
	svc = (struct service){.name = "test",
		.ledger = &ledger,
		.book = &book,
		.uplink = &uplink,
		.slots = slots,
		.slot_count = SLOTS};
	for (uint32_t i = 0; i < 2; i++)
		table[i] = (struct ledger_conn){.phase = LEDGER_OPEN, .worker = VICTIM};
	books[VICTIM].given = 2;
	conns_init(&svc.conns, table, CONNS);
	return uplink_size(&uplink, 1) || uplink_slots(&uplink, 0, SLOTS);
}

static int tear_down(void **state)
{
	free(uplink.services[0].slots);
	free(uplink.services);
	free(uplink.rounds);
	return 0;
}

static int loot_of(uint32_t count)
{
	int fd = page_memory("loot", sizeof(struct link_loot));
	struct link_loot *loot = page_map(fd, sizeof(*loot), 1);

	for (uint32_t i = 0; i < count; i++) {
		loot->moved[i].conn = i;
		loot->moved[i].target = 0;
	}
	atomic_store(&loot->count, count);
	munmap(loot, sizeof(*loot));
	return fd;
}

static struct link_record record(enum link_type type, uint32_t slot)
{
	return (struct link_record){.type = (uint16_t)type,
		.slot = slot,
		.serial = slot + 1,
		.status = LINK_THEFT_DONE,
		.target_count = 1,
		.targets = {{.slot = TARGET, .room = 8}}};
}

static void both_are_moved(void)
{
	assert_int_equal(table[0].worker, TARGET);
	assert_int_equal(table[1].worker, TARGET);
	assert_int_equal(books[VICTIM].given, 0);
	assert_int_equal(books[TARGET].given, 2);
	assert_int_equal(book.stolen_back, 2);
}

static void a_theft_that_the_last_acceptor_began_is_booked_when_it_ends(void **state)
{
	struct link_record under_way = record(LINK_STEALING, VICTIM), ended = record(LINK_STOLEN, VICTIM);

	theft_found(&svc, &under_way);
	assert_ptr_equal(svc.theft.victim, &slots[VICTIM]);
	theft_ended(&svc, &ended, loot_of(2), 1);
	assert_null(svc.theft.victim);
	both_are_moved();
}

static void a_theft_that_ended_before_this_acceptor_began_is_booked(void **state)
{
	struct link_record ended = record(LINK_STOLEN, VICTIM);

	theft_ended(&svc, &ended, loot_of(2), 1);
	assert_null(svc.theft.victim);
	assert_int_not_equal(uplink.services[0].slots[VICTIM].pending, 0);
	both_are_moved();
}

static void a_result_of_another_theft_does_not_end_the_one_under_way(void **state)
{
	struct link_record under_way = record(LINK_STEALING, VICTIM), other = record(LINK_STOLEN, 2);

	theft_found(&svc, &under_way);
	theft_ended(&svc, &other, loot_of(2), 1);
	assert_ptr_equal(svc.theft.victim, &slots[VICTIM]);
	assert_int_equal(books[VICTIM].given, 2);
}

static void a_result_that_is_told_twice_is_booked_once(void **state)
{
	struct link_record ended = record(LINK_STOLEN, VICTIM);

	theft_ended(&svc, &ended, loot_of(2), 1);
	theft_ended(&svc, &ended, loot_of(2), 1);
	both_are_moved();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_theft_that_the_last_acceptor_began_is_booked_when_it_ends),
		TEST(a_theft_that_ended_before_this_acceptor_began_is_booked),
		TEST(a_result_of_another_theft_does_not_end_the_one_under_way),
		TEST(a_result_that_is_told_twice_is_booked_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
