/* The small parts that everything in the supervisor's loop stands on. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/supervisor/backoff.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/watch.h"
#include "test/unit/supervisor/testing.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <uv.h>

static uv_loop_t loop;

static int open_loop(void **state)
{
	return uv_loop_init(&loop);
}

static int close_loop(void **state)
{
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* --- backoff --- */

static void an_early_death_waits_twice_as_long_as_the_one_before(void **state)
{
	struct backoff b = {0};
	uint64_t now = 1000000, expected[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		backoff_started(&b, now);
		assert_int_equal(backoff_died(&b, now + 9999), expected[i]);
	}
	backoff_started(&b, now);
	assert_int_equal(backoff_died(&b, now + 10000), 0);
	backoff_started(&b, now);
	assert_int_equal(backoff_died(&b, now + 1), 100);
}

/* --- children --- */

struct deaths {
	int count, status;
};

static void on_death(void *user, int status)
{
	struct deaths *d = user;

	d->count++;
	d->status = status;
}

static pid_t child_that(int status)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (status >= 0)
			_exit(status);
		pause();
	}
	return pid;
}

static void run_until(const int *count, int wanted)
{
	for (int i = 0; i < 1000 && *count < wanted; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(*count, wanted);
}

static void a_child_tells_its_exit_status_once(void **state)
{
	struct children *all;
	struct deaths d = {0};
	struct child *c;

	assert_int_equal(children_new(&loop, &all), 0);
	assert_int_equal(child_watch(all, child_that(7), on_death, &d, &c), 0);
	run_until(&d.count, 1);
	assert_int_equal(d.status, W_EXITCODE(7, 0));
	children_sweep(all);
	assert_int_equal(d.count, 1);
	children_free(all);
}

static void a_signal_shows_in_the_status_as_wait_would_tell_it(void **state)
{
	struct children *all;
	struct deaths d = {0};
	struct child *c;

	assert_int_equal(children_new(&loop, &all), 0);
	assert_int_equal(child_watch(all, child_that(-1), on_death, &d, &c), 0);
	child_signal(c, SIGTERM);
	run_until(&d.count, 1);
	assert_true(WIFSIGNALED(d.status));
	assert_int_equal(WTERMSIG(d.status), SIGTERM);
	children_free(all);
}

static void the_sweep_reaps_orphans_and_leaves_each_known_child_its_status(void **state)
{
	struct children *all;
	struct deaths d = {0};
	struct child *c;
	pid_t known, stranger;
	siginfo_t info = {0};

	assert_int_equal(children_new(&loop, &all), 0);
	known = child_that(3);
	stranger = child_that(4);
	assert_int_equal(child_watch(all, known, on_death, &d, &c), 0);
	assert_int_equal(waitid(P_PID, (id_t)known, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(waitid(P_PID, (id_t)stranger, &info, WEXITED | WNOWAIT), 0);
	children_sweep(all);
	assert_int_equal(d.count, 1);
	assert_int_equal(d.status, W_EXITCODE(3, 0));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	children_free(all);
}

/* --- outlet --- */

struct thing {
	struct news news;
	char name;
	unsigned value;
};

struct listener {
	int broken, readable;
};

static int say_thing(struct news *news, int fd)
{
	struct thing *t = (struct thing *)news;
	char text[64];
	int len = snprintf(text, sizeof(text), "%c%u", t->name, t->value);

	return chan_send(fd, text, (size_t)len, NULL, 0);
}

static void on_broken(void *user, int error)
{
	((struct listener *)user)->broken++;
}

static void on_readable(void *user, int fd)
{
	((struct listener *)user)->readable++;
}

static const struct outlet_ops listener_ops = {.readable = on_readable, .broken = on_broken};

static void heard(int fd, const char *expected)
{
	char text[64] = "";
	unsigned count;
	size_t len;

	for (int i = 0; i < 100; i++) {
		int answer = chan_recv(fd, text, sizeof(text) - 1, &len, NULL, 0, &count);

		if (!answer)
			break;
		assert_int_equal(answer, CHAN_EMPTY);
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_string_equal(text, expected);
}

static void open_outlet(struct outlet *o, struct listener *l, int *ret_fd)
{
	int ends[2];

	assert_int_equal(outlet_init(o, &loop, &listener_ops, l), 0);
	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(outlet_open_consume(o, ends[0]), 0);
	*ret_fd = ends[1];
}

static void news_are_said_in_order_each_once_with_the_newest_state(void **state)
{
	struct thing a = {.news.say = say_thing, .name = 'a', .value = 1};
	struct thing b = {.news.say = say_thing, .name = 'b', .value = 1};
	struct listener l = {0};
	struct outlet o;
	char text[8];
	unsigned count;
	size_t len;
	int fd;

	open_outlet(&o, &l, &fd);
	outlet_push(&o, &a.news);
	outlet_push(&o, &b.news);
	a.value = 2;
	outlet_push(&o, &a.news);
	heard(fd, "a2");
	heard(fd, "b1");
	assert_int_equal(chan_recv(fd, text, sizeof(text), &len, NULL, 0, &count), CHAN_EMPTY);
	outlet_deinit(&o);
	close(fd);
}

static void what_finds_the_channel_full_is_said_when_there_is_room(void **state)
{
	enum { MANY = 2000 };
	static struct thing things[MANY];
	struct listener l = {0};
	struct outlet o;
	char expected[16];
	int fd;

	open_outlet(&o, &l, &fd);
	for (unsigned i = 0; i < MANY; i++) {
		things[i] = (struct thing){.news.say = say_thing, .name = 't', .value = i};
		outlet_push(&o, &things[i].news);
	}
	for (int i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(things[MANY - 1].news.waits);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(expected, sizeof(expected), "t%u", i);
		heard(fd, expected);
	}
	outlet_deinit(&o);
	close(fd);
}

static void what_is_forgotten_is_not_said_and_the_rest_is(void **state)
{
	struct thing a = {.news.say = say_thing, .name = 'a'}, b = a, c = a;
	struct listener l = {0};
	struct outlet o;
	int fd;

	b.name = 'b';
	c.name = 'c';
	open_outlet(&o, &l, &fd);
	outlet_push(&o, &a.news);
	outlet_push(&o, &b.news);
	outlet_forget(&o, &b.news);
	outlet_push(&o, &c.news);
	outlet_forget(&o, &c.news);
	outlet_push(&o, &c.news);
	heard(fd, "a0");
	heard(fd, "c0");
	outlet_deinit(&o);
	close(fd);
}

static void a_peer_that_has_gone_breaks_the_outlet_once(void **state)
{
	struct thing a = {.news.say = say_thing, .name = 'a'};
	struct listener l = {0};
	struct outlet o;
	int fd;

	open_outlet(&o, &l, &fd);
	close(fd);
	outlet_push(&o, &a.news);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(l.broken, 1);
	outlet_close(&o);
	outlet_push(&o, &a.news);
	assert_false(a.news.waits);
	outlet_deinit(&o);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_early_death_waits_twice_as_long_as_the_one_before),
		LOOP_TEST(a_child_tells_its_exit_status_once),
		LOOP_TEST(a_signal_shows_in_the_status_as_wait_would_tell_it),
		LOOP_TEST(the_sweep_reaps_orphans_and_leaves_each_known_child_its_status),
		LOOP_TEST(news_are_said_in_order_each_once_with_the_newest_state),
		LOOP_TEST(what_finds_the_channel_full_is_said_when_there_is_room),
		LOOP_TEST(what_is_forgotten_is_not_said_and_the_rest_is),
		LOOP_TEST(a_peer_that_has_gone_breaks_the_outlet_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
