/* What of an adapted worker's page is believed, and what the kernel's word adds to it. The test plays the
 * worker on a real page and channel. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#define CONNS 8
#define RING 4
#define WORKER 5

static struct ledger_conn table[CONNS];
static struct ledger_worker book;
static struct conns conns;
static struct page *page;
static uv_loop_t loop;
static struct slot slot;
static int worker_end, bell_end;

static void on_slot(struct slot *s)
{
}

static void on_released(struct slot *s)
{
	s->serial = 0;
}

static void on_finished(struct slot *s, uint32_t conn)
{
}

static const struct slot_ops ops = {
	.rang = on_slot, .hung_up = on_slot, .released = on_released, .finished = on_finished};

static int attach(void **state)
{
	int ends[2], pipe_ends[2], fds[SLOT_FDS];

	memset(table, 0, sizeof(table));
	book = (struct ledger_worker){.serial = 1};
	conns_init(&conns, table, CONNS);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(pipe(pipe_ends), 0);
	fds[0] = ends[0], fds[1] = page_memory("page", page_bytes(RING)), fds[2] = pipe_ends[0];
	fds[3] = page_memory("bell", sizeof(struct bell));
	page = page_map(fds[1], page_bytes(RING), 1);
	page->ring_len = RING;
	slot = (struct slot){.index = WORKER, .book = &book, .ops = &ops, .chan = -1, .bell_fd = -1};
	worker_end = ends[1];
	bell_end = pipe_ends[1];
	if (slot_attach_consume(&slot, &loop, fds, RING, 1, 1))
		return -1;
	slot.kind.is_adapted = true;
	return 0;
}

static int detach(void **state)
{
	slot_release(&slot);
	uv_run(&loop, UV_RUN_DEFAULT);
	close(worker_end);
	close(bell_end);
	munmap(page, page_bytes(RING));
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

static struct slot_news refresh_at(uint64_t now_ms)
{
	struct slot_news news;

	slot_refresh(&slot, &conns, now_ms, &news);
	return news;
}

static struct slot_news refresh(void)
{
	return refresh_at(0);
}

static void report(uint32_t tag)
{
	page_add_done(page, tag);
}

static void a_tag_names_a_connection_and_never_the_next_in_its_slot(void **state)
{
	uint32_t conn = give(), tag = conns_tag(&conns, conn);

	page_add_taken(page, 1);
	report(tag);
	assert_int_equal(refresh().done, 1);
	assert_int_equal(give(), conn);
	assert_int_not_equal(conns_tag(&conns, conn), tag);
	assert_int_equal(conns_tagged(&conns, tag), CONNS_NONE);
	assert_int_equal(conns_tagged(&conns, conns_tag(&conns, conn)), conn);
}

static void a_tag_survives_the_turn_of_its_generation(void **state)
{
	for (int i = 0; i < 5000; i++) {
		uint32_t conn = conns_open(&conns);

		table[conn].phase = LEDGER_OPEN;
		assert_int_equal(conns_tagged(&conns, conns_tag(&conns, conn)), conn);
		conns_close(&conns, conn);
	}
}

static void what_the_kernel_freed_is_open_no_more(void **state)
{
	uint32_t conn = give();

	give();
	page_add_taken(page, 2);
	refresh();
	assert_false(slot_freed(&slot, &conns, conn));
	assert_int_equal(slot_open(&slot), 1);
	assert_int_equal(slot_served(&slot), 1);
	assert_int_equal(conns.open, 1);
}

static void a_report_behind_the_kernels_word_is_passed_over(void **state)
{
	uint32_t conn = give(), tag = conns_tag(&conns, conn);
	struct slot_news news;

	page_add_taken(page, 1);
	refresh();
	slot_freed(&slot, &conns, conn);
	assert_int_equal(give(), conn); /* its slot is used again */
	report(tag);
	news = refresh();
	assert_null(news.lie);
	assert_int_equal(news.done, 0);
	assert_int_equal(slot_open(&slot), 1);
	assert_int_equal(slot_served(&slot), 1);
}

static void who_ended_before_it_said_that_it_read_is_counted_as_having_read(void **state)
{
	uint32_t conn = give();

	assert_true(slot_freed(&slot, &conns, conn));
	assert_int_equal(book.taken, 1);
	assert_int_equal(slot_open(&slot), 0);
	page_add_taken(page, 1); /* said after all */
	assert_null(refresh().lie);
	give();
	page_add_taken(page, 1);
	assert_int_equal(refresh().taken, 1);
	assert_int_equal(book.untold, 0);
}

