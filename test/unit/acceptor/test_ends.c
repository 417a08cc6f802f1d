/* From a socket to its connection slot by its cookie, and what the kernel says of sockets. */
#include "common/base.h"
#include "dispatcher/acceptor/cookies.h"
#include "dispatcher/acceptor/sockdiag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SLOTS 100

static struct ledger_conn table[SLOTS];
static struct conns conns;
static struct cookies cookies;

static int fresh(void **state)
{
	memset(table, 0, sizeof(table));
	conns_init(&conns, table, SLOTS);
	return cookies_init(&cookies, &conns);
}

static int end(void **state)
{
	free(cookies.heads);
	return 0;
}

static uint32_t open_one(uint64_t cookie)
{
	uint32_t slot = conns_open(&conns);

	table[slot].phase = LEDGER_OPEN;
	cookies_enter(&cookies, &conns, slot, cookie);
	return slot;
}

static void an_open_connection_is_found_and_a_closed_one_is_not(void **state)
{
	uint32_t slot = open_one(7);

	assert_int_equal(cookies_find(&cookies, &conns, 7), slot);
	assert_int_equal(cookies_find(&cookies, &conns, 7 + 128), CONNS_NONE);
	conns_close(&conns, slot);
	assert_int_equal(cookies_find(&cookies, &conns, 7), CONNS_NONE);
}

static void a_slot_that_is_used_again_is_found_by_its_new_cookie_only(void **state)
{
	for (uint64_t cookie = 1; cookie < 10000; cookie++) {
		uint32_t slot = open_one(cookie);

		assert_int_equal(cookies_find(&cookies, &conns, cookie), slot);
		assert_int_equal(cookies_find(&cookies, &conns, cookie - 1), CONNS_NONE);
		conns_close(&conns, slot);
	}
}

static void all_of_one_chain_are_found(void **state)
{
	uint32_t slots[SLOTS];

	for (uint32_t i = 0; i < SLOTS; i++)
		slots[i] = open_one(5 + 128 * (uint64_t)i);
	for (uint32_t i = 0; i < SLOTS; i += 2)
		conns_close(&conns, slots[i]);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(cookies_find(&cookies, &conns, 5 + 128 * (uint64_t)i),
			i % 2 ? slots[i] : CONNS_NONE);
}

static void a_new_acceptor_finds_what_is_open(void **state)
{
	uint32_t slot = open_one(42), gone = open_one(43);
	struct cookies again;

	conns_close(&conns, gone);
	assert_int_equal(cookies_init(&again, &conns), 0);
	assert_int_equal(cookies_find(&again, &conns, 42), slot);
	assert_int_equal(cookies_find(&again, &conns, 43), CONNS_NONE);
	free(again.heads);
}

/* --- the kernel --- */

struct pair {
	int server, client;
	uint64_t cookie;
	uint16_t port;
};

static struct pair connect_pair(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa), cookie_len = sizeof(uint64_t);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p = {.client = socket(AF_INET, SOCK_STREAM, 0)};

	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&sa, &len);
	assert_int_equal(connect(p.client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	p.server = accept(listener, NULL, NULL);
	p.port = ntohs(sa.sin_port);
	getsockopt(p.server, SOL_SOCKET, SO_COOKIE, &p.cookie, &cookie_len);
	close(listener);
	return p;
}

/* Hears until then; who asks for 0 waits for nobody. The end of the listener comes, too, when the kernel finds
 * the time for it. */
static bool hears(int fd, uint64_t until, uint64_t other)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t got = 0;

	while (poll(&p, 1, until ? 2000 : 0) == 1)
		while (sockdiag_next_end(fd, &got) == 1) {
			assert_true(got != other);
			if (got == until)
				return true;
		}
	return false;
}

static void the_end_of_a_socket_is_heard_once_nobody_has_it(void **state)
{
	struct sockdiag_ports ports = {0};
	struct pair p = connect_pair();
	int fd, other;

	sockdiag_add_port(&ports, p.port);
	fd = sockdiag_open_ends(&ports);
	assert_true(fd >= 0);
	other = dup(p.server);
	close(p.server);
	close(p.client);
	assert_false(hears(fd, 0, p.cookie));
	close(other);
	assert_true(hears(fd, p.cookie, 0));
	close(fd);
}

static void the_ends_of_other_ports_are_not_heard(void **state)
{
	struct pair ours = connect_pair(), other = connect_pair();
	struct sockdiag_ports ports = {0};
	int fd;

	sockdiag_add_port(&ports, ours.port);
	fd = sockdiag_open_ends(&ports);
	close(other.client);
	close(other.server);
	close(ours.client);
	close(ours.server);
	assert_true(hears(fd, ours.cookie, other.cookie));
	close(fd);
}

static struct sockdiag_socket seen;
static struct pair looked_for;

static void see(void *user, const struct sockdiag_socket *one)
{
	if (one->cookie == looked_for.cookie)
		seen = *one;
}

static void who_asks_is_told_of_open_sockets_and_what_waits_in_them(void **state)
{
	struct sockdiag_ports ports = {0};
	int fd = sockdiag_open();

	looked_for = connect_pair();
	sockdiag_add_port(&ports, looked_for.port);
	assert_int_equal(write(looked_for.client, "hello", 5), 5);
	assert_int_equal(sockdiag_each(fd, &ports, see, NULL), 0);
	assert_true(seen.is_open);
	assert_int_equal(seen.unread_bytes, 5);
	close(looked_for.server);
	seen = (struct sockdiag_socket){0};
	assert_int_equal(sockdiag_each(fd, &ports, see, NULL), 0);
	assert_false(seen.is_open);
	close(looked_for.client);
	close(fd);
}

static void a_port_is_added_once(void **state)
{
	struct sockdiag_ports ports = {0};

	for (int i = 0; i < 5000; i++)
		sockdiag_add_port(&ports, (uint16_t)(i % 1000));
	assert_int_equal(ports.count, SOCKDIAG_PORTS);
	for (unsigned i = 0; i < ports.count; i++)
		assert_int_equal(ports.list[i], i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_open_connection_is_found_and_a_closed_one_is_not, fresh, end),
		cmocka_unit_test_setup_teardown(a_slot_that_is_used_again_is_found_by_its_new_cookie_only,
			fresh, end),
		cmocka_unit_test_setup_teardown(all_of_one_chain_are_found, fresh, end),
		cmocka_unit_test_setup_teardown(a_new_acceptor_finds_what_is_open, fresh, end),
		cmocka_unit_test(the_end_of_a_socket_is_heard_once_nobody_has_it),
		cmocka_unit_test(the_ends_of_other_ports_are_not_heard),
		cmocka_unit_test(who_asks_is_told_of_open_sockets_and_what_waits_in_them),
		cmocka_unit_test(a_port_is_added_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
