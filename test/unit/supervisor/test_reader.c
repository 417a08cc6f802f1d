/* The process that reads the configuration: what it brings, and what happens when it goes wrong. */
#include "common/base.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/execstep.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/readstep.h"
#include "dispatcher/supervisor/watch.h"
#include "test/unit/supervisor/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uv.h>

#define SERVICE "[SERVICE=A]\nPORT=7007\nIMAGE=/bin/true\nENABLE=1\n"

/* --- the process, when the test's own image is executed --- */

static int tell_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir))
			dprintf(READ_MESSAGES, "%c%s%c", LOAD_WARNING, e->d_name, '\0');
	return READSTEP_REFUSED;
}

static int tell_for_ever(void)
{
	static char line[4096];

	memset(line, 'x', sizeof(line) - 1);
	for (;;)
		if (write(READ_MESSAGES, line, sizeof(line)) < 0)
			return 1;
}

static int leave_garbage(void)
{
	if (write(READ_SETTINGS, "garbage", 7) != 7)
		return 1;
	return fcntl(READ_SETTINGS, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static int be_reader(int argc, char **argv)
{
	const char *what = argv[2];

	if (strcmp(what, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(what, "hang") == 0)
		pause();
	if (strcmp(what, "flood") == 0)
		return tell_for_ever();
	if (strcmp(what, "garbage") == 0)
		return leave_garbage();
	if (strcmp(what, "descriptors") == 0)
		return tell_descriptors();
	return readstep_main(argc, argv);
}

/* --- the test --- */

struct told {
	char texts[4096];
	unsigned errors, warnings;
	int answer, status, ends;
	struct reader_result result;
};

static void tell(void *user, enum load_severity severity, const char *text)
{
	struct told *t = user;
	size_t len = strlen(t->texts);

	t->errors += severity == LOAD_ERROR;
	t->warnings += severity == LOAD_WARNING;
	snprintf(t->texts + len, sizeof(t->texts) - len, "%s\n", text);
}

static void done(void *user, int answer, int status, struct reader_result *result)
{
	struct told *t = user;

	t->answer = answer;
	t->status = status;
	t->result = *result;
	t->ends++;
}

static char dir[] = "/tmp/reader-test-XXXXXX";

static const char *file_of(const char *text)
{
	static char path[64];
	FILE *out;

	snprintf(path, sizeof(path), "%s/main.cnf", dir);
	out = fopen(path, "w");
	fputs(text, out);
	fclose(out);
	chmod(path, 0644);
	return path;
}

static struct reader_request request(const char *path, struct told *t)
{
	*t = (struct told){.result.fd = -1};
	return (struct reader_request){.path = path, .old_fd = -1, .tell = tell, .user = t};
}

static int read_now(const char *path, struct told *t)
{
	struct reader_request r = request(path, t);

	t->answer = reader_read(&r, &t->result, &t->status);
	return t->answer;
}

static void settings_come_sealed_and_mapped(void **state)
{
	struct told t;

	assert_int_equal(read_now(file_of(SERVICE), &t), 0);
	assert_int_equal(t.result.settings->services.count, 1);
	assert_null(t.result.diff);
	assert_true(fcntl(t.result.fd, F_GET_SEALS) & F_SEAL_WRITE);
	assert_true(write(t.result.fd, "x", 1) < 0);
	reader_result_free(&t.result);
	assert_int_equal(t.result.fd, -1);
}

static void every_mistake_is_told(void **state)
{
	struct told t;

	assert_int_equal(read_now(file_of("MAX_PROCS=x\n" SERVICE "NICE=99\n"), &t), READER_REFUSED);
	assert_int_equal(t.errors, 2);
	assert_non_null(strstr(t.texts, "main.cnf:1: MAX_PROCS=x is wrong"));
	assert_non_null(strstr(t.texts, "main.cnf:6: NICE=99 is wrong"));
	assert_int_equal(read_now("/nonexistent", &t), READER_REFUSED);
	assert_int_equal(t.errors, 1);
}

static void its_death_is_told_with_the_signal(void **state)
{
	struct told t;

	assert_int_equal(read_now("crash", &t), READER_CRASHED);
	assert_true(WIFSIGNALED(t.status) || WEXITSTATUS(t.status) > 0); /* a sanitizer exits */
}

static void one_that_hangs_is_killed_in_time(void **state)
{
	struct told t;
	struct reader_request r = request("hang", &t);

	r.patience_ms = 200;
	assert_int_equal(reader_read(&r, &t.result, &t.status), -ETIMEDOUT);
	assert_int_equal(WTERMSIG(t.status), SIGKILL);
}

static void messages_without_end_are_cut_off(void **state)
{
	struct told t;

	assert_int_equal(read_now("flood", &t), -EMSGSIZE);
}

static void what_is_no_block_of_settings_is_not_believed(void **state)
{
	struct told t;

	assert_int_equal(read_now("garbage", &t), -EBADMSG);
	assert_int_equal(t.result.fd, -1);
}

static void it_holds_no_descriptor_of_ours(void **state)
{
	OWNS_FD int secret = open("/dev/null", O_RDONLY); /* not even CLOEXEC */
	OWNS_FD int high = fcntl(secret, F_DUPFD, 200);
	struct told t;

	assert_int_equal(read_now("descriptors", &t), READER_REFUSED);
	assert_string_equal(t.texts, "0\n1\n2\n3\n4\n5\n");
}

/* --- with the settings in force --- */

static int read_against(const struct told *old, const char *text, struct told *t)
{
	struct reader_request r = request(file_of(text), t);

	r.old = old->result.settings;
	r.old_fd = old->result.fd;
	t->answer = reader_read(&r, &t->result, &t->status);
	return t->answer;
}

static void the_difference_to_the_settings_in_force_comes_with_it(void **state)
{
	struct told old, t;

	assert_int_equal(read_now(file_of(SERVICE), &old), 0);
	assert_int_equal(read_against(&old, SERVICE "MAX_PROCS=40\n", &t), 0);
	assert_int_equal(diff_service(t.result.diff, 0)->changes, SCHEMA_LIMITS | SCHEMA_BACKLOG);
	reader_result_settle(&t.result);
	assert_null(t.result.diff);
	assert_non_null(t.result.settings);
	reader_result_free(&t.result);
	reader_result_free(&old.result);
}

static void what_cannot_change_now_is_refused_as_a_mistake_is(void **state)
{
	struct told old, t;

	assert_int_equal(read_now(file_of(SERVICE), &old), 0);
	assert_int_equal(
		read_against(&old, "RUN_DIR=/run/elsewhere\n" SERVICE, &t), READER_REFUSED);
	assert_true(t.errors >= 1);
	assert_non_null(strstr(t.texts, "RUN_DIR cannot change while the dispatcher runs"));
	reader_result_free(&old.result);
}

/* --- in a loop --- */

static uv_loop_t loop;
static struct children *children;

static int open_loop(void **state)
{
	return uv_loop_init(&loop) || children_new(&loop, &children);
}

static int close_loop(void **state)
{
	children_free(children);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void turn(void *user)
{
	unsigned *turns = user;

	(*turns)++;
}

static int read_in_loop(const char *path, struct told *t, uint64_t patience_ms)
{
	struct reader_request r = request(path, t);
	struct reader *reader;

	r.patience_ms = patience_ms;
	assert_int_equal(reader_start(&loop, children, &r, done, &reader), 0);
	assert_int_equal(t->ends, 0);
	while (!t->ends)
		uv_run(&loop, UV_RUN_ONCE);
	return t->answer;
}

static void in_a_loop_it_answers_the_same(void **state)
{
	struct told t;

	assert_int_equal(read_in_loop(file_of(SERVICE), &t, 0), 0);
	assert_int_equal(t.result.settings->services.count, 1);
	reader_result_free(&t.result);
	assert_int_equal(read_in_loop(file_of("NICE=x\n" SERVICE), &t, 0), READER_REFUSED);
	assert_int_equal(t.errors, 1);
	assert_int_equal(read_in_loop("crash", &t, 0), READER_CRASHED);
	assert_int_equal(read_in_loop("flood", &t, 0), -EMSGSIZE);
	assert_int_equal(read_in_loop("garbage", &t, 0), -EBADMSG);
	assert_int_equal(read_in_loop("hang", &t, 200), -ETIMEDOUT);
}

static void the_loop_goes_on_while_it_hangs(void **state)
{
	struct told t;
	struct reader_request r = request("hang", &t);
	struct timer *timer;
	struct reader *reader;
	unsigned turns = 0;

	assert_int_equal(reader_start(&loop, children, &r, done, &reader), 0);
	assert_int_equal(timer_new(&loop, turn, &turns, &timer), 0);
	timer_in(timer, 50);
	while (!turns)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(t.ends, 0);
	timer_free(timer);
	reader_free(reader);
	assert_int_equal(t.ends, 0);
	while (waitpid(-1, NULL, WNOHANG) >= 0) /* it was killed: nothing is left to wait for */
		usleep(1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_come_sealed_and_mapped),
		cmocka_unit_test(every_mistake_is_told),
		cmocka_unit_test(its_death_is_told_with_the_signal),
		cmocka_unit_test(one_that_hangs_is_killed_in_time),
		cmocka_unit_test(messages_without_end_are_cut_off),
		cmocka_unit_test(what_is_no_block_of_settings_is_not_believed),
		cmocka_unit_test(it_holds_no_descriptor_of_ours),
		cmocka_unit_test(the_difference_to_the_settings_in_force_comes_with_it),
		cmocka_unit_test(what_cannot_change_now_is_refused_as_a_mistake_is),
		cmocka_unit_test_setup_teardown(in_a_loop_it_answers_the_same, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(the_loop_goes_on_while_it_hangs, open_loop, close_loop),
	};
	char path[64];
	int failed;

	if (argc > 2 && strcmp(argv[1], "--role=reader") == 0)
		return be_reader(argc, argv);
	if (argc > 1 && strcmp(argv[1], "--role=spawn") == 0)
		return execstep_main(argc, argv);
	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/main.cnf", dir);
	unlink(path);
	rmdir(dir);
	return failed;
}
