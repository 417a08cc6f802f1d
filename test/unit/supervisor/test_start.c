/* Start, services and end of a whole supervisor. */
#include "common/base.h"
#include "common/chan.h"
#include "common/ledger.h"
#include "config/settings.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct rig rig;

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

static int end(void)
{
	int status = rig_end(&rig);

	rig.pid = 0;
	return status;
}

static const char *one_service(unsigned port)
{
	static char text[256];

	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=%u\nIMAGE=@SELF@\nENVIRONMENT=MODE=wait\n", port);
	return text;
}

static void an_acceptor_is_told_everything_and_then_to_go(void **state)
{
	static const enum link_type expected[] = {
		LINK_HELLO, LINK_PARK, LINK_LOADED, LINK_SERVICE, LINK_LISTENER, LINK_GO};
	struct rig_news news;

	rig_start(&rig, one_service(rig_free_port()));
	rig_take_acceptor(&rig);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		rig_next(&rig, &news);
		assert_int_equal(news.r.type, expected[i]);
		rig_drop(&news);
	}
	stop();
}

static void hello_brings_settings_ledger_control_and_log(void **state)
{
	struct rig_news hello;
	struct settings *s;
	struct ledger *ledger;
	struct stat st;

	rig_start(&rig, one_service(rig_free_port()));
	rig_take_acceptor(&rig);
	rig_next(&rig, &hello);
	assert_int_equal(hello.r.number, 1);
	assert_int_equal(hello.r.pid, rig.pid);
	assert_int_equal(hello.fd_count, 4);
	assert_int_equal(fstat(hello.fds[0], &st), 0);
	s = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, hello.fds[0], 0);
	assert_int_equal(settings_check(s, (size_t)st.st_size), 0);
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hello.fds[0], 0) == MAP_FAILED);
	assert_int_equal(fstat(hello.fds[1], &st), 0);
	ledger = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, hello.fds[1], 0);
	assert_int_equal(ledger_check_own(ledger, (size_t)st.st_size, 1), 0);
	assert_int_equal(ledger_has(ledger, 0).workers, settings_worker_slots(settings_service(s, 0)));
	assert_int_equal(ledger_has(ledger, 0).conns, settings_conn_slots(settings_service(s, 0)));
	munmap(ledger, (size_t)st.st_size);
	assert_int_equal(write(hello.fds[3], "a line of the acceptor\n", 23), 23);
	rig_await_output(&rig, "a line of the acceptor\n");
	munmap(s, s->bytes);
	rig_drop(&hello);
	stop();
}

static void the_listener_that_is_announced_gets_the_clients(void **state)
{
	unsigned port = rig_free_port();
	struct pollfd p = {.events = POLLIN};
	struct rig_news news;
	int client;

	rig_start(&rig, one_service(port));
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_LISTENER, &news);
	client = rig_connect(port);
	assert_true(client >= 0);
	p.fd = news.fds[0];
	assert_int_equal(poll(&p, 1, 5000), 1);
	close(client);
	rig_drop(&news);
	stop();
}

static void a_second_start_says_who_runs_and_touches_nothing(void **state)
{
	char text[128];
	struct rig second;
	struct rig_news news;

	rig_begin(&rig, one_service(rig_free_port()));
	second = rig;
	assert_int_equal(rig_start_again(&second), W_EXITCODE(1, 0));
	snprintf(text, sizeof(text), "already running as process %d", rig.pid);
	rig_await_output(&rig, text);
	rig_run(&rig, 0, &news);
	rig_drop(&news);
	stop();
}

static void a_refused_configuration_ends_with_78_and_names_the_line(void **state)
{
	rig_start(&rig, "[SERVICE=ONE]\nPORT=1\nMIN_PROCZ=2\n");
	rig_await_output(&rig, "cnf:");
	assert_int_equal(end(), W_EXITCODE(78, 0));
}

static void a_missing_image_leaves_no_port_open(void **state)
{
	unsigned port = rig_free_port();
	struct rig_news news;
	char text[160];

	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=%u\nIMAGE=/nonexistent\n", port);
	rig_start(&rig, text);
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_FAILED);
	assert_non_null(strstr(news.r.text, "/nonexistent"));
	assert_int_equal(rig_connect(port), -ECONNREFUSED);
	rig_await_output(&rig, "service.failed service=one");
	stop();
}

static void a_port_in_use_fails_its_service_alone_and_names_the_owner(void **state)
{
	unsigned taken = rig_free_port(), free_port = rig_free_port();
	struct rig_news news;
	char text[400], owner[64];
	int fd = rig_listen(taken);

	snprintf(text, sizeof(text),
		"[SERVICE=ONE]\nPORT=%u\nIMAGE=@SELF@\n[SERVICE=TWO]\nPORT=%u\nIMAGE=@SELF@\n", taken,
		free_port);
	rig_start(&rig, text);
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_FAILED);
	snprintf(owner, sizeof(owner), "pid %d", getpid());
	assert_non_null(strstr(news.r.text, owner));
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.service, 1);
	assert_int_equal(news.r.number, LINK_OPEN);
	assert_int_equal(news.r.listener_count, 1);
	close(fd);
	stop();
}

static void a_failed_service_opens_when_its_reason_has_gone(void **state)
{
	struct rig_news news;
	char text[200], image[128];

	rig_write(&rig, "");
	snprintf(image, sizeof(image), "%s/image", rig.dir);
	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=%u\nIMAGE=%s\n", rig_free_port(), image);
	rig_restart_with(&rig, text);
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_FAILED);
	assert_int_equal(symlink("/bin/true", image), 0);
	rig_await(&rig, LINK_GO, &news);
	rig_patient_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_SERVICE);
	assert_int_equal(news.r.number, LINK_OPEN);
	stop();
}

