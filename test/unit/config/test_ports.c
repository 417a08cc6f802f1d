/* Where a service listens. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <string.h>
#include <sys/un.h>

/* A service with these lines; its listeners as one text. */
static const char *listeners(void **state, const char *lines)
{
	static char joined[1024];
	char text[1024];
	struct world *w;
	const struct service_settings *svc;

	snprintf(text, sizeof(text), "[SERVICE=A]\nIMAGE=/bin/true\n%s\n", lines);
	w = world_load(state, text);
	if (w->result)
		return w->told;
	svc = settings_service(w->s, 0);
	joined[0] = '\0';
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		sprintf(joined + strlen(joined), "%.100s ",
			settings_text(w->s, settings_listeners(w->s, svc)[i].name));
	return joined;
}

static void a_bare_number_listens_on_all_of_ipv4_and_ipv6(void **state)
{
	assert_string_equal(listeners(state, "PORT=7007"), "0.0.0.0:7007 [::]:7007 ");
	assert_string_equal(listeners(state, "PORT=*:7007"), "0.0.0.0:7007 [::]:7007 ");
	assert_string_equal(listeners(state, "tcp_ports=16%1b5f"), "0.0.0.0:7007 [::]:7007 ");
}

static void a_bare_number_listens_on_each_interface_address(void **state)
{
	assert_string_equal(
		listeners(state,
			"INTERFACE_ADDRESS=127.0.0.1 ::1\nINTERFACE_ADDRESS=192.0.2.1\nPORT=1,2"),
		"127.0.0.1:1 [::1]:1 192.0.2.1:1 127.0.0.1:2 [::1]:2 192.0.2.1:2 ");
	assert_string_equal(listeners(state, "INTERFACE_ADDRESS=\nPORT=1"), "0.0.0.0:1 [::]:1 ");
	assert_string_equal(
		listeners(state, "INTERFACE_ADDRESS=192.0.2.1\nPORT=127.0.0.1:1"), "127.0.0.1:1 ");
}

static void ports_have_every_form_of_the_manual(void **state)
{
	static const char *const cases[][2] = {{"smtp", "0.0.0.0:25 [::]:25 "},
		{"127.0.0.1:8891", "127.0.0.1:8891 "}, {"127.0.0.1:smtp", "127.0.0.1:25 "},
		{"[::1]:25", "[::1]:25 "}, {"[::ffff:127.0.0.1]:25", "127.0.0.1:25 "},
		{"inet:8891@127.0.0.1", "127.0.0.1:8891 "},
		{"inet:8891@localhost", "127.0.0.1:8891 "}, {"INET6:8891@[::1]", "[::1]:8891 "},
		{"inet6:8891@::1", "[::1]:8891 "}, {"inet:8891", "0.0.0.0:8891 "},
		{"inet6:8891", "[::]:8891 "}, {"unix:/run/x", "unix:/run/x "},
		{"Local:/run/x", "unix:/run/x "},
		{"1, 127.0.0.1:2	[::1]:3,,", "0.0.0.0:1 [::]:1 127.0.0.1:2 [::1]:3 "}};
	char line[128];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(line, sizeof(line), "PORT=%s", cases[i][0]);
		assert_string_equal(listeners(state, line), cases[i][1]);
	}
}

static void a_unix_listener_keeps_its_path(void **state)
{
	struct world *w = *state;
	const struct settings_listener *l;

	listeners(state, "PORT=unix:PMDF_TABLE:sock");
	l = settings_listeners(w->s, settings_service(w->s, 0));
	assert_int_equal(l->addr.family, AF_UNIX);
	assert_non_null(strstr(settings_text(w->s, l->path), "/config-test-"));
	assert_string_equal(strrchr(settings_text(w->s, l->path), '/'), "/sock");
	assert_string_equal(settings_text(w->s, l->where), "main.cnf:3");
}

static void what_is_no_port_is_told_with_a_reason(void **state)
{
	static const char *const cases[][2] = {{"65536", "65536: ports go from 1 to 65535"},
		{"99999999999999999999", "99999999999999999999: ports go from 1 to 65535"},
		{"nosuchservice", "nosuchservice: neither a number nor a service in /etc/services"},
		{"::1:25", "::1:25: an IPv6 address needs brackets: [::1]:25"},
		{"127.0.0.1:", "127.0.0.1:: neither a number nor a service in /etc/services"},
		{"127.0.0.1:0", "127.0.0.1:0: ports go from 1 to 65535"},
		{":25", ":25: no host stands before the colon"},
		{"inet:@host", "inet:@host: neither a number nor a service in /etc/services"},
		{"inet:0@127.0.0.1", "inet:0@127.0.0.1: ports go from 1 to 65535"},
		{"inet:25@::1", "::1 is no IPv4 address"},
		{"inet6:25@127.0.0.1", "127.0.0.1 is no IPv6 address"},
		{"unix:", "unix:: no path stands behind the colon"}};
	char line[128], wanted[256];

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(line, sizeof(line), "PORT=%s", cases[i][0]);
		snprintf(wanted, sizeof(wanted), "E main.cnf:3: PORT: %s\n", cases[i][1]);
		assert_string_equal(listeners(state, line), wanted);
	}
}

