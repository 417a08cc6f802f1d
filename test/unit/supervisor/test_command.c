/* The command line of the daemon itself, whose path is this test's argument. */
#include "common/base.h"
#include "test/unit/supervisor/testing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define OUT_BYTES 65536

static const char *program;
static char config[64];

/* Runs it with up to three arguments; both outputs go to ret_out. Returns the exit status. */
static int run(char ret_out[OUT_BYTES], const char *a, const char *b, const char *c)
{
	int ends[2], status;
	size_t len = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execl(program, "dispatcher", a, b, c, NULL);
		_exit(126);
	}
	close(ends[1]);
	while ((got = read(ends[0], ret_out + len, OUT_BYTES - 1 - len)) > 0)
		len += (size_t)got;
	ret_out[len] = '\0';
	close(ends[0]);
	status = testing_wait(pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int write_config(const char *text)
{
	int fd;

	snprintf(config, sizeof(config), "/tmp/test-command-XXXXXX");
	fd = mkstemp(config);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -1;
	return close(fd);
}

static int remove_config(void **state)
{
	return unlink(config);
}

static void help_and_version_go_to_stdout_with_status_0(void **state)
{
	char out[OUT_BYTES];

	assert_int_equal(run(out, "--version", NULL, NULL), 0);
	assert_string_equal(out, "dispatcher " VERSION "\n");
	assert_int_equal(run(out, "--help", NULL, NULL), 0);
	assert_non_null(strstr(out, "Usage: dispatcher"));
	assert_null(strstr(out, "--role"));
}

static void wrong_usage_ends_with_2_and_a_hint(void **state)
{
	char out[OUT_BYTES];

	assert_int_equal(run(out, "--frobnicate", NULL, NULL), 2);
	assert_non_null(strstr(out, "--help"));
	assert_int_equal(run(out, "start", NULL, NULL), 2);
	assert_non_null(strstr(out, "unexpected argument 'start'"));
}

static void a_check_prints_what_is_in_force_and_what_follows_from_it(void **state)
{
	char out[OUT_BYTES];

	assert_int_equal(write_config("[SERVICE=ONE]\nPORT=4711\nMAX_PROCS=3\nMAX_CONNS=7\nUSER=root\n"
				      "IMAGE=/bin/true\n"),
		0);
	assert_int_equal(run(out, "-t", "-c", config), 0);
	assert_non_null(strstr(out, "MAX_PROCS=3"));
	assert_non_null(strstr(out, "21 connections at most"));
}

static void a_refused_file_ends_with_78_and_tells_every_line(void **state)
{
	char out[OUT_BYTES], where[96];

	assert_int_equal(write_config("[SERVICE=ONE]\nMIN_PROCZ=1\nPORT=x\n"), 0);
	assert_int_equal(run(out, "-t", "-c", config), 78);
	for (int line = 2; line <= 3; line++) {
		snprintf(where, sizeof(where), "%s:%d: ", config, line);
		assert_non_null(strstr(out, where));
	}
	assert_int_equal(run(out, "-c", config, NULL), 78);
}

static void a_missing_file_ends_with_78(void **state)
{
	char out[OUT_BYTES];

	assert_int_equal(run(out, "-c", "/nonexistent/dispatcher.cnf", NULL), 78);
	assert_non_null(strstr(out, "/nonexistent/dispatcher.cnf"));
}

static void an_unknown_role_is_wrong_usage(void **state)
{
	char out[OUT_BYTES];

	assert_int_equal(run(out, "--role=king", NULL, NULL), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_and_version_go_to_stdout_with_status_0),
		cmocka_unit_test(wrong_usage_ends_with_2_and_a_hint),
		cmocka_unit_test_teardown(
			a_check_prints_what_is_in_force_and_what_follows_from_it, remove_config),
		cmocka_unit_test_teardown(
			a_refused_file_ends_with_78_and_tells_every_line, remove_config),
		cmocka_unit_test(a_missing_file_ends_with_78),
		cmocka_unit_test(an_unknown_role_is_wrong_usage),
	};

	if (argc < 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
