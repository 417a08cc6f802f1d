/* When a process is said to run another file than is on disk. */
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/images.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

struct running {
	char folder[32], path[64], other[64];
	pid_t pid;
	uint64_t started_ms;
};

static void copy(const char *from, const char *to)
{
	OWNS_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	OWNS_FD int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	assert_true(in >= 0 && out >= 0);
	while (sendfile(out, in, NULL, 1 << 20) > 0)
		continue;
}

static void wait_a_tick(void)
{
	usleep(20000); /* the kernel stamps files by its own tick */
}

static int start(void **state)
{
	struct running *r = calloc(1, sizeof(*r));
	char *argv[] = {(char *)"sleep", (char *)"1000", NULL};

	strcpy(r->folder, "/tmp/test-images-XXXXXX");
	assert_non_null(mkdtemp(r->folder));
	snprintf(r->path, sizeof(r->path), "%s/image", r->folder);
	snprintf(r->other, sizeof(r->other), "%s/other", r->folder);
	copy("/bin/sleep", r->path);
	copy("/bin/sleep", r->other);
	wait_a_tick();
	r->started_ms = clock_wall_ms();
	assert_int_equal(posix_spawn(&r->pid, r->path, NULL, NULL, argv, NULL), 0);
	wait_a_tick();
	*state = r;
	return 0;
}

static int end(void **state)
{
	struct running *r = *state;

	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	unlink(r->path);
	unlink(r->other);
	rmdir(r->folder);
	free(r);
	return 0;
}

static bool is_replaced(const struct running *r)
{
	return images_is_replaced(r->path, r->pid, r->started_ms);
}

static void what_nobody_touched_is_the_same(void **state)
{
	assert_false(is_replaced(*state));
}

static void another_mode_does_not_make_another_file(void **state)
{
	struct running *r = *state;

	assert_int_equal(chmod(r->path, 0700), 0);
	assert_false(is_replaced(r));
}

static void a_file_moved_over_it_is_another(void **state)
{
	struct running *r = *state;

	assert_int_equal(rename(r->other, r->path), 0);
	assert_true(is_replaced(r));
}

static void a_file_that_is_gone_is_not_what_runs(void **state)
{
	struct running *r = *state;

	assert_int_equal(unlink(r->path), 0);
	assert_true(is_replaced(r));
}

static void of_a_process_that_has_ended_nothing_is_said(void **state)
{
	struct running *r = *state;

	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	assert_int_equal(chmod(r->path, 0700), 0);
	assert_false(is_replaced(r));
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(what_nobody_touched_is_the_same),
		RUNNING(another_mode_does_not_make_another_file),
		RUNNING(a_file_moved_over_it_is_another),
		RUNNING(a_file_that_is_gone_is_not_what_runs),
		RUNNING(of_a_process_that_has_ended_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
