/* Who accepts next: the acceptors of the rig do nothing themselves, so that the test speaks for the
 * present one and for the one that is prepared. */
#include "common/base.h"
#include "common/chan.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <signal.h>
#include <string.h>

#define ID 0x1234

static struct rig rig;

/* The acceptor that has the baton while rig speaks for the next one. */
static struct {
	int link;
	pid_t pid;
} present;

static char *one_service(void)
{
	static char text[200];

	snprintf(text, sizeof(text), "[SERVICE=a]\nIMAGE=@SELF@\nENVIRONMENT=MODE=wait\nMIN_PROCS=1\n"
		"PORT=%u\n", rig_free_port());
	return text;
}

static void begin(void)
{
	rig_begin(&rig, one_service());
	rig_order(&rig, (struct link_record){.type = LINK_UP});
}

/* From here on rig is the one that is to be prepared. */
static void renew(void)
{
	struct rig_news news;

	rig_order(&rig, (struct link_record){.type = LINK_RENEW, .id = ID});
	present.link = rig.link;
	present.pid = rig.acceptor;
	rig.link = -1;
	rig_take_acceptor(&rig);
	rig_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_PREPARE);
	assert_int_equal(news.fd_count, 1);
	rig_drop(&news);
}

static void be_present_again(void)
{
	close(rig.link);
	rig.link = present.link;
	rig.acceptor = present.pid;
}

static void expect_result_of(uint64_t id, uint32_t number, const char *part)
{
	struct rig_news news;
	char text[200] = "";

	do {
		rig_patient_next(&rig, &news);
		if (news.r.type != LINK_RESULT)
			rig_drop(&news);
	} while (news.r.type != LINK_RESULT);
	assert_int_equal(news.r.id, id);
	assert_int_equal(news.r.number, number);
	assert_int_equal(news.fd_count, 1);
	assert_true(pread(news.fds[0], text, sizeof(text) - 1, 0) > 0);
	if (!strstr(text, part))
		fail_msg("'%s' is not in '%s'", part, text);
	rig_drop(&news);
}

static void expect_result(uint32_t number, const char *part)
{
	expect_result_of(ID, number, part);
}

static void say_prepared(void)
{
	rig_order(&rig, (struct link_record){.type = LINK_PREPARED});
}

static void expect_everything(uint32_t number)
{
	struct rig_news news;

	rig_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_HELLO);
	assert_int_equal(news.r.number, number);
	rig_drop(&news);
	rig_await(&rig, LINK_LISTENER, &news);
	rig_drop(&news);
	rig_await(&rig, LINK_GO, &news);
}

static void the_next_is_ready_before_the_present_one_ends_and_then_told_everything(void **state)
{
	OWNS_MEM char *output = NULL;

	begin();
	renew();
	assert_int_equal(kill(present.pid, 0), 0);
	say_prepared();
	assert_true(testing_is_dead(present.pid));
	close(present.link);
	expect_everything(2);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	expect_result(0, "a new acceptor accepts");
	rig_await_output(&rig, "acceptor.replaced");
	output = rig_read(rig.output);
	assert_null(strstr(output, "acceptor.exit"));
	rig_stop(&rig);
}

static void one_that_dies_before_it_is_ready_leaves_the_present_one_alone(void **state)
{
	pid_t failed;

	begin();
	renew();
	failed = rig.acceptor;
	assert_int_equal(kill(failed, SIGKILL), 0);
	be_present_again();
	expect_result(1, "signal:KILL");
	assert_true(testing_is_dead(failed));
	assert_int_equal(kill(rig.acceptor, 0), 0);
	rig_stop(&rig);
}

static void one_that_cannot_even_start_leaves_the_present_one_alone(void **state)
{
	begin();
	base_close(&rig.rendezvous); /* its image exits with 1 */
	rig_order(&rig, (struct link_record){.type = LINK_RENEW, .id = ID});
	expect_result(1, "exit:1");
	assert_int_equal(kill(rig.acceptor, 0), 0);
	rig_stop(&rig);
}

static void one_that_says_nothing_is_given_up_after_five_seconds(void **state)
{
	pid_t failed;

	begin();
	renew();
	failed = rig.acceptor;
	be_present_again();
	expect_result(1, "within 5 s");
	assert_true(testing_is_dead(failed));
	assert_int_equal(kill(rig.acceptor, 0), 0);
	rig_stop(&rig);
}

