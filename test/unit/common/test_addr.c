/* Addresses as plain data. */
#include "test/unit/common/check.h"

#include "common/addr.h"
#include "common/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static struct addr addr_of(const char *ip, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(ip, &a), 0);
	a.port = port;
	return a;
}

static void an_address_survives_the_way_through_a_sockaddr(void **state)
{
	static const char *const ips[] = {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "fe80::1%1"};

	for (unsigned i = 0; i < ARRAY_LEN(ips); i++) {
		struct addr before = addr_of(ips[i], 25), after;
		struct sockaddr_storage sa;
		socklen_t len = addr_to_sockaddr(&before, &sa);

		assert_true(len > 0);
		addr_from_sockaddr(&after, (struct sockaddr *)&sa, len);
		assert_true(addr_equal(&before, &after));
	}
}

static void a_mapped_address_is_the_ipv4_address(void **state)
{
	struct addr mapped = addr_of("::ffff:192.0.2.1", 25), plain = addr_of("192.0.2.1", 25);

	assert_int_equal(mapped.family, AF_INET);
	assert_true(addr_equal(&mapped, &plain));
}

static void what_is_no_known_family_is_unknown(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr other = {.sa_family = AF_NETLINK};
	struct addr a;
	char text[ADDR_TEXT_BYTES];

	addr_from_sockaddr(&a, (struct sockaddr *)&un, sizeof(sa_family_t));
	assert_string_equal(addr_format(&a, text), "unix");
	addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in) - 1);
	assert_string_equal(addr_format(&a, text), "unknown");
	addr_from_sockaddr(&a, &other, sizeof(other));
	assert_int_equal(a.family, 0);
	addr_from_sockaddr(&a, &other, 0);
	assert_int_equal(a.family, 0);
}

static void an_unknown_address_makes_no_sockaddr(void **state)
{
	struct addr a = {.family = AF_UNIX};
	struct sockaddr_storage sa;

	assert_int_equal(addr_to_sockaddr(&a, &sa), 0);
}

static void texts_have_brackets_around_ipv6(void **state)
{
	char text[ADDR_TEXT_BYTES];
	struct addr four = addr_of("192.0.2.1", 25), six = addr_of("2001:db8::1", 25);

	assert_string_equal(addr_format(&four, text), "192.0.2.1:25");
	assert_string_equal(addr_format(&six, text), "[2001:db8::1]:25");
	assert_string_equal(addr_format_ip(&six, text), "2001:db8::1");
}

static void names_and_rubbish_are_no_addresses(void **state)
{
	static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.4:25",
		"[::1]", "::1%", "::1%nosuchinterface0", "fe80::1%0",
		":::", "1111111111111111111111111111111111111111111111111111111111111"};
	struct addr a = {.port = 42};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(addr_parse_ip(bad[i], &a), -EINVAL);
	assert_int_equal(a.port, 42);
}

static void the_longest_address_fits_its_text(void **state)
{
	struct addr a = {.family = AF_INET6, .port = UINT16_MAX, .scope = UINT32_MAX};
	char text[ADDR_TEXT_BYTES];

	memset(a.ip, 0xff, sizeof(a.ip));
	assert_string_equal(addr_format(&a, text),
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void a_mask_clears_what_is_behind_the_prefix(void **state)
{
	struct addr a = addr_of("192.0.2.255", 25), wanted = addr_of("192.0.2.240", 0);

	addr_mask(&a, 28);
	assert_true(addr_equal(&a, &wanted));
	addr_mask(&a, 0);
	wanted = addr_of("0.0.0.0", 0);
	assert_true(addr_equal(&a, &wanted));
}

static void a_prefix_holds_the_addresses_that_share_its_bits(void **state)
{
	struct addr net = addr_of("2001:db8::", 0), in = addr_of("2001:db8::ffff", 25);
	struct addr out = addr_of("2001:db9::1", 25), four = addr_of("32.1.13.184", 25);

	assert_true(addr_in_prefix(&in, &net, 32));
	assert_false(addr_in_prefix(&out, &net, 32));
	assert_true(addr_in_prefix(&out, &net, 31));
	assert_false(addr_in_prefix(&four, &net, 32));
	assert_false(addr_in_prefix(&in, &net, 128));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_survives_the_way_through_a_sockaddr),
		cmocka_unit_test(a_mapped_address_is_the_ipv4_address),
		cmocka_unit_test(what_is_no_known_family_is_unknown),
		cmocka_unit_test(an_unknown_address_makes_no_sockaddr),
		cmocka_unit_test(texts_have_brackets_around_ipv6),
		cmocka_unit_test(names_and_rubbish_are_no_addresses),
		cmocka_unit_test(the_longest_address_fits_its_text),
		cmocka_unit_test(a_mask_clears_what_is_behind_the_prefix),
		cmocka_unit_test(a_prefix_holds_the_addresses_that_share_its_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
