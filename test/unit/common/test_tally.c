/* Counting in shared memory, and that nothing is lost or told twice when many count at once or die.
 */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/tally.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define RING_LEN 512u

static struct bell bell;
static int bell_pipe[2];

static int set_up(void **state)
{
	struct tally *t = calloc(1, sizeof(*t));
	struct page *page = mmap(NULL, adapter_page_bytes(RING_LEN), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (page == MAP_FAILED || pipe2(bell_pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	memset(&bell, 0, sizeof(bell));
	page->ring_len = RING_LEN;
	tally_init(t, page, RING_LEN, &bell, bell_pipe[1]);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct tally *t = *state;

	munmap(t->page, adapter_page_bytes(RING_LEN));
	close(bell_pipe[0]);
	close(bell_pipe[1]);
	free(t);
	return 0;
}

static uint64_t done(const struct tally *t)
{
	return atomic_load(&t->page->done);
}

static void a_connection_is_done_with_its_last_reference(void **state)
{
	struct tally *t = *state;

	tally_take(t, 7);
	assert_true(tally_refer(t, 7));
	assert_int_equal(tally_open(t), 1);
	assert_false(tally_release(t, 7));
	assert_int_equal(done(t), 0);
	assert_true(tally_release(t, 7));
	assert_int_equal(done(t), 1);
	assert_int_equal(page_done_slot(t->page, RING_LEN, 0), 7);
	assert_int_equal(tally_open(t), 0);
}

static void what_is_done_cannot_be_held_or_released_again(void **state)
{
	struct tally *t = *state;

	tally_take(t, 7);
	tally_release(t, 7);
	assert_false(tally_refer(t, 7));
	assert_false(tally_release(t, 7));
	assert_int_equal(done(t), 1);
}

static void a_slot_that_is_used_again_forgets_its_former_connection(void **state)
{
	struct tally *t = *state;
	uint32_t again = 7 | 1u << ADAPTER_SLOT_BITS;

	tally_take(t, 7);
	tally_take(t, again);
	assert_false(tally_release(t, 7));
	assert_true(tally_release(t, again));
	assert_int_equal(done(t), 1);
	assert_int_equal(page_done_slot(t->page, RING_LEN, 0), again);
}

static void it_is_ready_when_every_listener_is_covered(void **state)
{
	struct tally *t = *state;

	tally_cover(t, 1, 5);
	tally_cover(t, 2, 5);
	assert_int_equal(t->page->ready, 0);
	tally_cover(t, 4, 5);
	assert_int_equal(t->page->ready, 1);
}

static void the_bell_is_rung_once_each_time_that_it_is_armed(void **state)
{
	struct tally *t = *state;
	char bytes[8];

	tally_take(t, 1);
	assert_int_equal(read(bell_pipe[0], bytes, sizeof(bytes)), -1);
	page_arm(&bell);
	tally_take(t, 2);
	tally_release(t, 1);
	assert_int_equal(read(bell_pipe[0], bytes, sizeof(bytes)), 1);
	page_arm(&bell);
	tally_release(t, 2);
	assert_int_equal(read(bell_pipe[0], bytes, sizeof(bytes)), 1);
}

static void nobody_is_rung_who_is_gone(void **state)
{
	struct tally *t = *state;

	page_arm(&bell);
	close(bell_pipe[0]);
	signal(SIGPIPE, SIG_DFL);
	tally_take(t, 1);
	bell_pipe[0] = dup(bell_pipe[1]); /* for the end of the test */
	assert_int_equal(tally_open(t), 1);
}

static void what_is_passed_is_found_once(void **state)
{
	struct tally *t = *state;
	uint32_t tag = 0;

	tally_take(t, 7);
	tally_take(t, 8);
	assert_false(tally_find(t, 99, &tag));
	tally_pass(t, 8, 99);
	assert_true(tally_find(t, 99, &tag));
	assert_int_equal(tag, 8);
	assert_false(tally_find(t, 99, &tag));
}

/* Takes and releases connections of its own: slots base, base + 1, ... */
static void churn(struct tally *t, uint32_t base, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint32_t tag = (base + i % 8) | (i / 8 % 4096) << ADAPTER_SLOT_BITS;

		tally_take(t, tag);
		tally_refer(t, tag);
		tally_release(t, tag);
		tally_release(t, tag);
	}
	_exit(0);
}

static pid_t churn_in_child(struct tally *t, uint32_t base, unsigned rounds)
{
	pid_t pid = fork();

	if (!pid)
		churn(t, base, rounds);
	return pid;
}

/* Reads what is new in the ring, and checks that each slot's generations come in their order. */
static uint64_t read_reports(struct tally *t, uint64_t from, uint32_t *next_generation)
{
	uint64_t to = done(t);

	for (; from < to; from++) {
		uint32_t tag = page_done_slot(t->page, RING_LEN, from);
		uint32_t slot = tag & (ADAPTER_SLOTS - 1);

		assert_true(to - from <= RING_LEN);
		assert_true(slot < 64);
		assert_int_equal(tag >> ADAPTER_SLOT_BITS, next_generation[slot]++);
	}
	return to;
}

static void reports_of_many_processes_are_told_once_each_in_order(void **state)
{
	struct tally *t = *state;
	enum { PROCESSES = 4, ROUNDS = 100 }; /* so few that the ring holds them all */
	uint32_t next_generation[64] = {0};

	for (uint32_t i = 0; i < PROCESSES; i++)
		assert_true(churn_in_child(t, i * 8, ROUNDS) > 0);
	for (int status, i = 0; i < PROCESSES; i++)
		assert_true(wait(&status) > 0 && status == 0);
	assert_int_equal(done(t), PROCESSES * ROUNDS);
	assert_int_equal(read_reports(t, 0, next_generation), PROCESSES * ROUNDS);
}

static void killed_processes_stop_nobody_else(void **state)
{
	struct tally *t = *state;
	uint64_t before;

	for (unsigned i = 0; i < 50; i++) {
		pid_t a = churn_in_child(t, 0, UINT32_MAX), b = churn_in_child(t, 8, UINT32_MAX);

		before = done(t);
		while (done(t) < before + 1000)
			sched_yield();
		kill(a, SIGKILL);
		waitpid(a, NULL, 0);
		before = done(t);
		while (done(t) < before + 1000)
			sched_yield();
		kill(b, SIGKILL);
		waitpid(b, NULL, 0);
	}
	tally_take(t, 40);
	assert_true(tally_release(t, 40));
	assert_int_equal(page_done_slot(t->page, RING_LEN, done(t) - 1), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_connection_is_done_with_its_last_reference, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_done_cannot_be_held_or_released_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_slot_that_is_used_again_forgets_its_former_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			it_is_ready_when_every_listener_is_covered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_bell_is_rung_once_each_time_that_it_is_armed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_rung_who_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_passed_is_found_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			reports_of_many_processes_are_told_once_each_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			killed_processes_stop_nobody_else, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
