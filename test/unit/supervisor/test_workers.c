/* Workers and thefts of a whole supervisor. */
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"
#include "common/page.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
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

static const char *service(const char *mode, const char *options)
{
	static char text[512];

	snprintf(text, sizeof(text),
		"[SERVICE=ONE]\nPORT=%u\nIMAGE=@SELF@\nENVIRONMENT=MODE=%s\nMAX_PROCS=2\n"
		"MAX_SHUTDOWN=1\n%s",
		rig_free_port(), mode, options);
	return text;
}

static void begin(const char *mode, const char *options)
{
	rig_begin(&rig, service(mode, options));
}

static void stop(void)
{
	rig_stop(&rig);
	rig.pid = 0;
}

static void order(enum link_type type, const struct rig_news *worker, uint32_t number)
{
	rig_order(&rig, (struct link_record){.type = (uint16_t)type,
		.slot = worker->r.slot,
		.serial = worker->r.serial,
		.number = number});
}

static void settle(struct rig_news *worker)
{
	rig_drop(worker);
	order(LINK_RELEASE, worker, 0);
}

static void await_exit(struct rig_news *worker)
{
	struct rig_news news;

	rig_await(&rig, LINK_EXITED, &news);
	assert_int_equal(news.r.serial, worker->r.serial);
	assert_int_equal(news.r.slot, worker->r.slot);
	worker->r.status = news.r.status;
}