static void one_that_talks_nonsense_is_given_up(void **state)
{
	begin();
	renew();
	rig_order(&rig, (struct link_record){.type = LINK_RUN});
	be_present_again();
	expect_result(1, "does not understand");
	rig_stop(&rig);
}

static void only_one_is_prepared_at_a_time(void **state)
{
	int next;

	begin();
	renew();
	next = rig.link;
	rig.link = present.link;
	rig_order(&rig, (struct link_record){.type = LINK_RENEW, .id = 1 + ID});
	expect_result_of(1 + ID, 1, "already");
	rig.link = next;
	say_prepared();
	assert_true(testing_is_dead(present.pid));
	close(present.link);
	expect_everything(2);
	rig_stop(&rig);
}

static void another_is_not_prepared_before_the_last_one_accepts(void **state)
{
	begin();
	renew();
	say_prepared();
	assert_true(testing_is_dead(present.pid));
	close(present.link);
	expect_everything(2);
	rig_order(&rig, (struct link_record){.type = LINK_RENEW, .id = 1 + ID});
	expect_result_of(1 + ID, 1, "already");
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	expect_result(0, "a new acceptor accepts");
	rig_stop(&rig);
}

static void none_is_prepared_while_an_upgrade_is_under_way(void **state)
{
	begin();
	rig_order(&rig, (struct link_record){.type = LINK_UPGRADE, .id = 1 + ID}); /* its probe waits */
	rig_order(&rig, (struct link_record){.type = LINK_RENEW, .id = ID});
	expect_result(1, "an upgrade is under way");
	rig_stop(&rig);
}

static void one_that_is_prepared_when_everything_ends_is_said_to_have_failed(void **state)
{
	pid_t prepared;

	begin();
	renew();
	prepared = rig.acceptor;
	be_present_again();
	rig_order(&rig, (struct link_record){.type = LINK_SHUTDOWN, .number = 1});
	expect_result(1, "every acceptor ends");
	assert_int_equal(rig_end(&rig), 0);
	assert_true(testing_is_dead(prepared));
}

/* A stopped process is not ended by TERM: the switch takes its second. */
static void one_that_dies_during_the_switch_is_replaced_as_any_other(void **state)
{
	char path[64];

	begin();
	renew();
	snprintf(path, sizeof(path), "/proc/%d/status", present.pid);
	assert_int_equal(kill(present.pid, SIGSTOP), 0);
	testing_await_text(path, "State:\tT");
	say_prepared();
	testing_await_text(path, "ShdPnd:\t0000000000004000");
	assert_int_equal(kill(rig.acceptor, SIGKILL), 0);
	assert_true(testing_is_dead(present.pid));
	close(present.link);
	rig_take_acceptor(&rig);
	expect_everything(2);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	expect_result(0, "a new acceptor accepts");
	rig_stop(&rig);
}

static void a_present_one_that_dies_meanwhile_is_replaced_at_once(void **state)
{
	begin();
	renew();
	be_present_again(); /* the one that is prepared stays silent */
	assert_int_equal(kill(rig.acceptor, SIGKILL), 0);
	rig_take_acceptor(&rig);
	expect_everything(2);
	rig_stop(&rig);
}

int main(int argc, char **argv)
{
	int status = rig_role(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_is_ready_before_the_present_one_ends_and_then_told_everything),
		cmocka_unit_test(one_that_dies_before_it_is_ready_leaves_the_present_one_alone),
		cmocka_unit_test(one_that_cannot_even_start_leaves_the_present_one_alone),
		cmocka_unit_test(one_that_says_nothing_is_given_up_after_five_seconds),
		cmocka_unit_test(one_that_talks_nonsense_is_given_up),
		cmocka_unit_test(only_one_is_prepared_at_a_time),
		cmocka_unit_test(another_is_not_prepared_before_the_last_one_accepts),
		cmocka_unit_test(none_is_prepared_while_an_upgrade_is_under_way),
		cmocka_unit_test(one_that_is_prepared_when_everything_ends_is_said_to_have_failed),
		cmocka_unit_test(one_that_dies_during_the_switch_is_replaced_as_any_other),
		cmocka_unit_test(a_present_one_that_dies_meanwhile_is_replaced_at_once),
	};

	if (argc > 1 && strcmp(argv[1], "--role=probe") == 0)
		return pause(); /* until it is killed */
	return status >= 0 ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