static void reports_that_were_overwritten_are_skipped_and_asked_about(void **state)
{
	uint32_t tags[RING + 2];
	struct slot_news news;

	for (int i = 0; i < RING + 2; i++)
		tags[i] = conns_tag(&conns, give());
	page_add_taken(page, RING + 2);
	for (int i = 0; i < RING + 2; i++)
		report(tags[i]);
	news = refresh();
	assert_null(news.lie);
	assert_true(news.overrun);
	assert_int_equal(news.done, RING);
	assert_int_equal(slot_open(&slot), 2);
	slot_freed(&slot, &conns, 0);
	slot_freed(&slot, &conns, 1);
	assert_int_equal(slot_open(&slot), 0);
	assert_int_equal(slot_served(&slot), RING + 2);
	assert_int_equal(book.freed, 0);
}

static void reports_that_never_come_take_no_room_from_the_ring(void **state)
{
	for (int i = 0; i < 3 * RING; i++) {
		uint32_t conn = give();

		page_add_taken(page, 1);
		refresh();
		slot_freed(&slot, &conns, conn);
	}
	assert_int_equal(slot_ring_room(&slot), RING);
}

static void more_taken_than_given_is_a_lie(void **state)
{
	give();
	page_add_taken(page, 2);
	assert_string_equal(refresh().lie, "taken_exceeds_given");
}

static void nothing_but_offers_is_sent(void **state)
{
	char byte;

	assert_int_equal(slot_ping(&slot), 0);
	assert_int_equal(slot_retire(&slot, 0), 0);
	assert_int_equal(slot_reopen(&slot), 0);
	assert_int_equal(slot_tell(&slot, NULL), 0);
	assert_int_equal(recv(worker_end, &byte, 1, MSG_DONTWAIT), -1);
}

static void offer(uint32_t conn)
{
	struct msg_conn c = {.slot = conns_tag(&conns, conn)};
	int fd = dup(0);

	assert_int_equal(slot_offer(&slot, &c, &fd, 1), 0);
	close(fd);
}

static void after_a_take_over_it_has_settled_when_its_channel_is_empty(void **state)
{
	char message[MSG_OFFER_BYTES];

	offer(give());
	slot.unsettled = true;
	assert_false(slot_has_read(&slot));
	assert_false(refresh_at(100).answered);
	assert_true(recv(worker_end, message, sizeof(message), 0) > 0);
	assert_true(slot_has_read(&slot));
	assert_false(refresh_at(110).answered); /* it may be about to say so */
	page_add_taken(page, 1);
	assert_true(refresh_at(111).answered);
}

static void what_it_has_not_said_a_moment_later_was_never_sent(void **state)
{
	give();
	slot.unsettled = true;
	assert_false(refresh_at(100).answered);
	assert_false(refresh_at(110).answered);
	assert_true(refresh_at(200).answered);
}

static void one_that_was_robbed_answers_by_going_on(void **state)
{
	uint32_t conn = give();

	page_add_taken(page, 1);
	refresh();
	slot.outside.robbed_ms = 1;
	slot.outside.robbed_sum = book.taken + slot_served(&slot);
	assert_false(refresh().answered);
	report(conns_tag(&conns, conn));
	refresh();
	assert_true(refresh().answered);
}

#define T(name) cmocka_unit_test_setup_teardown(name, attach, detach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_tag_names_a_connection_and_never_the_next_in_its_slot),
		T(a_tag_survives_the_turn_of_its_generation),
		T(what_the_kernel_freed_is_open_no_more),
		T(a_report_behind_the_kernels_word_is_passed_over),
		T(who_ended_before_it_said_that_it_read_is_counted_as_having_read),
		T(reports_that_were_overwritten_are_skipped_and_asked_about),
		T(reports_that_never_come_take_no_room_from_the_ring),
		T(more_taken_than_given_is_a_lie),
		T(nothing_but_offers_is_sent),
		T(after_a_take_over_it_has_settled_when_its_channel_is_empty),
		T(what_it_has_not_said_a_moment_later_was_never_sent),
		T(one_that_was_robbed_answers_by_going_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
