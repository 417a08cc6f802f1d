/* An operator's restart, in a whole supervisor: who is marked, what is told, what is refused. */
#include "common/base.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct rig rig;
static uint64_t last_id;

static int forget_rig(void **state)
{
	rig = (struct rig){.link = -1, .rendezvous = -1};
	return 0;
}

static int clean_up(void **state)
{
	if (rig.pid > 0 && kill(rig.pid, SIGINT) == 0)
		waitpid(rig.pid, NULL, 0);
	return 0;
}

static void stop(void)
{
	rig_stop(&rig);
	rig.pid = 0;
}

/* MAX_PROCS=2 and MAX_SHUTDOWN=1, and so many workers. */
static void begin(struct rig_news *workers, uint32_t count)
{
	char text[512];

	snprintf(text, sizeof(text),
		"[SERVICE=ONE]\nPORT=%u\nIMAGE=@SELF@\nENVIRONMENT=MODE=wait\nMAX_PROCS=2\n"
		"MAX_SHUTDOWN=1\n[SERVICE=OFF]\nENABLE=0\nPORT=%u\nIMAGE=@SELF@\n",
		rig_free_port(), rig_free_port());
	rig_begin(&rig, text);
	for (uint32_t i = 0; i < count; i++) {
		rig_run(&rig, i, &workers[i]);
		rig_drop(&workers[i]);
	}
}

static void order(uint32_t service, const struct rig_news *worker, uint64_t drain_ms)
{
	struct link_record r = {.type = LINK_RESTART,
		.service = service,
		.deadline_ms = drain_ms,
		.id = ++last_id,
		.text = "uid=0 pid=1"};

	if (worker) {
		r.slot = worker->r.slot;
		r.serial = worker->r.serial;
	}
	rig_order(&rig, r);
}

/* The result of the last order; its status. */
static unsigned await_result(char *ret_text, size_t size)
{
	struct rig_news news;
	ssize_t got;

	do
		rig_await(&rig, LINK_RESULT, &news);
	while (news.r.id != last_id);
	assert_int_equal(news.fd_count, 1);
	got = pread(news.fds[0], ret_text, size - 1, 0);
	assert_true(got >= 0);
	ret_text[got] = '\0';
	rig_drop(&news);
	return news.r.number;
}

static void assert_result(unsigned status, const char *part)
{
	char text[1024];

	assert_int_equal(await_result(text, sizeof(text)), status);
	if (!strstr(text, part))
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

static struct link_record await_stale(const struct rig_news *worker)
{
	struct rig_news news;

	rig_await(&rig, LINK_STALE, &news);
	assert_int_equal(news.fd_count, 0);
	assert_int_equal(news.r.slot, worker->r.slot);
	assert_int_equal(news.r.serial, worker->r.serial);
	assert_int_equal(news.r.number, LINK_STALE_RESTARTED);
	return news.r;
}

static void every_living_worker_of_the_service_is_marked_and_named(void **state)
{
	struct rig_news workers[2];
	char text[256];

	begin(workers, 2);
	order(0, NULL, UINT64_MAX);
	for (int i = 0; i < 2; i++)
		assert_true(await_stale(&workers[i]).deadline_ms == UINT64_MAX);
	assert_int_equal(await_result(text, sizeof(text)), 0);
	assert_string_equal(text, "to be replaced: one/1 one/2");
	stop();
}

static void one_worker_can_be_meant(void **state)
{
	struct rig_news workers[2];

	begin(workers, 2);
	order(0, &workers[1], 5000);
	assert_true(await_stale(&workers[1]).deadline_ms == 5000);
	assert_result(0, "to be replaced: one/2");
	stop();
}

static void a_new_acceptor_is_told_before_it_begins(void **state)
{
	struct rig_news workers[1], news;
	struct link_record first, again;

	begin(workers, 1);
	order(0, NULL, 7000);
	first = await_stale(&workers[0]);
	rig_lose_acceptor(&rig);
	rig_await(&rig, LINK_WORKER, &news);
	rig_drop(&news);
	rig_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_STALE);
	again = news.r;
	assert_true(again.deadline_ms == 7000 && again.created_ms == first.created_ms);
	rig_await(&rig, LINK_GO, &news);
	stop();
}

