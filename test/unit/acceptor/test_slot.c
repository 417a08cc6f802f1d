/* What of a worker's page is believed. The test plays the worker on a real page. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#define CONNS 8
#define WORKER 5

static struct ledger_conn table[CONNS];
static struct ledger_worker book;
static struct bell *bell;
static struct conns conns;
static struct page *page;
static uv_loop_t loop;
static struct slot slot;
static int worker_end, bell_end;
static unsigned finished, rang;

static void on_rang(struct slot *s)
{
	rang++;
}

static void on_released(struct slot *s)
{
	s->serial = 0;
}

static void on_finished(struct slot *s, uint32_t conn)
{
	finished++;
}

static const struct slot_ops ops = {
	.rang = on_rang, .hung_up = on_rang, .released = on_released, .finished = on_finished};

static int attach(void **state)
{
	uint32_t ring = page_ring_len(CONNS);
	int ends[2], pipe_ends[2], fd = page_memory("page", page_bytes(ring));
	int bell_fd = page_memory("bell", sizeof(*bell)), fds[SLOT_FDS];

	memset(table, 0, sizeof(table));
	book = (struct ledger_worker){.serial = 1};
	conns_init(&conns, table, CONNS);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(pipe(pipe_ends), 0);
	page = page_map(fd, page_bytes(ring), 1);
	page->ring_len = ring;
	bell = page_map(bell_fd, sizeof(*bell), 0);
	finished = rang = 0;
	slot = (struct slot){.index = WORKER, .book = &book, .ops = &ops,
		.chan = -1, .bell_fd = -1};
	fds[0] = ends[0], fds[1] = fd, fds[2] = pipe_ends[0], fds[3] = bell_fd;
	worker_end = ends[1];
	bell_end = pipe_ends[1];
	return slot_attach_consume(&slot, &loop, fds, ring, 1, 1);
}

static int detach(void **state)
{
	slot_release(&slot);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(slot.serial, 0);
	close(worker_end);
	close(bell_end);
	munmap(page, page_bytes(page_ring_len(CONNS)));
	munmap(bell, sizeof(*bell));
	return uv_loop_close(&loop);
}

static uint32_t give(void)
{
	uint32_t conn = conns_open(&conns);

	table[conn].phase = LEDGER_OPEN;
	table[conn].worker = WORKER;
	book.given++;
	return conn;
}

static struct slot_news refresh(void)
{
	struct slot_news news;

	slot_refresh(&slot, &conns, 0, &news);
	return news;
}

static void an_honest_report_frees_the_connection(void **state)
{
	uint32_t conn = give();
	struct slot_news news;

	page_add_taken(page, 1);
	news = refresh();
	assert_int_equal(news.taken, 1);
	assert_int_equal(news.done, 0);
	page_add_done(page, conn);
	news = refresh();
	assert_int_equal(news.done, 1);
	assert_null(news.lie);
	assert_int_equal(finished, 1);
	assert_int_equal(conns.open, 0);
}

static void more_taken_than_given_is_a_lie(void **state)
{
	give();
	page_add_taken(page, 2);
	assert_string_equal(refresh().lie, "taken_exceeds_given");
	assert_int_equal(conns.open, 1);
}

static void more_done_than_taken_is_a_lie(void **state)
{
	page_add_done(page, give());
	assert_string_equal(refresh().lie, "done_exceeds_taken");
	assert_int_equal(conns.open, 1);
}

static void a_count_that_goes_back_is_a_lie(void **state)
{
	give();
	page_add_taken(page, 1);
	assert_null(refresh().lie);
	atomic_store(&page->taken, 0);
	assert_string_equal(refresh().lie, "count_went_back");
}

static void a_connection_of_another_worker_stays_open(void **state)
{
	uint32_t mine = give(), other = conns_open(&conns);

	(void)mine;
	table[other].phase = LEDGER_OPEN;
	table[other].worker = WORKER + 1;
	page_add_taken(page, 1);
	page_add_done(page, other);
	assert_string_equal(refresh().lie, "not_its_connection");
	assert_int_equal(finished, 0);
	assert_int_equal(conns.open, 2);
}

static void the_same_connection_is_done_only_once(void **state)
{
	uint32_t conn = give();

	give();
	page_add_taken(page, 2);
	page_add_done(page, conn);
	page_add_done(page, conn);
	assert_string_equal(refresh().lie, "not_its_connection");
	assert_int_equal(finished, 1);
}

static void a_liar_is_not_read_again(void **state)
{
	uint32_t conn = give();

	page_add_taken(page, 7);
	assert_non_null(refresh().lie);
	atomic_store(&page->taken, 1);
	page_add_done(page, conn);
	assert_int_equal(refresh().done, 0);
	assert_int_equal(finished, 0);
}

/* A limit that has grown since the worker was born must not let it lose entries of its ring. */
static void no_more_are_offered_than_its_ring_could_report_at_once(void **state)
{
	uint32_t ring = page_ring_len(CONNS);

	assert_int_equal(slot_ring_room(&slot), ring);
	book.given = 7;
	book.done = 4;
	assert_int_equal(slot_ring_room(&slot), ring - 3);
	book.given = book.done + ring + 5;
	assert_int_equal(slot_ring_room(&slot), 0);
}

static void an_offer_arrives_with_its_facts(void **state)
{
	struct msg_conn out = {.slot = 3, .listener = 1, .accepted_ms = 77}, in[2];
	uint8_t buf[MSG_OFFER_BYTES];
	int fds[2], null = dup(0);
	unsigned fd_count, count;
	size_t len;

	out.peer.family = AF_INET;
	out.peer.port = 1234;
	assert_int_equal(slot_offer(&slot, &out, &null, 1), 0);
	assert_int_equal(chan_recv(worker_end, buf, sizeof(buf), &len, fds, 2, &fd_count), 0);
	assert_int_equal(fd_count, 1);
	assert_int_equal(msg_read_offer(buf, len, in, 2, &count), 0);
	assert_int_equal(in[0].slot, 3);
	assert_int_equal(in[0].peer.port, 1234);
	close(fds[0]);
	close(null);
}

static void a_ping_is_answered_by_its_own_nonce_only(void **state)
{
	assert_int_equal(slot_ping(&slot), 0);
	assert_int_equal(slot_ping(&slot), 0);
	page_set_beat(page, 1);
	assert_false(refresh().answered);
	page_set_beat(page, 2);
	assert_true(refresh().answered);
}

static void the_bell_rings_once_per_arming(void **state)
{
	uint32_t rung = bell->armed;

	page_ring(bell, bell_end, &rung);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(rang, 0);
	slot_arm(&slot);
	slot_arm(&slot);
	page_ring(bell, bell_end, &rung);
	page_ring(bell, bell_end, &rung);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(rang, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, attach, detach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_honest_report_frees_the_connection),
		T(more_taken_than_given_is_a_lie),
		T(more_done_than_taken_is_a_lie),
		T(a_count_that_goes_back_is_a_lie),
		T(a_connection_of_another_worker_stays_open),
		T(the_same_connection_is_done_only_once),
		T(a_liar_is_not_read_again),
		T(no_more_are_offered_than_its_ring_could_report_at_once),
		T(an_offer_arrives_with_its_facts),
		T(a_ping_is_answered_by_its_own_nonce_only),
		T(the_bell_rings_once_per_arming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
