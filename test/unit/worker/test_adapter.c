/* What the preloaded library knows of descriptors, and the addresses that it shows. */
#include "test/unit/common/check.h"

#include "worker/adapter/address.h"
#include "worker/adapter/fds.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void nothing_is_known_of_descriptors_before_the_table_is_made(void **state)
{
	struct fds f = {.highest = -1};

	fds_set(&f, 3, fd_word(FD_CONN, 0, 1));
	assert_int_equal(fds_get(&f, 3), 0);
	assert_int_equal(fds_take(&f, 3), 0);
}

static void a_word_holds_its_parts(void **state)
{
	uint64_t word = fd_word(FD_CONN, FD_MAPPED, 0xfff00001);

	assert_int_equal(fd_kind(word), FD_CONN);
	assert_int_equal(fd_flags(word), FD_MAPPED);
	assert_int_equal(fd_value(word), 0xfff00001);
}

static void a_word_is_taken_once(void **state)
{
	struct fds f = {.highest = -1};

	assert_int_equal(fds_init(&f), 0);
	fds_set(&f, 7, 42);
	assert_int_equal(fds_get(&f, 7), 42);
	assert_int_equal(fds_take(&f, 7), 42);
	assert_int_equal(fds_take(&f, 7), 0);
}

static void the_next_with_a_word_is_found_and_none_beyond_the_last(void **state)
{
	struct fds f = {.highest = -1};

	assert_int_equal(fds_init(&f), 0);
	assert_int_equal(fds_next(&f, 0), -1);
	fds_set(&f, 5, 1);
	fds_set(&f, 900, 1);
	assert_int_equal(fds_next(&f, 0), 5);
	assert_int_equal(fds_next(&f, 6), 900);
	assert_int_equal(fds_next(&f, 901), -1);
}

static void what_is_beyond_the_table_or_no_descriptor_is_not_known(void **state)
{
	struct fds f = {.highest = -1};

	assert_int_equal(fds_init(&f), 0);
	fds_set(&f, FDS_MAX, 1);
	fds_set(&f, -1, 1);
	assert_int_equal(fds_get(&f, FDS_MAX), 0);
	assert_int_equal(fds_get(&f, -1), 0);
	assert_int_equal(fds_next(&f, 0), -1);
}

static const struct addr client = {.family = AF_INET, .port = 80, .ip = {192, 0, 2, 1}};

static void an_ipv4_client_of_an_ipv6_listener_is_mapped(void **state)
{
	struct sockaddr_storage sa;
	const struct sockaddr_in6 *in6 = (void *)&sa;
	char text[64];

	assert_int_equal(addr_to_sockaddr_for(&client, AF_INET6, &sa), sizeof(*in6));
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_int_equal(ntohs(in6->sin6_port), 80);
	assert_string_equal(
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)), "::ffff:192.0.2.1");
	assert_int_equal(addr_to_sockaddr_for(&client, AF_INET, &sa), sizeof(struct sockaddr_in));
	assert_int_equal(sa.ss_family, AF_INET);
}

static void an_address_that_does_not_fit_is_cut_and_its_length_told(void **state)
{
	struct sockaddr_storage sa;
	struct sockaddr_in in = {0};
	socklen_t len = 4;

	address_put(&sa, addr_to_sockaddr_for(&client, AF_INET, &sa), (struct sockaddr *)&in, &len);
	assert_int_equal(len, sizeof(in));
	assert_int_equal(ntohs(in.sin_port), 80);
	assert_int_equal(in.sin_addr.s_addr, 0);
	address_put(&sa, sizeof(in), NULL, &len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_of_descriptors_before_the_table_is_made),
		cmocka_unit_test(a_word_holds_its_parts),
		cmocka_unit_test(a_word_is_taken_once),
		cmocka_unit_test(the_next_with_a_word_is_found_and_none_beyond_the_last),
		cmocka_unit_test(what_is_beyond_the_table_or_no_descriptor_is_not_known),
		cmocka_unit_test(an_ipv4_client_of_an_ipv6_listener_is_mapped),
		cmocka_unit_test(an_address_that_does_not_fit_is_cut_and_its_length_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