/* Five may live instead of three, whatever the acceptor asks. */
static void as_many_more_may_live_as_are_marked_up_to_max_procs(void **state)
{
	struct rig_news workers[5], refused;

	begin(workers, 3);
	order(0, NULL, UINT64_MAX);
	assert_result(0, "one/3");
	for (uint32_t i = 3; i < 5; i++) {
		rig_run(&rig, i, &workers[i]);
		rig_drop(&workers[i]);
	}
	rig_order(&rig, (struct link_record){.type = LINK_RUN, .slot = 5});
	rig_await(&rig, LINK_EXITED, &refused);
	assert_int_equal(refused.r.slot, 5);
	assert_int_equal(refused.r.error, EDQUOT);
	stop();
}

static void more_old_ones_than_max_procs_are_refused_and_named(void **state)
{
	struct rig_news workers[3];
	char text[1024], part[64];

	begin(workers, 2);
	order(0, NULL, UINT64_MAX);
	assert_result(0, "one/2");
	rig_run(&rig, 2, &workers[2]);
	rig_drop(&workers[2]);
	order(0, NULL, UINT64_MAX);
	assert_int_equal(await_result(text, sizeof(text)), 1);
	for (int i = 0; i < 2; i++) {
		snprintf(part, sizeof(part), "one/%u pid %d, to be replaced since 20", workers[i].r.serial,
			workers[i].r.pid);
		assert_non_null(strstr(text, part));
	}
	assert_null(strstr(text, "one/3"));
	order(0, &workers[0], UINT64_MAX); /* adds nobody */
	assert_result(0, "one/1");
	order(0, NULL, 1000); /* they will all be gone soon */
	assert_result(0, "one/1 one/2 one/3");
	stop();
}

static void the_earlier_deadline_counts(void **state)
{
	struct rig_news workers[1];

	begin(workers, 1);
	order(0, NULL, 60000);
	assert_true(await_stale(&workers[0]).deadline_ms == 60000);
	order(0, NULL, UINT64_MAX);
	assert_result(0, "one/1");
	order(0, NULL, 0);
	assert_true(await_stale(&workers[0]).deadline_ms == 0);
	order(0, NULL, 60000);
	assert_result(0, "one/1");
	rig_lose_acceptor(&rig);
	assert_true(await_stale(&workers[0]).deadline_ms == 0);
	stop();
}

static void what_cannot_be_replaced_is_refused(void **state)
{
	struct rig_news workers[1], news;

	begin(workers, 1);
	order(1, NULL, UINT64_MAX);
	assert_result(1, "off is closed; to open it: dispatcherctl start off");
	order(7, NULL, UINT64_MAX);
	assert_result(1, "no such service");
	workers[0].r.serial++;
	order(0, &workers[0], UINT64_MAX);
	assert_result(1, "one/2 has ended");
	workers[0].r.slot = 1000000;
	order(0, &workers[0], UINT64_MAX);
	assert_result(1, "one/2 has ended");
	assert_int_equal(kill(workers[0].r.pid, SIGKILL), 0);
	rig_await(&rig, LINK_EXITED, &news);
	order(0, NULL, UINT64_MAX);
	assert_result(0, "one has no worker to replace");
	stop();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, forget_rig, clean_up)
		RIGGED(every_living_worker_of_the_service_is_marked_and_named),
		RIGGED(one_worker_can_be_meant),
		RIGGED(a_new_acceptor_is_told_before_it_begins),
		RIGGED(as_many_more_may_live_as_are_marked_up_to_max_procs),
		RIGGED(more_old_ones_than_max_procs_are_refused_and_named),
		RIGGED(the_earlier_deadline_counts),
		RIGGED(what_cannot_be_replaced_is_refused),
	};
	int role = rig_role(argc, argv);

	return role >= 0 ? role : cmocka_run_group_tests(tests, NULL, NULL);
}
