/* Operations and their results: the test reads what an acceptor would be told. */
#include "common/base.h"
#include "common/chan.h"
#include "common/log.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/ops.h"
#include "test/unit/supervisor/testing.h"

#include <fcntl.h>
#include <string.h>
#include <uv.h>

struct world {
	uv_loop_t loop;
	struct outlet outlet;
	struct ops *ops;
	int fd; /* the acceptor's end */
};

static void on_event(void *user, int fd)
{
}

static const struct outlet_ops outlet_ops = {.readable = on_event, .broken = on_event};

static void connect_acceptor(struct world *w)
{
	int ends[2];

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(outlet_open_consume(&w->outlet, ends[0]), 0);
	w->fd = ends[1];
}

static int open_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	assert_int_equal(outlet_init(&w->outlet, &w->loop, &outlet_ops, w), 0);
	connect_acceptor(w);
	assert_int_equal(ops_new(&w->outlet, &w->ops), 0);
	*state = w;
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	ops_free(w->ops);
	outlet_deinit(&w->outlet);
	close(w->fd);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static int begin(struct world *w, uint64_t id)
{
	struct link_record order = {.type = LINK_CLOSE, .id = id, .text = "uid=0 pid=7"};

	return ops_begin(w->ops, &order, "smtp");
}

/* The next result that the acceptor is told, its text in ret_text; 0: none comes. */
static uint64_t told(struct world *w, int *ret_status, char *ret_text, size_t size)
{
	struct link_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count = 0;

	memset(ret_text, 0, size);
	for (int i = 0; i < 3; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	if (link_recv(w->fd, &r, fds, &count))
		return 0;
	assert_int_equal(r.type, LINK_RESULT);
	assert_int_equal(count, 1);
	assert_true(pread(fds[0], ret_text, size - 1, 0) >= 0);
	assert_int_equal(pwrite(fds[0], "x", 1, 0), -1);
	close(fds[0]);
	*ret_status = (int)r.number;
	return r.id;
}

static void expect(struct world *w, uint64_t id, int status, const char *text)
{
	char got[256];
	int got_status = -1;

	assert_int_equal(told(w, &got_status, got, sizeof(got)), id);
	assert_int_equal(got_status, status);
	assert_string_equal(got, text);
}

static void expect_nothing(struct world *w)
{
	char text[8];
	int status;

	assert_int_equal(told(w, &status, text, sizeof(text)), 0);
}

static void a_result_is_told_with_its_status_and_text(void **state)
{
	struct world *w = *state;

	assert_int_equal(begin(w, 7), 0);
	expect_nothing(w);
	assert_true(ops_runs(w->ops, 7));
	ops_end_f(w->ops, 7, 1, "%s is not to be closed", "smtp");
	assert_false(ops_runs(w->ops, 7));
	expect(w, 7, 1, "smtp is not to be closed");
}

static void an_order_that_runs_is_not_begun_twice(void **state)
{
	struct world *w = *state;

	assert_int_equal(begin(w, 7), 0);
	assert_int_equal(begin(w, 7), OPS_KNOWN);
	assert_int_equal(begin(w, 8), 0);
	expect_nothing(w);
}

static void an_order_that_has_ended_is_answered_with_its_result(void **state)
{
	struct world *w = *state;

	begin(w, 7);
	ops_end(w->ops, 7, 0, "done");
	expect(w, 7, 0, "done");
	assert_int_equal(begin(w, 7), OPS_KNOWN);
	expect(w, 7, 0, "done");
	ops_end(w->ops, 7, 1, "twice");
	expect_nothing(w);
}

static void a_new_acceptor_is_told_every_result(void **state)
{
	struct world *w = *state;

	for (uint64_t id = 1; id <= 2; id++) {
		begin(w, id);
		ops_end(w->ops, id, 0, "done");
	}
	begin(w, 3);
	close(w->fd);
	connect_acceptor(w);
	ops_announce(w->ops);
	expect(w, 1, 0, "done");
	expect(w, 2, 0, "done");
	expect_nothing(w);
}

static void the_oldest_result_makes_room(void **state)
{
	struct world *w = *state;

	for (uint64_t id = 1; id <= OPS_KEPT + 1; id++) {
		begin(w, id);
		ops_end(w->ops, id, 0, "done");
	}
	for (uint64_t id = 2; id <= OPS_KEPT + 1; id++)
		assert_int_equal(begin(w, id), OPS_KNOWN);
	assert_int_equal(begin(w, 1), 0);
}

static void too_many_at_a_time_are_refused_and_told_so(void **state)
{
	struct world *w = *state;

	for (uint64_t id = 1; id <= OPS_RUNNING; id++)
		assert_int_equal(begin(w, id), 0);
	for (uint64_t id = 100; id < 120; id++) {
		assert_int_equal(begin(w, id), OPS_REFUSED);
		expect(w, id, 1, "refused: too many operations run");
	}
	ops_end(w->ops, 1, 0, "done");
	expect(w, 1, 0, "done");
	assert_int_equal(begin(w, 121), 0);
}

static void signals_run_side_by_side_and_leave_no_result(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 100; i++) {
		assert_int_equal(begin(w, 0), 0);
		assert_int_equal(begin(w, 0), 0);
		ops_end(w->ops, 0, 0, "done");
		ops_end(w->ops, 0, 0, "done");
	}
	assert_null(ops_at(w->ops, 0));
	expect_nothing(w);
}

