/* The numbers that follow from a configuration, and what cannot hold. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <string.h>

/* Loads and checks; the numbers as printed. What is said of them is appended to w->told. */
static void say(void *user, enum load_severity severity, const char *text)
{
	struct world *w = user;
	char *longer;

	assert_true(asprintf(&longer, "%s%c %s\n", w->told, "NWE"[severity], text) > 0);
	free(w->told);
	w->told = longer;
}

static char *numbers(void **state, const char *text)
{
	struct world *w = world_load(state, text);
	char *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	assert_int_equal(w->result, 0);
	w->result = load_check_derived_on(&w->host, w->s, say, w, out);
	fclose(out);
	return printed;
}

static void the_numbers_add_up_over_services(void **state)
{
	char *text =
		numbers(state, SERVICE "MAX_PROCS=4\nMAX_CONNS=25\nMAX_SHUTDOWN=2\nSTACKSIZE=64K\n"
				       "[SERVICE=B]\nPORT=127.0.0.1:7008\nIMAGE=/bin/true\n"
				       "[SERVICE=OFF]\nPORT=0\n");
	struct world *w = *state;

	assert_string_equal(w->told, "");
	assert_int_equal(w->result, 0);
	assert_string_equal(text, "! a: 100 connections at most, in 4 processes (6 while some "
				  "retire); backlog 100; stacks 7 MiB\n"
				  "! b: 500 connections at most, in 10 processes (12 while some "
				  "retire); backlog 500\n"
				  "! off: disabled\n"
				  "! all: 600 connections at most, in 18 worker processes at most\n"
				  "! descriptors: 323 in the supervisor, 163 in the acceptor; the "
				  "limit can be 1048576\n"
				  "! backlogs: the kernel allows 4096 (net.core.somaxconn)\n"
				  "! memory: 1 MiB for tables, 7 MiB for stacks at most\n");
	free(text);
}

static void a_descriptor_limit_that_is_too_low_is_refused_with_the_difference(void **state)
{
	struct world *w = *state;

	w->host.descriptors = 100;
	free(numbers(state, SERVICE));
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_string_equal(w->told,
		"E the supervisor needs 242 descriptors, which is 142 more than the limit of 100; "
		"raise it "
		"(ulimit -n, LimitNOFILE=), or lower MAX_PROCS or MAX_SHUTDOWN\n"
		"E the acceptor needs 132 descriptors, which is 32 more than the limit of 100; "
		"raise it "
		"(ulimit -n, LimitNOFILE=), or lower MAX_PROCS or MAX_SHUTDOWN\n");
}

static void a_worker_whose_connections_do_not_fit_the_limit_is_refused(void **state)
{
	struct world *w = *state;

	w->host.descriptors = 1000;
	free(numbers(state, SERVICE "MAX_CONNS=1000\n"));
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_string_equal(w->told,
		"W main.cnf:1: service a: the kernel cuts BACKLOG=10000 to 4096; sysctl "
		"net.core.somaxconn=10000\n"
		"E main.cnf:1: service a: a worker needs 1032 descriptors for MAX_CONNS=1000, "
		"which is 32 more "
		"than the limit of 1000; raise ulimit -n or lower MAX_CONNS\n");
}

static void stacks_beyond_the_address_space_are_warned_of(void **state)
{
	struct world *w = *state;

	free(numbers(state, SERVICE "STACKSIZE=8M\nLIMIT_AS=100M\n"));
	assert_int_equal(w->result, 0);
	assert_string_equal(w->told, "W main.cnf:1: service a: MAX_CONNS stacks of STACKSIZE need "
				     "400 MiB, but LIMIT_AS is 100 "
				     "MiB; lower the former or raise the latter\n");
}

static void tables_beyond_the_memory_are_refused(void **state)
{
	struct world *w = *state;

	free(numbers(state, SERVICE "MAX_PROCS=16384\nMAX_CONNS=65535\n"));
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_non_null(strstr(w->told, "E the tables of 1073725440 connections need "));
}

static void numbers_that_overflow_are_still_too_much(void **state)
{
	struct world *w = *state;

	free(numbers(state, SERVICE "STACKSIZE=1048576T\nMAX_PROCS=16384\nMAX_CONNS=65535\n"));
	assert_int_equal(w->result, LOAD_REFUSED);
}

static void certificates_take_descriptors_of_the_supervisor_alone(void **state)
{
	struct world *w = *state;
	char *plain = numbers(state, SERVICE), *tls = numbers(state, SERVICE "TLS_CERT=/a\nTLS_KEY=/b\n");
	unsigned before[2], after[2];
	static const char *const format = "! descriptors: %u in the supervisor, %u in the acceptor";

	assert_string_equal(w->told, "");
	assert_int_equal(sscanf(strstr(plain, "! descriptors"), format, &before[0], &before[1]), 2);
	assert_int_equal(sscanf(strstr(tls, "! descriptors"), format, &after[0], &after[1]), 2);
	assert_int_equal(after[0], before[0] + 4);
	assert_int_equal(after[1], before[1]);
	free(plain);
	free(tls);
}

static void a_queue_is_counted_and_shown(void **state)
{
	char *text = numbers(state, SERVICE "WHEN_FULL=refuse\nQUEUE_SIZE=100\n");
	struct world *w = *state;

	assert_string_equal(w->told, "");
	assert_non_null(strstr(text, "; backlog 500; then 100 wait for a worker, others are refused\n"));
	free(text);
}

static void a_queue_that_the_kernel_cannot_hold_is_refused_with_what_it_can(void **state)
{
	struct world *w = *state;

	w->host.queue_bytes = 2 * 212992;
	free(numbers(state, SERVICE "WHEN_FULL=refuse\nQUEUE_SIZE=417\n"));
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_string_equal(w->told, "E main.cnf:1: service a: the kernel keeps 416 clients in a queue at "
				     "most, and QUEUE_SIZE=417; lower it, or sysctl "
				     "net.core.wmem_max=213504\n");
}

static void queues_beyond_the_descriptors_on_the_way_are_refused(void **state)
{
	struct world *w = *state;

	w->host.descriptors = 1000;
	free(numbers(state, SERVICE "WHEN_FULL=refuse\nQUEUE_SIZE=1000\n"));
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_non_null(strstr(w->told, "E the queues of full services need a limit of "));
	assert_non_null(strstr(w->told, "or lower QUEUE_SIZE\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_numbers_add_up_over_services),
		world_test(a_descriptor_limit_that_is_too_low_is_refused_with_the_difference),
		world_test(a_worker_whose_connections_do_not_fit_the_limit_is_refused),
		world_test(stacks_beyond_the_address_space_are_warned_of),
		world_test(tables_beyond_the_memory_are_refused),
		world_test(numbers_that_overflow_are_still_too_much),
		world_test(a_queue_is_counted_and_shown),
		world_test(a_queue_that_the_kernel_cannot_hold_is_refused_with_what_it_can),
		world_test(certificates_take_descriptors_of_the_supervisor_alone),
		world_test(queues_beyond_the_descriptors_on_the_way_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
