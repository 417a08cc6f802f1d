/* What is seen of workers from outside: the record of one that is killed (its verdict, its last lines,
 * where its threads are), and its memory. */
#include "test/unit/supervisor/testing.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/anatomy.h"
#include "dispatcher/supervisor/logtail.h"
#include "dispatcher/supervisor/memory.h"
#include "dispatcher/supervisor/verdict.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* --- verdict --- */

static const char *judge(struct verdict_thread *threads, unsigned count)
{
	static char text[VERDICT_BYTES];

	verdict(threads, count, text);
	return text;
}

static struct verdict_thread waits_in(long call, enum verdict_end end)
{
	return (struct verdict_thread){.is_first = true, .state = {'S', 'S'}, .call = call, .end = end};
}

static void a_stopped_thread_says_that_its_process_is_stopped(void **state)
{
	struct verdict_thread t[] = {waits_in(SYS_epoll_pwait, VERDICT_OTHER_END),
		{.state = {'S', 'T'}, .call = VERDICT_NO_CALL}};

	assert_string_equal(judge(t, 2), "stopped by a signal");
}

static void the_busiest_thread_says_how_much_it_spins(void **state)
{
	struct verdict_thread t[] = {waits_in(SYS_epoll_pwait, VERDICT_OTHER_END),
		{.state = {'R', 'R'}, .cpu_percent = 20, .call = VERDICT_NO_CALL},
		{.state = {'R', 'R'}, .cpu_percent = 97, .call = VERDICT_NO_CALL}};

	assert_string_equal(judge(t, 3), "spinning: 97 % of a CPU");
}

static void a_thread_that_gets_little_of_a_cpu_spins_if_it_always_wants_to_run(void **state)
{
	struct verdict_thread t = {.is_first = true, .state = {'R', 'R'}, .cpu_percent = 4};

	assert_string_equal(judge(&t, 1), "spinning: 4 % of a CPU");
}

static void idle_threads_in_a_futex_are_no_deadlock(void **state)
{
	struct verdict_thread t[] = {waits_in(SYS_futex, VERDICT_OTHER_END),
		waits_in(SYS_epoll_pwait, VERDICT_OTHER_END)};

	t[0].is_first = false;
	assert_string_equal(judge(t, 2), "waits for a client (epoll_pwait)");
}

static void the_first_thread_in_a_futex_may_be_a_deadlock(void **state)
{
	struct verdict_thread t = waits_in(SYS_futex, VERDICT_OTHER_END);

	assert_string_equal(judge(&t, 1), "waits in futex: deadlock?");
}

static void a_wait_is_named_by_what_its_descriptor_leads_to(void **state)
{
	struct verdict_thread in = waits_in(SYS_recvfrom, VERDICT_SOCKET);
	struct verdict_thread out = waits_in(SYS_write, VERDICT_SOCKET);
	struct verdict_thread pipe = waits_in(SYS_read, VERDICT_PIPE);

	assert_string_equal(judge(&in, 1), "waits for a client (recvfrom)");
	assert_string_equal(judge(&out, 1), "waits for a client that does not read (write)");
	assert_string_equal(judge(&pipe, 1), "waits for a pipe (read)");
}

static void without_the_system_call_the_kernels_function_says_it(void **state)
{
	struct verdict_thread t = waits_in(VERDICT_UNKNOWN_CALL, VERDICT_OTHER_END);

	strcpy(t.wchan, "futex_do_wait");
	assert_string_equal(judge(&t, 1), "waits in futex_do_wait: deadlock?");
	strcpy(t.wchan, "0");
	assert_string_equal(judge(&t, 1), "cannot be told");
}

static void a_disk_that_does_not_answer_is_no_fault_of_the_worker(void **state)
{
	struct verdict_thread t = waits_in(SYS_read, VERDICT_OTHER_END);

	t.state[1] = 'D';
	strcpy(t.wchan, "folio_wait");
	assert_string_equal(judge(&t, 1), "waits for the kernel, a disk perhaps (folio_wait)");
}

/* --- the last lines --- */

