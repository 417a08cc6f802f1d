/* What the environment says about a service manager, and the line that it is told. */
#include "common/base.h"
#include "dispatcher/supervisor/notify.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <string.h>

static void a_path_or_a_name_behind_an_at_sign_is_an_address(void **state)
{
	struct sockaddr_un sa;
	socklen_t len;

	assert_int_equal(notify_address("/run/notify", &sa, &len), 0);
	assert_string_equal(sa.sun_path, "/run/notify");
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + strlen("/run/notify") + 1);
	assert_int_equal(notify_address("@name", &sa, &len), 0);
	assert_memory_equal(sa.sun_path, "\0name", 5);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 5);
}

static void anything_else_is_none(void **state)
{
	char longest[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct sockaddr_un sa;
	socklen_t len;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(notify_address("", &sa, &len), -EINVAL);
	assert_int_equal(notify_address("/", &sa, &len), -EINVAL);
	assert_int_equal(notify_address("@", &sa, &len), -EINVAL);
	assert_int_equal(notify_address("relative", &sa, &len), -EINVAL);
	assert_int_equal(notify_address("vsock:2:1234", &sa, &len), -EINVAL);
	assert_int_equal(notify_address(longest, &sa, &len), -EINVAL);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(notify_address(longest, &sa, &len), 0);
}

static void a_watchdog_is_ours_unless_it_names_another(void **state)
{
	assert_int_equal(notify_watchdog_ms(42, "3000000", NULL), 3000);
	assert_int_equal(notify_watchdog_ms(42, "3000000", "42"), 3000);
	assert_int_equal(notify_watchdog_ms(42, "3000000", "43"), 0);
	assert_int_equal(notify_watchdog_ms(42, "3000000", "x"), 0);
	assert_int_equal(notify_watchdog_ms(42, NULL, "42"), 0);
	assert_int_equal(notify_watchdog_ms(42, "0", "42"), 0);
	assert_int_equal(notify_watchdog_ms(42, "soon", "42"), 0);
	assert_int_equal(notify_watchdog_ms(42, "1", NULL), 1);
}

static void check(const struct notify_facts *f, const char *expected)
{
	char text[NOTIFY_STATUS_BYTES];

	assert_string_equal(notify_status(f, text), expected);
}

static void the_line_says_what_runs_and_first_what_is_wrong(void **state)
{
	struct notify_facts f = {.accepts = true,
		.succeeds = true,
		.services = 4,
		.in_state = {[LINK_OPEN] = 3},
		.workers = 12,
		.connections = 340};

	check(&f, "3 services open, 12 workers, 340 connections");
	f.in_state[LINK_OPEN] = 1;
	f.workers = f.connections = 1;
	check(&f, "1 service open, 1 worker, 1 connection");
	f.in_state[LINK_FAILED] = 1;
	f.failed = "smtp";
	f.why = "0.0.0.0:25: Address already in use";
	check(&f, "smtp failed (0.0.0.0:25: Address already in use); 1 service open, 1 worker, "
		  "1 connection");
	f.in_state[LINK_FAILED] = 2;
	check(&f, "2 services failed, as smtp (0.0.0.0:25: Address already in use); 1 service open, "
		  "1 worker, 1 connection");
	f.in_state[LINK_FAILED] = 0;
	f.accepts = false;
	check(&f, "no acceptor, one is being started: 1 service open, 1 worker, 1 connection");
	f.ends = true;
	f.in_state[LINK_CLOSING] = 2;
	check(&f, "shutting down: 1 service open, 2 closing, 1 worker, 1 connection");
}

static void a_reason_of_several_lines_stays_one(void **state)
{
	struct notify_facts f = {.accepts = true,
		.succeeds = true,
		.in_state = {[LINK_FAILED] = 1},
		.failed = "smtp",
		.why = "one\nREADY=1"};
	char text[NOTIFY_STATUS_BYTES];

	assert_null(strchr(notify_status(&f, text), '\n'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_or_a_name_behind_an_at_sign_is_an_address),
		cmocka_unit_test(anything_else_is_none),
		cmocka_unit_test(a_watchdog_is_ours_unless_it_names_another),
		cmocka_unit_test(the_line_says_what_runs_and_first_what_is_wrong),
		cmocka_unit_test(a_reason_of_several_lines_stays_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
