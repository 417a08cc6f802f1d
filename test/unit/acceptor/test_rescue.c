/* What a new acceptor makes of what the last one had in hand: the test leaves a hand and a ledger as at a
 * moment of a kill, lets the keeper park it, and takes it. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/blocks.h"
#include "dispatcher/acceptor/keeper.h"
#include "dispatcher/acceptor/rescue.h"
#include "dispatcher/acceptor/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define CONNS 16
#define WORKER 1
#define HANDED 100

static struct hand *old;
static struct ledger ledger;
static struct ledger_service book;
static struct ledger_conn table[CONNS];
static struct slot slots[2];
static struct listener listener;
static struct blocks blocks;
static struct settings settings;
static struct service svc;
static struct acceptor acceptor;
static int park[2];

static int set_up(void **state)
{
	memset(table, 0, sizeof(table));
	memset(slots, 0, sizeof(slots));
	ledger = (struct ledger){.next_seq = 1};
	book = (struct ledger_service){.handed = HANDED, .accepted = HANDED};
	assert_int_equal(chan_pair(park), 0);
	old = hand_new();
	old->park = park[0];
	old->service_count = 1;
	strcpy(old->services[0].name, "test");
	acceptor = (struct acceptor){.hand = hand_new(), .services = &svc, .service_count = 1};
	acceptor.hand->services[0] = old->services[0];
	listener = (struct listener){.fd = -1, .is_unix = true, .bound = {.family = AF_UNIX}};
	slots[WORKER].serial = 7;
	slots[WORKER].unsettled = true;
	svc = (struct service){.name = "test",
		.settings = &settings,
		.state = LINK_OPEN,
		.active = true,
		.ledger = &ledger,
		.book = &book,
		.blocks = &blocks,
		.listeners = &listener,
		.listener_count = 1,
		.slots = slots,
		.slot_count = 2,
		.in_hand = acceptor.hand,
		.hand = &acceptor.hand->services[0]};
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < HAND_PLACES; i++)
		if (svc.hand->places[i].fd)
			close(svc.hand->places[i].fd);
	close(park[0]);
	close(park[1]);
	return 0;
}

/* A client's connection in the old hand, at this place; worker: whom it was assigned to. */
static int in_old_hand(unsigned place, uint32_t conn, uint32_t worker)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	table[conn] = (struct ledger_conn){.phase = LEDGER_OPEN, .worker = worker, .seq = 50 + conn};
	hand_put(&old->services[0], place, ends[0], conn);
	return ends[1];
}

/* The old acceptor is killed: its descriptors go, once they are parked. */
static void killed(void)
{
	keeper_rescue(old);
	for (unsigned i = 0; i < HAND_PLACES; i++)
		if (old->services[0].places[i].fd)
			close(old->services[0].places[i].fd);
}

static void take(void)
{
	conns_init(&svc.conns, table, CONNS);
	rescue_take(&acceptor, park[1]);
}