static char *copy(const struct logtail *t)
{
	static char text[LOGTAIL_BYTES + 1];

	text[logtail_copy(t, text)] = '\0';
	return text;
}

static void nothing_said_is_nothing_kept(void **state)
{
	struct logtail t = {0};

	assert_string_equal(copy(&t), "");
	assert_null(t.text);
}

static void few_lines_are_kept_whole(void **state)
{
	struct logtail t = {0};

	logtail_add(&t, "one\n", 4);
	logtail_add(&t, "two\n", 4);
	assert_string_equal(copy(&t), "one\ntwo\n");
	logtail_deinit(&t);
}

static void of_many_lines_the_last_are_kept_from_the_beginning_of_a_line(void **state)
{
	struct logtail t = {0};
	char line[32];
	const char *kept;

	for (int i = 0; i < 10000; i++)
		logtail_add(&t, line, (size_t)snprintf(line, sizeof(line), "line %d\n", i));
	kept = copy(&t);
	assert_int_equal(strncmp(kept, "line ", 5), 0);
	assert_true(strlen(kept) > LOGTAIL_BYTES - 32);
	assert_string_equal(kept + strlen(kept) - strlen("line 9998\nline 9999\n"), "line 9998\nline 9999\n");
	logtail_deinit(&t);
}

static void of_a_line_longer_than_everything_the_end_is_kept(void **state)
{
	static char line[3 * LOGTAIL_BYTES];
	struct logtail t = {0};

	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 4, "end\n", 4);
	logtail_add(&t, "before\n", 7);
	logtail_add(&t, line, sizeof(line));
	assert_int_equal(strlen(copy(&t)), LOGTAIL_BYTES);
	assert_non_null(strstr(copy(&t), "xend\n"));
	logtail_deinit(&t);
}

/* --- memory --- */

static unsigned judge_all(const uint64_t *bytes, size_t count)
{
	unsigned looks = 0;

	for (size_t i = 0; i < count; i++)
		looks = memory_judge(looks, bytes[i], 1000);
	return looks;
}

static void who_holds_too_much_three_times_in_a_row_is_replaced(void **state)
{
	const uint64_t grows[] = {900, 1001, 1500, 2000}, at_limit[] = {1000, 1000, 1000, 1000};

	assert_int_equal(judge_all(grows, 3), 2);
	assert_int_equal(judge_all(grows, 4), MEMORY_LOOKS);
	assert_int_equal(judge_all(at_limit, 4), 0);
	assert_int_equal(memory_judge(2, UINT64_MAX, 0), 0);
}

static void a_peak_is_forgotten_only_well_below_the_limit(void **state)
{
	const uint64_t peak[] = {1001, 1001, 899, 1001}, wavers[] = {1001, 950, 1001, 950, 1001};

	assert_int_equal(judge_all(peak, 4), 1);
	assert_int_equal(judge_all(wavers, 5), MEMORY_LOOKS);
}

/* --- real processes --- */

static void lock_twice(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	pthread_mutex_lock(&lock);
}

static void spin(void)
{
	for (;;)
		__asm__ volatile("");
}

static void wait_for_a_client(void)
{
	int ends[2];
	char byte;

	testing_pair(ends);
	(void)!read(ends[0], &byte, 1);
}

static pid_t start(void (*act)(void))
{
	pid_t pid = fork();

	if (!pid) {
		act();
		_exit(0);
	}
	return pid;
}

/* Looks until the verdict is the expected one, 5 s at most; returns what was printed. */
static char *record_of(pid_t pid, const char *expected)
{
	struct anatomy *a = calloc(1, sizeof(*a));
	struct verdict_thread seen[ANATOMY_THREADS];
	char *text = NULL;
	const char *said;
	size_t size;
	FILE *out;

	for (int i = 0; i < 50; i++) {
		anatomy_look(a, pid);
		usleep(100000);
		anatomy_look_again(a);
		for (unsigned k = 0; k < a->thread_count; k++)
			seen[k] = a->threads[k].seen;
		said = judge(seen, a->thread_count);
		if (strstr(said, expected))
			break;
	}
	assert_non_null(strstr(said, expected));
	out = open_memstream(&text, &size);
	anatomy_print(a, out);
	fclose(out);
	free(a);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return text;
}