static void a_text_is_cut_at_its_limit(void **state)
{
	struct world *w = *state;
	char *text = malloc(OPS_TEXT_BYTES + 100), *got = malloc(OPS_TEXT_BYTES + 100);
	int status;

	memset(text, 'a', OPS_TEXT_BYTES + 99);
	text[OPS_TEXT_BYTES + 99] = '\0';
	begin(w, 7);
	ops_end(w->ops, 7, 0, text);
	assert_int_equal(told(w, &status, got, OPS_TEXT_BYTES + 100), 7);
	assert_int_equal(strlen(got), OPS_TEXT_BYTES);
	free(text);
	free(got);
}

static void another_supervisor_goes_on_with_what_it_is_handed(void **state)
{
	struct world *w = *state;
	struct ops *next;
	const struct op *op;

	begin(w, 1);
	begin(w, 2);
	ops_end(w->ops, 1, 1, "refused");
	expect(w, 1, 1, "refused");
	assert_int_equal(ops_new(&w->outlet, &next), 0);
	for (unsigned i = 0; (op = ops_at(w->ops, i)); i++) {
		struct op copy = *op;

		if (copy.text_fd >= 0)
			copy.text_fd = fcntl(copy.text_fd, F_DUPFD_CLOEXEC, 0);
		assert_int_equal(ops_restore_consume(next, &copy), 0);
	}
	ops_free(w->ops);
	w->ops = next;
	ops_announce(next);
	expect(w, 1, 1, "refused");
	assert_true(ops_runs(next, 2));
	ops_end(next, 2, 0, "done");
	expect(w, 2, 0, "done");
	expect_nothing(w);
}

#define OPS_TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPS_TEST(a_result_is_told_with_its_status_and_text),
		OPS_TEST(an_order_that_runs_is_not_begun_twice),
		OPS_TEST(an_order_that_has_ended_is_answered_with_its_result),
		OPS_TEST(a_new_acceptor_is_told_every_result),
		OPS_TEST(the_oldest_result_makes_room),
		OPS_TEST(too_many_at_a_time_are_refused_and_told_so),
		OPS_TEST(signals_run_side_by_side_and_leave_no_result),
		OPS_TEST(a_text_is_cut_at_its_limit),
		OPS_TEST(another_supervisor_goes_on_with_what_it_is_handed),
	};

	log_to(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