static bool is_cut(int client)
{
	char byte;

	return recv(client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void what_was_nobodys_waits_in_the_stash_and_in_hand(void **state)
{
	int client = in_old_hand(2, 3, CONNS_NONE);

	killed();
	take();
	assert_int_equal(svc.stash.count, 1);
	assert_int_equal(svc.stash.conns[0].slot, 3);
	assert_true(svc.stash.places[0] >= HAND_BATCH);
	assert_int_equal(svc.hand->places[svc.stash.places[0]].fd, svc.stash.fds[0]);
	assert_true(rescue_waits(&svc, 3));
	assert_int_equal(book.handed, HANDED);
	assert_false(is_cut(client));
	close(client);
}

/* Killed on its way into the queue, or out of it. */
static void who_is_in_the_queue_too_is_left_there(void **state)
{
	int client = in_old_hand(9, 3, CONNS_NONE);

	table[3].phase = LEDGER_QUEUED; /* as line_begin() has found */
	killed();
	take();
	assert_int_equal(svc.stash.count + svc.doubts.count + svc.late.count, 0);
	assert_int_equal(table[3].phase, LEDGER_QUEUED);
	assert_true(is_cut(client)); /* here it has no other copy */
	close(client);
}

/* Killed between the first and the second of an offer, or between the second and the counting. */
static void an_offer_counts_what_was_assigned_whether_it_was_counted_already_or_not(void **state)
{
	for (unsigned counted = 0; counted < 2; counted++) {
		int first, second;

		set_up(NULL);
		first = in_old_hand(0, 4, WORKER);
		second = in_old_hand(1, 5, CONNS_NONE);
		hand_offers(&old->services[0], HANDED, BIT(0) | BIT(1));
		book.handed = HANDED + 2 * counted;
		killed();
		take();
		assert_int_equal(book.handed, HANDED + 1);
		assert_int_equal(svc.doubts.count, 1);
		assert_int_equal(svc.stash.count, 1);
		assert_false(is_cut(first) || is_cut(second));
		close(first);
		close(second);
		if (!counted)
			tear_down(NULL);
	}
}

static void what_was_closed_after_its_offer_counts_too(void **state)
{
	int client = in_old_hand(0, 4, WORKER);

	hand_offers(&old->services[0], HANDED, BIT(0));
	close(old->services[0].places[0].fd);
	hand_drop(&old->services[0], 0);
	killed();
	take();
	assert_int_equal(book.handed, HANDED + 1);
	assert_int_equal(svc.doubts.count, 0);
	close(client);
}

static void what_its_worker_never_got_goes_into_the_stash(void **state)
{
	int client = in_old_hand(0, 4, WORKER);

	hand_offers(&old->services[0], HANDED, BIT(0));
	killed();
	take();
	rescue_settle(&svc);
	assert_int_equal(svc.doubts.count, 1); /* its worker has not answered yet */
	assert_true(rescue_unsent(&svc, 4, 1000));
	assert_int_equal(svc.doubts.count, 0);
	assert_int_equal(svc.stash.count, 1);
	assert_int_equal(table[4].worker, CONNS_NONE);
	assert_int_equal(book.handed, HANDED);
	assert_int_equal(book.rescued, 1);
	assert_false(is_cut(client));
	close(client);
}

static void what_its_worker_got_is_let_go_when_it_answers(void **state)
{
	int client = in_old_hand(0, 4, WORKER);

	hand_offers(&old->services[0], HANDED, BIT(0));
	killed();
	take();
	slots[WORKER].unsettled = false;
	rescue_settle(&svc);
	assert_int_equal(svc.doubts.count, 0);
	assert_int_equal(svc.hand->places[HAND_BATCH].fd, 0);
	assert_true(is_cut(client)); /* ours was the last copy */
	assert_false(rescue_unsent(&svc, 4, 1000));
	close(client);
}

/* A thief moved it: it was in the victim's channel, then, and has another seq. */
static void what_was_stolen_meanwhile_is_let_go(void **state)
{
	int client = in_old_hand(0, 4, WORKER);

	hand_offers(&old->services[0], HANDED, BIT(0));
	killed();
	take();
	table[4].seq = 99;
	rescue_settle(&svc);
	assert_int_equal(svc.doubts.count, 0);
	close(client);
}

static void nothing_is_let_go_before_anything_is_known(void **state)
{
	int client = in_old_hand(0, 4, WORKER);

	hand_offers(&old->services[0], HANDED, BIT(0));
	killed();
	take();
	svc.active = false;
	slots[WORKER].unsettled = false; /* nobody has been asked yet */
	rescue_settle(&svc);
	assert_int_equal(svc.doubts.count, 1);
	close(client);
}

/* An acceptor was killed between looking at a record and taking it out of the channel. */
static void what_is_found_twice_is_kept_once(void **state)
{
	int client = in_old_hand(0, 4, CONNS_NONE);

	keeper_rescue(old);
	killed();
	take();
	assert_int_equal(svc.stash.count, 1);
	close(client);
}

static void what_stood_nowhere_gets_its_place_and_is_counted(void **state)
{
	int client = in_old_hand(0, CONNS - 1, CONNS_NONE);

	table[CONNS - 1].phase = LEDGER_FREE;
	killed();
	take();
	assert_int_equal(svc.late.count, 1);
	assert_int_equal(svc.stash.count, 0);
	rescue_admit(&svc, 1000);
	assert_int_equal(svc.late.count, 0);
	assert_int_equal(svc.stash.count, 1);
	assert_int_equal(book.accepted, HANDED + 1);
	assert_int_equal(book.rescued, 1);
	assert_int_equal(table[svc.stash.conns[0].slot].phase, LEDGER_OPEN);
	assert_int_equal(svc.hand->places[svc.stash.places[0]].conn, svc.stash.conns[0].slot);
	assert_false(is_cut(client));
	close(client);
}

static void what_belongs_to_no_service_any_more_is_closed(void **state)
{
	int client;

	strcpy(old->services[0].name, "gone");
	client = in_old_hand(0, 4, CONNS_NONE);
	killed();
	take();
	assert_true(is_cut(client));
	close(client);
}

#define RESCUE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RESCUE_TEST(what_was_nobodys_waits_in_the_stash_and_in_hand),
		RESCUE_TEST(who_is_in_the_queue_too_is_left_there),
		RESCUE_TEST(an_offer_counts_what_was_assigned_whether_it_was_counted_already_or_not),
		RESCUE_TEST(what_was_closed_after_its_offer_counts_too),
		RESCUE_TEST(what_its_worker_never_got_goes_into_the_stash),
		RESCUE_TEST(what_its_worker_got_is_let_go_when_it_answers),
		RESCUE_TEST(what_was_stolen_meanwhile_is_let_go),
		RESCUE_TEST(nothing_is_let_go_before_anything_is_known),
		RESCUE_TEST(what_is_found_twice_is_kept_once),
		RESCUE_TEST(what_stood_nowhere_gets_its_place_and_is_counted),
		RESCUE_TEST(what_belongs_to_no_service_any_more_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