static void a_worker_comes_with_channel_page_and_doorbell(void **state)
{
	struct rig_news worker;
	struct page *page;
	struct stat st;

	begin("wait", "");
	rig_run(&rig, 1, &worker);
	assert_int_equal(worker.r.service, 0);
	assert_int_equal(worker.r.serial, 1);
	assert_int_equal(kill(worker.r.pid, 0), 0);
	page = page_map(worker.fds[1], sizeof(*page), 0);
	assert_int_equal(page->version, PAGE_VERSION);
	assert_int_equal(page->ring_len, page_ring_len(50));
	munmap(page, sizeof(*page));
	assert_true(fcntl(worker.fds[2], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fstat(worker.fds[2], &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	rig_drop(&worker);
	stop();
}

static void a_worker_finds_just_what_it_shall_have(void **state)
{
	struct rig_news worker;
	char text[64];

	begin("show", "UMASK=027\n");
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	rig_await_output(&rig, "text=environment DISPATCHER_WORKER=1");
	rig_await_output(&rig, "text=descriptor 6");
	rig_await_output(&rig, "text=umask 027");
	rig_await_output(&rig, "text=leader 1");
	rig_await_output(&rig, "text=bell readonly");
	snprintf(text, sizeof(text), "text=sending %d", EPIPE);
	rig_await_output(&rig, text);
	snprintf(text, sizeof(text), "text=user %d", geteuid());
	rig_await_output(&rig, text);
	rig_drop(&worker);
	stop();
}

static void the_setup_message_waits_for_the_worker(void **state)
{
	struct rig_news worker;

	begin("setup", "PARAMETER=COLOUR=blue\nMAX_CONNS=33\n");
	rig_run(&rig, 2, &worker);
	await_exit(&worker);
	rig_await_output(&rig, "text=type 1");
	rig_await_output(&rig, "text=fact 1 one");
	rig_await_output(&rig, "text=fact 2 1");
	rig_await_output(&rig, "text=fact 3 33");
	rig_await_output(&rig, "text=fact 6 COLOUR=blue");
	rig_await_output(&rig, "text=fact 11 512");
	rig_drop(&worker);
	stop();
}

static void an_exit_is_told_with_its_status_until_the_slot_is_released(void **state)
{
	struct rig_news worker, again;

	begin("seven", "");
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	assert_int_equal(worker.r.status, W_EXITCODE(7, 0));
	rig_lose_acceptor(&rig);
	rig_await(&rig, LINK_WORKER, &again);
	assert_int_equal(again.r.serial, worker.r.serial);
	assert_int_equal(again.fd_count, 4);
	assert_true(testing_same(again.fds[0], worker.fds[0]));
	await_exit(&worker);
	rig_drop(&again);
	settle(&worker);
	rig_run(&rig, 0, &again);
	assert_int_equal(again.r.serial, worker.r.serial + 1);
	rig_drop(&again);
	stop();
}

static void a_slot_is_not_given_twice(void **state)
{
	struct rig_news worker, other;

	begin("wait", "");
	rig_run(&rig, 0, &worker);
	rig_order(&rig, (struct link_record){.type = LINK_RUN, .slot = 0});
	rig_run(&rig, 1, &other);
	assert_int_equal(other.r.serial, worker.r.serial + 1);
	rig_drop(&worker);
	rig_drop(&other);
	stop();
}

static void a_living_worker_is_not_released(void **state)
{
	struct rig_news worker, other;

	begin("wait", "");
	rig_run(&rig, 0, &worker);
	order(LINK_RELEASE, &worker, 0);
	rig_run(&rig, 1, &other);
	assert_int_equal(kill(worker.r.pid, 0), 0);
	rig_drop(&worker);
	rig_drop(&other);
	stop();
}

/* MAX_PROCS=2 and MAX_SHUTDOWN=1: three may live at a time, whatever the acceptor asks. */
static void no_more_live_than_the_limits_allow(void **state)
{
	struct rig_news workers[3], refused;

	begin("wait", "");
	for (uint32_t i = 0; i < 3; i++)
		rig_run(&rig, i, &workers[i]);
	rig_order(&rig, (struct link_record){.type = LINK_RUN, .slot = 3});
	rig_await(&rig, LINK_EXITED, &refused);
	assert_int_equal(refused.r.slot, 3);
	assert_int_equal(refused.r.pid, 0);
	assert_int_equal(refused.r.error, EDQUOT);
	order(LINK_RELEASE, &refused, 0);
	order(LINK_SIGNAL, &workers[0], SIGKILL);
	rig_run(&rig, 3, &workers[0]);
	for (int i = 0; i < 3; i++)
		rig_drop(&workers[i]);
	stop();
}

static void a_signal_for_a_former_worker_hits_nobody(void **state)
{
	struct rig_news worker, other;
	struct rig_news stale;

	begin("wait", "");
	rig_run(&rig, 0, &worker);
	stale = worker;
	stale.r.serial++;
	order(LINK_SIGNAL, &stale, SIGKILL);
	rig_run(&rig, 1, &other);
	assert_int_equal(kill(worker.r.pid, 0), 0);
	order(LINK_SIGNAL, &worker, SIGUSR1);
	order(LINK_SIGNAL, &worker, SIGTERM);
	await_exit(&worker);
	assert_int_equal(WTERMSIG(worker.r.status), SIGTERM);
	rig_drop(&worker);
	rig_drop(&other);
	stop();
}

static void kill_reaches_the_whole_process_group(void **state)
{
	struct rig_news worker;

	begin("deaf", "");
	rig_run(&rig, 0, &worker);
	rig_await_output(&rig, "text=deaf");
	order(LINK_SIGNAL, &worker, SIGTERM);
	order(LINK_SIGNAL, &worker, SIGKILL);
	await_exit(&worker);
	assert_int_equal(WTERMSIG(worker.r.status), SIGKILL);
	rig_drop(&worker);
	stop();
}

static void a_childs_life_does_not_end_with_its_worker(void **state)
{
	struct rig_news worker;
	pid_t group;

	begin("child", "");
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	group = worker.r.pid;
	settle(&worker);
	rig_run(&rig, 0, &worker);
	assert_int_equal(kill(-group, 0), 0);
	assert_int_equal(kill(-group, SIGKILL), 0);
	while (kill(-group, 0) == 0) /* an orphan of the supervisor, which reaps it */
		sched_yield();
	await_exit(&worker);
	kill(-worker.r.pid, SIGKILL);
	rig_drop(&worker);
	stop();
}

static void an_image_that_cannot_be_run_fails_the_service(void **state)
{
	struct rig_news news;
	char text[256], image[96];
	unsigned port = rig_free_port();
	FILE *f;

	rig_write(&rig, "");
	snprintf(image, sizeof(image), "%s/image", rig.dir);
	f = fopen(image, "w");
	fputs("no program\n", f);
	fclose(f);
	chmod(image, 0755);
	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=%u\nIMAGE=%s\n", port, image);
	rig_restart_with(&rig, text);
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_GO, &news);
	rig_order(&rig, (struct link_record){.type = LINK_RUN});
	rig_await(&rig, LINK_EXITED, &news);
	assert_int_equal(news.r.pid, 0);
	assert_int_equal(news.r.error, ENOEXEC);
	rig_await(&rig, LINK_SERVICE, &news);
	assert_int_equal(news.r.number, LINK_FAILED);
	rig_await_output(&rig, "worker.spawn_failed worker=one/1");
	stop();
}

static void lines_of_a_worker_are_copied_with_its_name_and_escaped(void **state)
{
	struct rig_news worker;

	begin("lines", "");
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	rig_await_output(&rig, " info worker.output worker=one/1 pid=");
	rig_await_output(&rig, "text=first line\n");
	rig_await_output(&rig, "text=second\tline \\x1b[31m\n");
	rig_await_output(&rig, "text=third line\n");
	rig_drop(&worker);
	stop();
}

static void last_words_are_not_lost_while_there_is_no_logger(void **state)
{
	struct rig_news worker;

	begin("lines", "");
	assert_int_equal(kill(rig_child(&rig, "logger"), SIGKILL), 0);
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	settle(&worker);
	rig_await_output(&rig, "worker=one/1 pid=");
	rig_await_output(&rig, "text=first line\n");
	rig_await_output(&rig, "text=third line\n");
	stop();
}

static void a_service_may_have_a_log_of_its_own_that_can_be_rotated(void **state)
{
	struct rig_news worker;
	char log[96], rotated[96], option[128];

	rig_write(&rig, "");
	snprintf(log, sizeof(log), "%s/one.log", rig.dir);
	snprintf(rotated, sizeof(rotated), "%s/one.log.1", rig.dir);
	snprintf(option, sizeof(option), "LOGFILE=%s\n", log);
	rig_restart_with(&rig, service("lines", option));
	rig_take_acceptor(&rig);
	rig_await(&rig, LINK_GO, &worker);
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	testing_await_text(log, "one/1[");
	testing_await_text(log, "]: first line\n");
	testing_await_text(log, "]: third line\n");
	assert_int_equal(rename(log, rotated), 0);
	assert_int_equal(kill(rig.pid, SIGUSR1), 0);
	while (access(log, F_OK))
		sched_yield();
	settle(&worker);
	rig_run(&rig, 0, &worker);
	await_exit(&worker);
	testing_await_text(log, "one/2[");
	rig_drop(&worker);
	stop();
}

/* Three at a time, as many as the service may have. */
static void live_and_die(unsigned lives)
{
	struct rig_news news;

	for (uint32_t slot = 0; slot < 3; slot++)
		rig_order(&rig, (struct link_record){.type = LINK_RUN, .slot = slot});
	for (unsigned exits = 1; exits <= lives; exits++) {
		rig_await(&rig, LINK_EXITED, &news);
		assert_int_equal(news.r.status, W_EXITCODE(7, 0));
		settle(&news);
		if (exits + 3 <= lives)
			rig_order(&rig, (struct link_record){.type = LINK_RUN, .slot = news.r.slot});
	}
}

static void a_thousand_lives_leave_nothing_behind(void **state)
{
	unsigned before;

	begin("seven", "");
	before = rig_count_fds(rig.pid);
	live_and_die(1000);
	assert_int_equal(rig_settled_fds(&rig, before), before);
	assert_int_equal(rig_zombies(&rig), 0);
	stop();
}

/* --- thefts --- */

static int offer(const struct rig_news *worker, uint32_t conn)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn fact = {.slot = conn};
	struct msg_writer w;
	int ends[2];

	testing_pair(ends);
	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	msg_put_conn(&w, &fact);
	assert_int_equal(chan_send(worker->fds[0], buf, (size_t)msg_end(&w), &ends[0], 1), 0);
	close(ends[0]);
	return ends[1];
}

static void steal(const struct rig_news *victim, const struct rig_news *target, uint32_t room)
{
	struct link_record r = {.type = LINK_STEAL,
		.slot = victim->r.slot,
		.serial = victim->r.serial,
		.target_count = 1,
		.targets = {{target->r.slot, room}}};

	rig_order(&rig, r);
}

static uint32_t loot_count(const struct rig_news *stolen)
{
	struct link_loot *loot = page_map(stolen->fds[0], sizeof(*loot), 0);
	uint32_t count = loot->count;

	munmap(loot, sizeof(*loot));
	return count;
}

static void unread_offers_of_a_dead_worker_reach_another(void **state)
{
	struct rig_news victim, target, stolen;
	struct pollfd client = {.events = POLLIN};

	begin("wait", "");
	rig_run(&rig, 0, &victim);
	rig_run(&rig, 1, &target);
	client.fd = offer(&victim, 5);
	order(LINK_SIGNAL, &victim, SIGKILL);
	await_exit(&victim);
	assert_int_equal(poll(&client, 1, 0), 0);
	steal(&victim, &target, 3);
	rig_await(&rig, LINK_STOLEN, &stolen);
	assert_int_equal(stolen.r.status, LINK_THEFT_DONE);
	assert_int_equal(loot_count(&stolen), 1);
	rig_drop(&stolen);
	order(LINK_STOLEN_SEEN, &victim, 0);
	settle(&victim);
	assert_int_equal(poll(&client, 1, 0), 0);
	order(LINK_SIGNAL, &target, SIGKILL);
	await_exit(&target);
	settle(&target);
	assert_int_equal(poll(&client, 1, 5000), 1);
	close(client.fd);
	stop();
}

static void a_result_is_told_to_every_acceptor_until_it_was_seen(void **state)
{
	struct rig_news victim, target, stolen, news;

	begin("wait", "");
	rig_run(&rig, 0, &victim);
	rig_run(&rig, 1, &target);
	steal(&victim, &target, 3);
	rig_await(&rig, LINK_STOLEN, &stolen);
	rig_drop(&stolen);
	rig_lose_acceptor(&rig);
	rig_await(&rig, LINK_STOLEN, &stolen);
	assert_int_equal(stolen.r.slot, victim.r.slot);
	assert_int_equal(stolen.r.target_count, 1);
	assert_int_equal(stolen.r.targets[0].slot, target.r.slot);
	rig_drop(&stolen);
	order(LINK_STOLEN_SEEN, &victim, 0);
	rig_lose_acceptor(&rig);
	do {
		rig_next(&rig, &news);
		assert_true(news.r.type != LINK_STOLEN);
		rig_drop(&news);
	} while (news.r.type != LINK_GO);
	rig_drop(&victim);
	rig_drop(&target);
	stop();
}

/* The victim reads into memory that never answers, so a thief that reads waits for its lock. */
static void a_worker_that_holds_its_lock_hangs_only_the_thief(void **state)
{
	struct rig_news victim, target, stolen;
	char *output;
	int first, second;

	begin("lock", "");
	rig_run(&rig, 0, &victim);
	rig_run(&rig, 1, &target);
	rig_await_output(&rig, "worker=one/1");
	testing_await_either(rig.output, "text=holding", "text=cannot");
	output = rig_read(rig.output);
	if (strstr(output, "text=cannot")) {
		free(output);
		stop();
		skip();
	}
	free(output);
	first = offer(&victim, 1);
	testing_await_stuck(victim.r.pid);
	second = offer(&victim, 2);
	steal(&victim, &target, 9);
	rig_await(&rig, LINK_STOLEN, &stolen);
	assert_int_equal(stolen.r.status, LINK_THEFT_HUNG);
	assert_int_equal(loot_count(&stolen), 0);
	rig_drop(&stolen);
	order(LINK_STOLEN_SEEN, &victim, 0);
	order(LINK_SIGNAL, &victim, SIGKILL);
	await_exit(&victim);
	steal(&victim, &target, 9);
	rig_await(&rig, LINK_STOLEN, &stolen);
	assert_int_equal(stolen.r.status, LINK_THEFT_DONE);
	assert_int_equal(loot_count(&stolen), 1);
	rig_drop(&stolen);
	rig_drop(&victim);
	rig_drop(&target);
	close(first);
	close(second);
	stop();
}

static void thefts_leave_nothing_behind(void **state)
{
	struct rig_news victim, target, stolen;
	unsigned before = 0;

	begin("wait", "");
	rig_run(&rig, 0, &victim);
	rig_run(&rig, 1, &target);
	for (int i = 0; i < 50; i++) {
		steal(&victim, &target, 3);
		rig_await(&rig, LINK_STOLEN, &stolen);
		rig_drop(&stolen);
		order(LINK_STOLEN_SEEN, &victim, 0);
		if (i == 0)
			before = rig_count_fds(rig.pid);
	}
	assert_true(rig_settled_fds(&rig, before) <= before);
	assert_int_equal(rig_zombies(&rig), 0);
	rig_drop(&victim);
	rig_drop(&target);
	stop();
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, forget_rig, clean_up)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_worker_comes_with_channel_page_and_doorbell),
		RIG_TEST(a_worker_finds_just_what_it_shall_have),
		RIG_TEST(the_setup_message_waits_for_the_worker),
		RIG_TEST(an_exit_is_told_with_its_status_until_the_slot_is_released),
		RIG_TEST(a_slot_is_not_given_twice),
		RIG_TEST(a_living_worker_is_not_released),
		RIG_TEST(no_more_live_than_the_limits_allow),
		RIG_TEST(a_signal_for_a_former_worker_hits_nobody),
		RIG_TEST(kill_reaches_the_whole_process_group),
		RIG_TEST(a_childs_life_does_not_end_with_its_worker),
		RIG_TEST(an_image_that_cannot_be_run_fails_the_service),
		RIG_TEST(lines_of_a_worker_are_copied_with_its_name_and_escaped),
		RIG_TEST(last_words_are_not_lost_while_there_is_no_logger),
		RIG_TEST(a_service_may_have_a_log_of_its_own_that_can_be_rotated),
		RIG_TEST(a_thousand_lives_leave_nothing_behind),
		RIG_TEST(unread_offers_of_a_dead_worker_reach_another),
		RIG_TEST(a_result_is_told_to_every_acceptor_until_it_was_seen),
		RIG_TEST(a_worker_that_holds_its_lock_hangs_only_the_thief),
		RIG_TEST(thefts_leave_nothing_behind),
	};
	int role = rig_role(argc, argv);

	return role >= 0 ? role : cmocka_run_group_tests(tests, NULL, NULL);
}
