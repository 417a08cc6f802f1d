/* The exec step: what a started process finds, and what is told when it cannot be started. */
#include "common/base.h"
#include "dispatcher/supervisor/launch.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define OUT_BYTES 8192

static const char *const showing[] = {"MODE=show", "COLOUR=blue", NULL};

/* Runs it with its output in ret_out. Returns the wait status. */
static int run(struct launch *l, char ret_out[OUT_BYTES])
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2], fds[7], status;
	size_t len = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = i == 1 || i == 2 ? ends[1] : null;
	l->fds = fds;
	l->fd_count = ARRAY_LEN(fds);
	assert_int_equal(launch(l, &pid, NULL), 0);
	close(ends[1]);
	while ((got = read(ends[0], ret_out + len, OUT_BYTES - 1 - len)) > 0)
		len += (size_t)got;
	ret_out[len] = '\0';
	close(ends[0]);
	status = testing_wait(pid);
	return status;
}

static struct launch worker(void)
{
	return (struct launch){.title = "dispatcher: worker test/1",
		.image = LAUNCH_SELF,
		.environment = showing,
		.uid = SETTINGS_NO_ID,
		.gid = SETTINGS_NO_ID,
		.umask = 027};
}

static void a_process_gets_just_its_descriptors_and_environment(void **state)
{
	OWNS_FD int leak = open("/dev/null", O_RDONLY);
	struct launch l = worker();
	char out[OUT_BYTES];

	assert_true(leak > 2);
	assert_int_equal(run(&l, out), 0);
	assert_non_null(strstr(out, "environment PATH=/usr/local/sbin:"));
	assert_non_null(strstr(out, "environment MODE=show\nenvironment COLOUR=blue\ndescriptor 0\n"
				    "descriptor 1\ndescriptor 2\ndescriptor 3\ndescriptor 4\n"
				    "descriptor 5\ndescriptor 6\nfiles"));
	assert_non_null(strstr(out, "umask 027\n"));
	assert_non_null(strstr(out, "directory /\n"));
	assert_non_null(strstr(out, "leader 1\n"));
}

static void limits_and_directory_are_set(void **state)
{
	struct launch l = worker();
	char out[OUT_BYTES];

	l.directory = "/tmp";
	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, 77, 88};
	assert_int_equal(run(&l, out), 0);
	assert_non_null(strstr(out, "files 77\n"));
	assert_non_null(strstr(out, "directory /tmp\n"));
}

static void another_user_is_become_for_good(void **state)
{
	struct launch l = worker();
	char out[OUT_BYTES];

	if (geteuid())
		skip();
	l.uid = l.gid = 65534;
	assert_int_equal(run(&l, out), 0);
	assert_non_null(strstr(out, "user 65534\n"));
}

static void a_failure_without_a_reader_is_a_line_on_stderr(void **state)
{
	struct launch l = worker();
	char out[OUT_BYTES];

	l.image = "/nonexistent/image";
	assert_int_equal(run(&l, out), W_EXITCODE(127, 0));
	assert_string_equal(out, "dispatcher: cannot start: exec image: No such file or directory\n");
}

/* Starts it and waits for its birth. Returns what read() got of a struct spec_failure. */
static ssize_t birth_of(struct launch *l, struct spec_failure *ret_failure)
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[] = {null, null, null}, birth;
	struct pollfd p = {.events = POLLIN};
	ssize_t got;
	pid_t pid;

	l->fds = fds;
	l->fd_count = ARRAY_LEN(fds);
	assert_int_equal(launch(l, &pid, &birth), 0);
	p.fd = birth;
	assert_int_equal(poll(&p, 1, 5000), 1);
	got = read(birth, ret_failure, sizeof(*ret_failure));
	close(birth);
	testing_wait(pid);
	return got;
}

static void a_birth_is_told_by_the_end_of_its_descriptor(void **state)
{
	struct launch l = worker();
	struct spec_failure failure;
	const char *const seven[] = {"MODE=seven", NULL};

	l.environment = seven;
	assert_int_equal(birth_of(&l, &failure), 0);
}

static void a_failed_birth_tells_step_and_errno(void **state)
{
	struct launch l = worker();
	struct spec_failure failure;

	l.image = "/etc/hostname/x";
	assert_int_equal(birth_of(&l, &failure), sizeof(failure));
	assert_int_equal(failure.error, ENOTDIR);
	assert_string_equal(failure.step, "exec x");
	l.directory = "/nonexistent";
	assert_int_equal(birth_of(&l, &failure), sizeof(failure));
	assert_int_equal(failure.error, ENOENT);
	assert_string_equal(failure.step, "working directory");
}

static void starting_leaves_no_descriptor_behind(void **state)
{
	struct launch l = worker();
	struct spec_failure failure;
	unsigned before = rig_count_fds(getpid());

	for (int i = 0; i < 20; i++)
		birth_of(&l, &failure);
	assert_int_equal(rig_count_fds(getpid()), before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_gets_just_its_descriptors_and_environment),
		cmocka_unit_test(limits_and_directory_are_set),
		cmocka_unit_test(another_user_is_become_for_good),
		cmocka_unit_test(a_failure_without_a_reader_is_a_line_on_stderr),
		cmocka_unit_test(a_birth_is_told_by_the_end_of_its_descriptor),
		cmocka_unit_test(a_failed_birth_tells_step_and_errno),
		cmocka_unit_test(starting_leaves_no_descriptor_behind),
	};
	int role = rig_role(argc, argv);

	return role >= 0 ? role : cmocka_run_group_tests(tests, NULL, NULL);
}
