/* The queue of a service in its channel: who comes and goes, and what the next acceptor finds there. The
 * test is both acceptors: a new one has a hand and a stash of its own, and the same ledger and channel. */
#include "dispatcher/acceptor/line.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#define CONNS 16

static struct ledger_conn table[CONNS];
static struct service_settings set;
static struct listener listener;
static struct service svc;
static struct hand *hand;
static int ends[2], clients[CONNS];

/* Another acceptor than before, if there was one; what that had in hand is gone with it. */
static void begins(void)
{
	int fds[] = {fcntl(ends[0], F_DUPFD_CLOEXEC, 0), fcntl(ends[1], F_DUPFD_CLOEXEC, 0)};

	hand = hand_new();
	svc = (struct service){.set = &set,
		.listeners = &listener,
		.listener_count = 1,
		.in_hand = hand,
		.hand = &hand->services[0]};
	conns_init(&svc.conns, table, CONNS);
	assert_int_equal(line_open_consume(&svc, fds), 0);
	line_begin(&svc);
}

static void ends_here(void)
{
	for (unsigned i = 0; i < HAND_PLACES; i++)
		if (svc.hand->places[i].fd)
			close(svc.hand->places[i].fd);
	close(svc.line->in);
	close(svc.line->out);
	free(svc.line);
}

static int set_up(void **state)
{
	memset(table, 0, sizeof(table));
	set = (struct service_settings){.when_full = FULL_REFUSE, .queue_size = 8, .queue_ms = 1000};
	assert_int_equal(chan_pair(ends), 0);
	for (unsigned i = 0; i < CONNS; i++)
		clients[i] = -1;
	begins();
	return 0;
}

static int tear_down(void **state)
{
	ends_here();
	close(ends[0]);
	close(ends[1]);
	for (unsigned i = 0; i < CONNS; i++)
		base_close(&clients[i]);
	return 0;
}

/* A client was accepted, and stands at the end of the stash. */
static void arrives(uint32_t conn, uint64_t at_ms)
{
	unsigned place = hand_free_place(svc.hand);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	clients[conn] = pair[1];
	table[conn] = (struct ledger_conn){
		.phase = LEDGER_OPEN, .worker = CONNS_NONE, .accepted_ms = at_ms};
	hand_put(svc.hand, place, pair[0], conn);
	service_stash(&svc, pair[0], conn, place);
}

static void join(uint32_t conn, uint64_t at_ms)
{
	arrives(conn, at_ms);
	assert_true(line_join(&svc));
	assert_int_equal(table[conn].phase, LEDGER_QUEUED);
}

static void expect_taken(uint32_t conn)
{
	unsigned count = svc.stash.count;
	char byte = 'x', got = 0;

	assert_true(line_take(&svc));
	assert_int_equal(svc.stash.count, count + 1);
	assert_int_equal(svc.stash.conns[count].slot, conn);
	assert_int_equal(table[conn].phase, LEDGER_OPEN);
	assert_int_equal(svc.hand->places[svc.stash.places[count]].fd, svc.stash.fds[count]);
	assert_int_equal(write(svc.stash.fds[count], &byte, 1), 1);
	assert_int_equal(recv(clients[conn], &got, 1, MSG_DONTWAIT), 1); /* it is that very one */
}

static bool is_cut(uint32_t conn)
{
	char byte;

	return recv(clients[conn], &byte, 1, MSG_DONTWAIT) == 0;
}

static void who_joined_first_is_taken_first_and_stands_in_hand(void **state)
{
	join(3, 10);
	join(5, 20);
	assert_int_equal(line_count(&svc), 2);
	assert_int_equal(svc.stash.count, 0);
	assert_int_equal(hand_free_place(svc.hand), HAND_BATCH);
	expect_taken(3);
	expect_taken(5);
	assert_false(line_take(&svc));
}

static void the_next_acceptor_finds_all_in_order_and_moves_nothing(void **state)
{
	for (uint32_t i = 0; i < 5; i++)
		join(10 - i, 100 + i);
	for (unsigned lives = 0; lives < 3; lives++) {
		ends_here();
		begins();
		assert_int_equal(line_count(&svc), 5);
		assert_int_equal(queue_head(&svc.line->queue).conn, 10);
		assert_int_equal(hand_free_place(svc.hand), HAND_BATCH);
	}
	for (uint32_t i = 0; i < 5; i++)
		expect_taken(10 - i);
}

static void a_queue_that_was_half_turned_is_put_in_order(void **state)
{
	for (uint32_t i = 0; i < 5; i++)
		join(i, 100 + i);
	assert_true(line_turn(&svc));
	assert_true(line_turn(&svc));
	ends_here();
	begins();
	for (uint32_t i = 0; i < 5; i++)
		expect_taken(i);
}

/* Killed between the sending and what follows it. */
static void who_is_in_the_queue_and_not_entered_as_such_is_found(void **state)
{
	join(4, 100);
	table[4].phase = LEDGER_OPEN;
	ends_here();
	begins();
	assert_int_equal(table[4].phase, LEDGER_QUEUED);
	assert_int_equal(line_count(&svc), 1);
}

/* Killed between taking the message out and what follows it: its socket comes from the hand. */
static void who_is_entered_as_queued_and_is_not_there_is_open(void **state)
{
	join(4, 100);
	join(6, 110);
	expect_taken(4);
	table[4].phase = LEDGER_QUEUED;
	ends_here();
	begins();
	assert_int_equal(table[4].phase, LEDGER_OPEN);
	assert_int_equal(table[6].phase, LEDGER_QUEUED);
	assert_int_equal(line_count(&svc), 1);
}

static void whom_the_ledger_does_not_know_is_dropped_and_the_others_are_not(void **state)
{
	join(2, 100);
	join(4, 110);
	join(6, 120);
	ends_here();
	table[2] = (struct ledger_conn){0};
	table[4].accepted_ms = 111; /* another connection in the same slot */
	begins();
	expect_taken(6);
	assert_int_equal(line_count(&svc), 0);
	assert_true(is_cut(2));
	assert_true(is_cut(4));
}

static void with_full_hands_nobody_is_taken(void **state)
{
	join(2, 100);
	for (unsigned place = HAND_BATCH; place < HAND_PLACES; place++)
		svc.hand->places[place].fd = 1;
	assert_false(line_take(&svc));
	assert_false(line_turn(&svc));
	for (unsigned place = HAND_BATCH; place < HAND_PLACES; place++)
		svc.hand->places[place].fd = 0;
	expect_taken(2);
}

static void without_a_channel_nobody_waits(void **state)
{
	struct line *line = svc.line;

	svc.line = NULL;
	arrives(1, 100);
	assert_int_equal(line_count(&svc), 0);
	assert_false(line_join(&svc));
	assert_int_equal(svc.stash.count, 1);
	svc.line = line;
}

#define LINE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINE_TEST(who_joined_first_is_taken_first_and_stands_in_hand),
		LINE_TEST(the_next_acceptor_finds_all_in_order_and_moves_nothing),
		LINE_TEST(a_queue_that_was_half_turned_is_put_in_order),
		LINE_TEST(who_is_in_the_queue_and_not_entered_as_such_is_found),
		LINE_TEST(who_is_entered_as_queued_and_is_not_there_is_open),
		LINE_TEST(whom_the_ledger_does_not_know_is_dropped_and_the_others_are_not),
		LINE_TEST(with_full_hands_nobody_is_taken),
		LINE_TEST(without_a_channel_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
