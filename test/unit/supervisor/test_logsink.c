/* Writing log lines where not everything can be written. */
#include "common/clock.h"
#include "dispatcher/supervisor/logsink.h"
#include "test/unit/supervisor/testing.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static struct logsink sink_on(int fd)
{
	struct logsink k = {.there = false};

	logsink_set_consume(&k, LOG_SINK_STREAM, false, fd);
	return k;
}

static void put(struct logsink *k, const char *line)
{
	logsink_write(k, LOG_LEVEL_INFO, line, strlen(line));
}

static void a_line_arrives_as_it_is(void **state)
{
	char got[16] = "";
	int ends[2];
	struct logsink k;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	k = sink_on(ends[1]);
	put(&k, "hello\n");
	assert_int_equal(read(ends[0], got, sizeof(got)), 6);
	assert_string_equal(got, "hello\n");
	close(ends[0]);
	close(k.fd);
}

/* A file that may not grow stands for a full disk: the first write is short, the next one fails. */
static void a_torn_line_is_ended_and_the_lost_ones_are_counted(void **state)
{
	struct rlimit before, tight = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
	char text[256] = "", *end;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct logsink k = sink_on(fd);

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	tight.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	put(&k, "0123456789abcdef\n");
	put(&k, "second\n");
	assert_int_equal(k.dropped, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	put(&k, "third\n");
	assert_int_equal(k.dropped, 0);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(strncmp(text, "0123456789\n", 11), 0);
	end = strstr(text, " warning log.dropped lines=2\nthird\n");
	assert_non_null(end);
	close(fd);
}

static void a_reader_that_has_stopped_is_waited_for_only_once(void **state)
{
	static char line[4096];
	int ends[2];
	struct logsink k;
	uint64_t began;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 2] = '\n';
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 16384) >= 16384);
	k = sink_on(ends[1]);
	while (!k.dropped)
		put(&k, line);
	began = clock_mono_ms();
	for (int i = 0; i < 1000; i++)
		put(&k, line);
	assert_int_equal(k.dropped, 1001);
	assert_in_range(clock_mono_ms() - began, 0, 200);
	for (int i = 0; i < 4; i++)
		assert_true(read(ends[0], line, sizeof(line)) > 0);
	put(&k, "alive again\n");
	assert_int_equal(k.dropped, 0);
	close(ends[0]);
	close(k.fd);
}

static void a_stream_without_a_reader_only_loses_lines(void **state)
{
	int ends[2];
	struct logsink k;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	k = sink_on(ends[1]);
	put(&k, "nobody\n");
	assert_int_equal(k.dropped, 1);
	close(k.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_arrives_as_it_is),
		cmocka_unit_test(a_torn_line_is_ended_and_the_lost_ones_are_counted),
		cmocka_unit_test(a_reader_that_has_stopped_is_waited_for_only_once),
		cmocka_unit_test(a_stream_without_a_reader_only_loses_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