static void the_path_of_a_unix_socket_must_be_full_and_short(void **state)
{
	char line[256] = "PORT=unix:/";
	struct world *w = *state;

	assert_non_null(strstr(listeners(state, "PORT=unix:run/x"), "is no full path"));
	memset(line + strlen(line), 'x', 107);
	assert_non_null(
		strstr(listeners(state, line), "the path of a unix socket has at most 107 bytes"));
	line[strlen(line) - 1] = '\0';
	listeners(state, line);
	assert_string_equal(w->told, "");
}

static void a_host_without_an_address_is_told(void **state)
{
	char line[128] = "PORT=";

	/* A label of 64 letters: no name server is asked for it. */
	memset(line + strlen(line), 'x', 64);
	strcat(line, ":25");
	assert_non_null(strstr(listeners(state, line), "xxx has no address here: "));
}

static void an_interface_that_is_wrong_is_told_at_its_own_line(void **state)
{
	char lines[128] = "INTERFACE_ADDRESS=";

	memset(lines + strlen(lines), 'x', 64);
	strcat(lines, "\nPORT=25");
	assert_non_null(strstr(listeners(state, lines), "E main.cnf:3: INTERFACE_ADDRESS: xxxx"));
}

static void port_0_disables_the_service(void **state)
{
	struct world *w = *state;

	assert_string_equal(listeners(state, "PORT=0"), "");
	assert_int_equal(settings_service(w->s, 0)->enabled, 0);
	assert_string_equal(listeners(state, "PORT=0, 25"),
		"E main.cnf:3: PORT is 0, which disables the service, and it names ports as well; take one out, or "
		"write ENABLE=0\n");
}

static void an_empty_port_is_told(void **state)
{
	assert_string_equal(listeners(state, "PORT="),
		"E main.cnf:3: PORT has no value; write PORT=25, or 0 for none\n");
}

static void the_same_address_twice_in_a_service_is_told_with_both_lines(void **state)
{
	assert_string_equal(listeners(state, "PORT=127.0.0.1:25\nPORT=inet:25@127.0.0.1"),
		"E main.cnf:4: 127.0.0.1:25 is already listened on by main.cnf:3; one of the two "
		"must go\n");
	assert_string_equal(listeners(state, "PORT=unix:/x,local:/x"),
		"E main.cnf:3: unix:/x is already listened on by main.cnf:3; one of the two must "
		"go\n");
}

static void a_wildcard_collides_with_every_address_of_its_family(void **state)
{
	assert_string_equal(listeners(state, "PORT=25\nPORT=[::1]:25"),
		"E main.cnf:4: [::1]:25 is already listened on by main.cnf:3; one of the two must "
		"go\n");
	assert_string_equal(listeners(state, "PORT=127.0.0.1:25\nPORT=inet:25"),
		"E main.cnf:4: 0.0.0.0:25 is already listened on by main.cnf:3; one of the two "
		"must go\n");
	assert_string_equal(listeners(state, "PORT=inet:25,[::1]:25"), "0.0.0.0:25 [::1]:25 ");
	assert_string_equal(
		listeners(state, "PORT=127.0.0.1:25,127.0.0.2:25"), "127.0.0.1:25 127.0.0.2:25 ");
}

static void two_services_may_not_share_an_address(void **state)
{
	assert_string_equal(
		world_refused(state, SERVICE "[SERVICE=B]\nIMAGE=/bin/true\nPORT=127.0.0.1:7007\n"),
		"E main.cnf:6: 127.0.0.1:7007 is already listened on by main.cnf:2; one of the two "
		"must go\n");
}

static void a_disabled_service_leaves_its_addresses_to_others(void **state)
{
	world_service(state, SERVICE "ENABLE=0\n[SERVICE=B]\nIMAGE=/bin/true\nPORT=7007\n");
	world_service(state, SERVICE "[SERVICE=B]\nIMAGE=/bin/true\nPORT=7007\nENABLE=0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_bare_number_listens_on_all_of_ipv4_and_ipv6),
		world_test(a_bare_number_listens_on_each_interface_address),
		world_test(ports_have_every_form_of_the_manual),
		world_test(a_unix_listener_keeps_its_path),
		world_test(what_is_no_port_is_told_with_a_reason),
		world_test(the_path_of_a_unix_socket_must_be_full_and_short),
		world_test(a_host_without_an_address_is_told),
		world_test(an_interface_that_is_wrong_is_told_at_its_own_line),
		world_test(port_0_disables_the_service),
		world_test(an_empty_port_is_told),
		world_test(the_same_address_twice_in_a_service_is_told_with_both_lines),
		world_test(a_wildcard_collides_with_every_address_of_its_family),
		world_test(two_services_may_not_share_an_address),
		world_test(a_disabled_service_leaves_its_addresses_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
