/* What the acceptor reads of the supervisor's, and what it leaves in the channel. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/uplink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>

struct heard {
	unsigned records, fds;
	bool gone;
};

static void on_record(void *user, const struct link_record *r, int *fds, unsigned count)
{
	struct heard *h = user;

	h->records++;
	h->fds += count;
	while (count)
		close(fds[--count]);
}

static void on_gone(void *user)
{
	((struct heard *)user)->gone = true;
}

static const struct uplink_ops ops = {.record = on_record, .gone = on_gone};

static void limit_descriptors(rlim_t limit)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static void close_handle(uv_handle_t *handle, void *none)
{
	uv_close(handle, NULL);
}

static void a_record_waits_in_the_channel_until_its_descriptors_have_a_place(void **state)
{
	struct link_record r = {.type = LINK_WORKER};
	struct heard heard = {0};
	struct uplink u;
	struct rlimit before;
	uv_loop_t loop;
	int ends[2], null = open("/dev/null", O_RDONLY), fds[] = {null, null, null};

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(dup2(ends[1], LINK_FD), LINK_FD);
	assert_int_equal(uplink_init(&u, &loop, &ops, &heard), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(link_send(ends[0], &r, fds, ARRAY_LEN(fds)), 0);

	limit_descriptors(4);
	uv_run(&loop, UV_RUN_ONCE);
	assert_false(heard.gone);
	assert_int_equal(heard.records, 0);

	limit_descriptors(before.rlim_cur);
	while (!heard.records)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(heard.fds, 3);
	assert_true(u.alive);
	close(ends[0]);
	while (!heard.gone)
		uv_run(&loop, UV_RUN_ONCE);
	uv_walk(&loop, close_handle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* Fills the channel, so that what is ordered has to wait; then reads on until the orders come. */
static void a_signal_that_waits_keeps_its_number_when_a_record_is_ordered(void **state)
{
	struct link_record r;
	struct heard heard = {0};
	struct uplink u;
	uv_loop_t loop;
	int ends[2], fds[CHAN_MAX_FDS], term = 0, abort = 0;
	unsigned count = 0;

	assert_int_equal(dup2(STDERR_FILENO, LINK_FD), LINK_FD); /* chan_pair shall not take it */
	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(dup2(ends[1], LINK_FD), LINK_FD);
	close(ends[1]);
	assert_int_equal(uplink_init(&u, &loop, &ops, &heard), 0);
	assert_int_equal(uplink_size(&u, 1), 0);
	assert_int_equal(uplink_slots(&u, 0, 1), 0);
	r = (struct link_record){.type = LINK_PONG};
	while (!link_send(LINK_FD, &r, NULL, 0))
		;
	uplink_signal(&u, 0, 0, 7, SIGTERM);
	uplink_record(&u, 0, 0, 7, SIGABRT, "because");
	assert_true(u.dirty);
	while (!term || !abort) {
		while (!link_recv(ends[0], &r, fds, &count)) {
			if (r.type == LINK_SIGNAL)
				term = (int)r.number;
			if (r.type == LINK_RECORD)
				abort = (int)r.number;
		}
		if (!term || !abort)
			uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(term, SIGTERM);
	assert_int_equal(abort, SIGABRT);
	free(u.services[0].slots);
	free(u.services);
	free(u.rounds);
	uv_walk(&loop, close_handle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	close(ends[0]);
	close(LINK_FD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_waits_in_the_channel_until_its_descriptors_have_a_place),
		cmocka_unit_test(a_signal_that_waits_keeps_its_number_when_a_record_is_ordered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