static void a_killed_acceptor_is_replaced_and_told_again(void **state)
{
	struct rig_news news;

	rig_begin(&rig, one_service(rig_free_port()));
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	rig_lose_acceptor(&rig);
	rig_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_HELLO);
	assert_int_equal(news.r.number, 2);
	rig_drop(&news);
	rig_await(&rig, LINK_LISTENER, &news);
	rig_drop(&news);
	rig_await(&rig, LINK_GO, &news);
	rig_await_output(&rig, "status=signal:KILL again_ms=0\n");
	stop();
}

static void an_acceptor_that_talks_nonsense_is_killed_and_replaced(void **state)
{
	struct rig_news news;
	pid_t first;

	rig_begin(&rig, one_service(rig_free_port()));
	first = rig.acceptor;
	assert_int_equal(chan_send(rig.link, "nonsense", 8, NULL, 0), 0);
	assert_true(testing_is_dead(first));
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_GO, &news);
	stop();
}

static void orders_out_of_range_are_ignored(void **state)
{
	struct rig_news news;

	rig_begin(&rig, one_service(rig_free_port()));
	for (uint16_t type = 0; type < 64; type++) {
		struct link_record r = {.type = type, .slot = 1u << 31, .service = 1u << 31,
			.serial = 99, .number = SIGKILL, .target_count = 1u << 31};

		if (type != LINK_SHUTDOWN)
			rig_order(&rig, r);
	}
	rig_run(&rig, 0, &news);
	rig_drop(&news);
	stop();
}

static void a_drain_closes_stops_and_leaves_nothing(void **state)
{
	unsigned port = rig_free_port();
	struct rig_news news;
	char path[96];

	rig_begin(&rig, one_service(port));
	assert_int_equal(kill(rig.pid, SIGTERM), 0);
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_CLOSING);
	assert_true(news.r.deadline_ms != UINT64_MAX);
	rig_order(&rig, (struct link_record){.type = LINK_DRAINED, .round = news.r.round});
	rig_await_refusal(port);
	rig_order(&rig, (struct link_record){.type = LINK_IDLE, .round = news.r.round});
	assert_true(testing_is_dead(rig.acceptor));
	snprintf(path, sizeof(path), "%s/run", rig.dir);
	rig_await_output(&rig, "dispatcher.stopped");
	assert_true(testing_is_dead(rig.pid));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(end(), 0);
}

static void a_drain_waits_for_the_last_worker(void **state)
{
	struct rig_news worker, news;

	rig_begin(&rig, one_service(rig_free_port()));
	rig_run(&rig, 0, &worker);
	rig_order(&rig, (struct link_record){.type = LINK_SHUTDOWN,
		.deadline_ms = UINT64_MAX});
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_CLOSING);
	rig_order(&rig, (struct link_record){.type = LINK_IDLE, .round = news.r.round});
	rig_order(&rig, (struct link_record){.type = LINK_SIGNAL, .serial = worker.r.serial,
		.number = SIGTERM});
	assert_true(testing_is_dead(worker.r.pid));
	rig_drop(&worker);
	assert_int_equal(end(), 0);
}

static void an_order_to_stop_now_kills_every_worker(void **state)
{
	struct rig_news worker;

	rig_begin(&rig, one_service(rig_free_port()));
	rig_run(&rig, 0, &worker);
	rig_order(&rig, (struct link_record){.type = LINK_SHUTDOWN, .number = 1});
	assert_true(testing_is_dead(worker.r.pid));
	rig_drop(&worker);
	assert_int_equal(end(), 0);
}

static void log_pipes_outlive_a_killed_logger(void **state)
{
	struct rig_news hello;

	rig_start(&rig, one_service(rig_free_port()));
	rig_take_acceptor(&rig);
	rig_next(&rig, &hello);
	rig_await_output(&rig, "service.open");
	assert_int_equal(kill(rig_child(&rig, "logger"), SIGKILL), 0);
	rig_await_output(&rig, "logger.exit");
	assert_int_equal(write(hello.fds[3], "still heard\n", 12), 12);
	rig_await_output(&rig, "still heard\n");
	rig_drop(&hello);
	stop();
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, forget_rig, clean_up)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_acceptor_is_told_everything_and_then_to_go),
		RIG_TEST(hello_brings_settings_ledger_control_and_log),
		RIG_TEST(the_listener_that_is_announced_gets_the_clients),
		RIG_TEST(a_second_start_says_who_runs_and_touches_nothing),
		RIG_TEST(a_refused_configuration_ends_with_78_and_names_the_line),
		RIG_TEST(a_missing_image_leaves_no_port_open),
		RIG_TEST(a_port_in_use_fails_its_service_alone_and_names_the_owner),
		RIG_TEST(a_failed_service_opens_when_its_reason_has_gone),
		RIG_TEST(a_killed_acceptor_is_replaced_and_told_again),
		RIG_TEST(an_acceptor_that_talks_nonsense_is_killed_and_replaced),
		RIG_TEST(orders_out_of_range_are_ignored),
		RIG_TEST(a_drain_closes_stops_and_leaves_nothing),
		RIG_TEST(a_drain_waits_for_the_last_worker),
		RIG_TEST(an_order_to_stop_now_kills_every_worker),
		RIG_TEST(log_pipes_outlive_a_killed_logger),
	};
	int role = rig_role(argc, argv);

	return role >= 0 ? role : cmocka_run_group_tests(tests, NULL, NULL);
}
