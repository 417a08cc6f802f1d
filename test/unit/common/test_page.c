/* Report pages and doorbells, and that no wake-up is lost between two processes' memory. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/page.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct page *new_page(uint32_t ring_len)
{
	struct page *page = aligned_alloc(64, (page_bytes(ring_len) + 63) / 64 * 64);

	memset(page, 0, page_bytes(ring_len));
	page->version = PAGE_VERSION;
	page->ring_len = ring_len;
	return page;
}

static void the_ring_holds_what_a_worker_may_have_open(void **state)
{
	assert_int_equal(page_ring_len(1), 512);
	assert_int_equal(page_ring_len(512), 512);
	assert_int_equal(page_ring_len(513), 1024);
	assert_int_equal(page_ring_len(65535), 65536);
}

static void memory_can_neither_shrink_nor_grow_nor_be_sealed_further(void **state)
{
	int fd = page_memory("test", 4096);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 8192), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void memory_opened_for_reading_sees_writes_and_cannot_write(void **state)
{
	int fd = page_memory("test", 4096), reading = page_readonly(fd);
	char *writer = page_map(fd, 4096, 1), *reader = page_map(reading, 4096, 0);

	assert_true(reading >= 0);
	assert_non_null(writer);
	assert_non_null(reader);
	writer[7] = 'x';
	assert_int_equal(reader[7], 'x');
	assert_null(page_map(reading, 4096, 1));
	munmap(writer, 4096);
	munmap(reader, 4096);
	close(fd);
	close(reading);
}

static void counters_are_read_as_the_worker_wrote_them(void **state)
{
	struct page *page = new_page(16);
	struct page_claims claims;

	page_set_ready(page);
	page_add_taken(page, 3);
	page_add_taken(page, 2);
	page_add_done(page, 77);
	page_set_beat(page, 99);
	page_read(page, &claims);
	assert_int_equal(claims.ready, 1);
	assert_int_equal(claims.taken, 5);
	assert_int_equal(claims.done, 1);
	assert_int_equal(claims.beat, 99);
	assert_int_equal(page_done_slot(page, 16, 0), 77);
	free(page);
}

static void the_ring_keeps_the_last_slots_when_it_wraps(void **state)
{
	struct page *page = new_page(16);

	for (uint32_t i = 0; i < 100; i++)
		page_add_done(page, 1000 + i);
	for (uint64_t i = 100 - 16; i < 100; i++)
		assert_int_equal(page_done_slot(page, 16, i), 1000 + i);
	free(page);
}

static void an_index_beyond_the_ring_stays_inside(void **state)
{
	struct page *page = new_page(16);

	page_done_slot(page, 16, UINT64_MAX);
	free(page);
}

static void a_line_is_cut_and_its_control_characters_are_hidden(void **state)
{
	struct page *page = new_page(16);
	char line[PAGE_LINE_BYTES], longest[300];

	page_set_line(page, "busy\n\033[2J with 3");
	page_copy_line(page, line);
	assert_string_equal(line, "busy??[2J with 3");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	page_set_line(page, longest);
	page_copy_line(page, line);
	assert_int_equal(strlen(line), PAGE_LINE_BYTES - 1);
	memset(page->line, 'b', sizeof(page->line));
	page_copy_line(page, line);
	assert_int_equal(strlen(line), PAGE_LINE_BYTES - 1);
	free(page);
}

static void the_bell_rings_once_for_each_arming(void **state)
{
	struct bell bell = {0};
	uint32_t rung = 0;
	int pipes[2];
	char byte;

	assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
	page_ring(&bell, pipes[1], &rung);
	assert_int_equal(read(pipes[0], &byte, 1), -1);
	page_arm(&bell);
	page_ring(&bell, pipes[1], &rung);
	page_ring(&bell, pipes[1], &rung);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), -1);
	page_arm(&bell);
	page_ring(&bell, pipes[1], &rung);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
}

static void ringing_a_full_or_broken_pipe_does_not_block(void **state)
{
	struct bell bell = {0};
	uint32_t rung = 0;
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
	while (write(pipes[1], "x", 1) == 1)
		;
	page_arm(&bell);
	page_ring(&bell, pipes[1], &rung);
	assert_int_equal(rung, 1);
	close(pipes[0]);
	close(pipes[1]);
}

#define ROUNDS 20000u

struct duet {
	struct page *page;
	struct bell bell;
	int pipes[2];
	_Atomic uint64_t seen;
};

/* The worker: one report at a time, the next when the acceptor has seen it. */
static void *report(void *user)
{
	struct duet *d = user;
	uint32_t rung = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		page_add_done(d->page, i);
		page_ring(&d->bell, d->pipes[1], &rung);
		while (atomic_load(&d->seen) <= i)
			sched_yield();
	}
	return NULL;
}

/* The acceptor: arms, looks again, sleeps. A lost wake-up would sleep for ever: 10 s is the
 * verdict. */
static void no_wake_up_is_lost_between_looking_and_sleeping(void **state)
{
	struct duet d = {.page = new_page(16)};
	struct pollfd bell = {.events = POLLIN};
	struct page_claims claims;
	pthread_t worker;
	char bytes[64];

	assert_int_equal(pipe2(d.pipes, O_NONBLOCK | O_CLOEXEC), 0);
	bell.fd = d.pipes[0];
	assert_int_equal(pthread_create(&worker, NULL, report, &d), 0);
	while (atomic_load(&d.seen) < ROUNDS) {
		page_arm(&d.bell);
		page_read(d.page, &claims);
		if (claims.done == atomic_load(&d.seen))
			assert_int_equal(poll(&bell, 1, 10000), 1);
		while (read(d.pipes[0], bytes, sizeof(bytes)) > 0)
			;
		page_read(d.page, &claims);
		atomic_store(&d.seen, claims.done);
	}
	pthread_join(worker, NULL);
	close(d.pipes[0]);
	close(d.pipes[1]);
	free(d.page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ring_holds_what_a_worker_may_have_open),
		cmocka_unit_test(memory_can_neither_shrink_nor_grow_nor_be_sealed_further),
		cmocka_unit_test(memory_opened_for_reading_sees_writes_and_cannot_write),
		cmocka_unit_test(counters_are_read_as_the_worker_wrote_them),
		cmocka_unit_test(the_ring_keeps_the_last_slots_when_it_wraps),
		cmocka_unit_test(an_index_beyond_the_ring_stays_inside),
		cmocka_unit_test(a_line_is_cut_and_its_control_characters_are_hidden),
		cmocka_unit_test(the_bell_rings_once_for_each_arming),
		cmocka_unit_test(ringing_a_full_or_broken_pipe_does_not_block),
		cmocka_unit_test(no_wake_up_is_lost_between_looking_and_sleeping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