static void a_deadlock_is_recorded_with_the_place_in_the_program(void **state)
{
	char *text = record_of(start(lock_twice), "waits in futex: deadlock?");

	assert_non_null(strstr(text, "(futex)"));
	assert_non_null(strstr(text, "test-supervisor-evidence+0x"));
	assert_non_null(strstr(text, "libc.so.6+0x"));
	free(text);
}

static void what_spins_is_held_for_a_moment_to_see_where(void **state)
{
	char *text = record_of(start(spin), "spinning: ");

	assert_non_null(strstr(text, "test-supervisor-evidence+0x"));
	free(text);
}

static void what_was_held_goes_on(void **state)
{
	pid_t pid = start(spin);
	struct anatomy *a = calloc(1, sizeof(*a));
	FILE *out = fopen("/dev/null", "w");

	anatomy_look(a, pid);
	anatomy_look_again(a);
	anatomy_print(a, out);
	for (int i = 0; i < 50 && a->threads[0].seen.cpu_percent < 5; i++) {
		anatomy_look(a, pid);
		usleep(100000);
		anatomy_look_again(a);
	}
	assert_true(a->threads[0].seen.cpu_percent >= 5);
	fclose(out);
	free(a);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_stopped_process_is_recorded_where_it_stopped(void **state)
{
	pid_t pid = start(spin);
	char *text;

	kill(pid, SIGSTOP);
	text = record_of(pid, "stopped by a signal");
	assert_non_null(strstr(text, "state T"));
	assert_non_null(strstr(text, "test-supervisor-evidence+0x"));
	free(text);
}

static void who_reads_from_a_socket_waits_for_a_client(void **state)
{
	char *text = record_of(start(wait_for_a_client), "waits for a client (read)");

	assert_non_null(strstr(text, "-> socket:["));
	free(text);
}

static void the_family_is_the_process_its_group_and_all_below(void **state)
{
	int ready[2];
	pid_t pids[ANATOMY_PROCESSES], child, grandchild = 0;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		setpgid(0, 0);
		grandchild = fork();
		if (!grandchild)
			setsid();
		else
			(void)!write(ready[1], &grandchild, sizeof(grandchild));
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	assert_int_equal(anatomy_family(child, pids), 2);
	assert_int_equal(pids[0], child);
	assert_int_equal(pids[1], grandchild);
	kill(grandchild, SIGKILL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_thread_says_that_its_process_is_stopped),
		cmocka_unit_test(the_busiest_thread_says_how_much_it_spins),
		cmocka_unit_test(a_thread_that_gets_little_of_a_cpu_spins_if_it_always_wants_to_run),
		cmocka_unit_test(idle_threads_in_a_futex_are_no_deadlock),
		cmocka_unit_test(the_first_thread_in_a_futex_may_be_a_deadlock),
		cmocka_unit_test(a_wait_is_named_by_what_its_descriptor_leads_to),
		cmocka_unit_test(without_the_system_call_the_kernels_function_says_it),
		cmocka_unit_test(a_disk_that_does_not_answer_is_no_fault_of_the_worker),
		cmocka_unit_test(nothing_said_is_nothing_kept),
		cmocka_unit_test(few_lines_are_kept_whole),
		cmocka_unit_test(of_many_lines_the_last_are_kept_from_the_beginning_of_a_line),
		cmocka_unit_test(of_a_line_longer_than_everything_the_end_is_kept),
		cmocka_unit_test(who_holds_too_much_three_times_in_a_row_is_replaced),
		cmocka_unit_test(a_peak_is_forgotten_only_well_below_the_limit),
		cmocka_unit_test(a_deadlock_is_recorded_with_the_place_in_the_program),
		cmocka_unit_test(what_spins_is_held_for_a_moment_to_see_where),
		cmocka_unit_test(what_was_held_goes_on),
		cmocka_unit_test(a_stopped_process_is_recorded_where_it_stopped),
		cmocka_unit_test(who_reads_from_a_socket_waits_for_a_client),
		cmocka_unit_test(the_family_is_the_process_its_group_and_all_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
