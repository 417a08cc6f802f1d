/* What is seen of processes: children of this test, and their children. */
#include "common/base.h"
#include "dispatcher/procs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define PATIENCE 500 /* looks of 10 ms */

static pid_t child, grandchild;

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

/* A child, which has a child; both sleep. */
static int begin(void **state)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		pid_t pid = fork();

		if (!pid)
			wait_for_ever();
		if (write(ends[1], &pid, sizeof(pid)) == sizeof(pid))
			wait_for_ever();
		_exit(1);
	}
	assert_int_equal(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static int end(void **state)
{
	kill(grandchild, SIGKILL);
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) == child ? 0 : -1;
}

static struct procs_sum sum_of(pid_t pid)
{
	struct procs all;
	struct procs_sum sum;

	assert_int_equal(procs_read(&all), 0);
	sum = procs_sum(&all, pid);
	procs_free(&all);
	return sum;
}

static bool waits_for_stopped(unsigned count)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (sum_of(child).stopped == count)
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

static bool sleep_now(pid_t pid)
{
	struct procs all;
	bool answer;

	assert_int_equal(procs_read(&all), 0);
	answer = procs_sleep(&all, pid);
	procs_free(&all);
	return answer;
}

static void descendants_are_counted_and_nobody_else(void **state)
{
	struct procs all;

	assert_int_equal(sum_of(child).count, 2);
	assert_int_equal(sum_of(grandchild).count, 1);
	assert_int_equal(procs_read(&all), 0);
	assert_non_null(procs_find(&all, getpid()));
	assert_true(procs_descends(&all, procs_find(&all, grandchild), getpid()));
	assert_false(procs_descends(&all, procs_find(&all, getpid()), child));
	assert_int_equal(procs_find(&all, grandchild)->parent, child);
	procs_free(&all);
}

static void those_that_are_stopped_are_seen(void **state)
{
	kill(grandchild, SIGSTOP);
	assert_true(waits_for_stopped(1));
	kill(child, SIGSTOP);
	assert_true(waits_for_stopped(2));
	kill(grandchild, SIGCONT);
	assert_true(waits_for_stopped(1));
}

static void who_computes_does_not_sleep(void **state)
{
	int tries = 0;

	while (!sleep_now(child) && tries++ < PATIENCE)
		poll(NULL, 0, 10);
	assert_true(tries < PATIENCE);
	assert_false(sleep_now(getpid()));
}

static void who_is_gone_is_not_there(void **state)
{
	struct proc one;

	assert_true(procs_read_one(grandchild, &one));
	assert_false(procs_read_one(0x7fffffff, &one));
	assert_int_equal(sum_of(0x7fffffff).count, 0);
	assert_false(sleep_now(0x7fffffff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(descendants_are_counted_and_nobody_else, begin, end),
		cmocka_unit_test_setup_teardown(those_that_are_stopped_are_seen, begin, end),
		cmocka_unit_test_setup_teardown(who_computes_does_not_sleep, begin, end),
		cmocka_unit_test_setup_teardown(who_is_gone_is_not_there, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
