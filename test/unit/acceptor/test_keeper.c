/* What a keeper finds in hand, whatever moment its acceptor was killed at. The test is both of them: it
 * leaves the hand as the acceptor would, and reads the park channel as the next acceptor does. */
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/hand.h"
#include "dispatcher/acceptor/keeper.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct hand *hand;
static int park;

static int set_up(void **state)
{
	int ends[2];

	hand = hand_new();
	assert_non_null(hand);
	assert_int_equal(chan_pair(ends), 0);
	hand->park = ends[0];
	park = ends[1];
	hand->service_count = 2;
	strcpy(hand->services[0].name, "one");
	strcpy(hand->services[1].name, "two");
	return 0;
}

static int tear_down(void **state)
{
	if (hand->park)
		close(hand->park);
	close(park);
	return 0;
}

static bool same_socket(int a, int b)
{
	uint64_t ca = 0, cb = 1;
	socklen_t len = sizeof(ca);

	getsockopt(a, SOL_SOCKET, SO_COOKIE, &ca, &len);
	getsockopt(b, SOL_SOCKET, SO_COOKIE, &cb, &len);
	return ca == cb;
}

static int next(struct park_record *ret_record, int fds[CHAN_MAX_FDS], unsigned *ret_count)
{
	size_t len = 0;

	return chan_recv(park, ret_record, sizeof(*ret_record), &len, fds, CHAN_MAX_FDS, ret_count);
}

static void expect_no_more(void)
{
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count;

	assert_int_equal(next(&r, fds, &count), CHAN_EMPTY);
}

/* A listening socket and the accepted end of a connection to it. */
struct met {
	int listener, client, accepted;
};

static struct met meet(const struct sockaddr *sa, socklen_t len)
{
	struct met m = {.listener = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.client = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct sockaddr_storage at;
	socklen_t at_len = sizeof(at);

	assert_int_equal(bind(m.listener, sa, len), 0);
	assert_int_equal(listen(m.listener, 8), 0);
	assert_int_equal(getsockname(m.listener, (struct sockaddr *)&at, &at_len), 0);
	assert_int_equal(connect(m.client, (struct sockaddr *)&at, at_len), 0);
	m.accepted = accept4(m.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(m.accepted >= 0);
	return m;
}

static struct met meet_tcp(in_addr_t address)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

	return meet((struct sockaddr *)&sa, sizeof(sa));
}

static void part(struct met *m)
{
	close(m->listener);
	close(m->client);
	close(m->accepted);
}

static void expect_unentered(const struct met *m)
{
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count;

	assert_int_equal(next(&r, fds, &count), 0);
	assert_string_equal(r.service, "two");
	assert_int_equal(r.count, 1);
	assert_int_equal(r.entries[0].conn, HAND_NO_CONN);
	assert_int_equal(count, 1);
	assert_true(same_socket(fds[0], m->accepted));
	close(fds[0]);
	expect_no_more();
}

static void nothing_is_parked_of_empty_hands(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);

	keeper_rescue(hand);
	expect_no_more();
	part(&m);
}

static void what_is_in_hand_is_parked_by_service_with_its_slot(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count;

	hand_put(&hand->services[1], 9, m.accepted, 77);
	keeper_rescue(hand);
	assert_int_equal(next(&r, fds, &count), 0);
	assert_string_equal(r.service, "two");
	assert_int_equal(r.count, 1);
	assert_int_equal(r.entries[0].conn, 77);
	assert_int_equal(r.entries[0].has_fd, 1);
	assert_int_equal(r.entries[0].offering, 0);
	assert_true(count == 1 && same_socket(fds[0], m.accepted));
	close(fds[0]);
	expect_no_more();
	part(&m);
}

static void an_accepted_socket_that_stands_nowhere_is_found(void **state)
{
	const in_addr_t addresses[] = {INADDR_LOOPBACK, INADDR_ANY};

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct met other = meet_tcp(INADDR_LOOPBACK), m = meet_tcp(addresses[i]);

		hand_accepts(hand, 1, m.listener);
		keeper_rescue(hand);
		expect_unentered(&m);
		part(&other);
		part(&m);
	}
}

static void a_unix_socket_that_stands_nowhere_is_found(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "\0test-keeper-one"},
		other = {.sun_family = AF_UNIX, .sun_path = "\0test-keeper-other"};
	struct met stranger = meet((struct sockaddr *)&other, sizeof(other));
	struct met m = meet((struct sockaddr *)&sa, sizeof(sa));

	hand_accepts(hand, 1, m.listener);
	keeper_rescue(hand);
	expect_unentered(&m);
	part(&stranger);
	part(&m);
}

static void one_that_is_in_hand_is_not_taken_for_one_that_stands_nowhere(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count;

	hand_accepts(hand, 1, m.listener);
	hand_put(&hand->services[1], 0, m.accepted, 5);
	keeper_rescue(hand);
	assert_int_equal(next(&r, fds, &count), 0);
	assert_int_equal(r.entries[0].conn, 5);
	close(fds[0]);
	expect_no_more();
	part(&m);
}

static void one_that_was_refused_is_nobodys_and_does_not_hide_the_one_just_accepted(void **state)
{
	struct met refused = meet_tcp(INADDR_LOOPBACK), m;

	hand->ending[7] = refused.accepted;
	hand_accepts(hand, 1, refused.listener);
	keeper_rescue(hand);
	expect_no_more();
	m = meet_tcp(INADDR_LOOPBACK);
	hand_accepts(hand, 1, m.listener);
	keeper_rescue(hand);
	expect_unentered(&m);
	part(&m);
	part(&refused);
}

/* One copy is closed, the other not yet: the next acceptor must know that both were offered. */
static void an_offer_that_was_cut_short_is_parked_whole_with_what_was_counted_before(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);
	int gone = fcntl(m.accepted, F_DUPFD_CLOEXEC, 0), fds[CHAN_MAX_FDS];
	struct park_record r;
	unsigned count;

	hand_put(&hand->services[1], 0, gone, 5);
	hand_put(&hand->services[1], 1, m.accepted, 6);
	hand_put(&hand->services[1], 8, m.accepted, 7); /* of the stash, not of this offer */
	hand_offers(&hand->services[1], 1000, BIT(0) | BIT(1));
	close(gone);
	hand_drop(&hand->services[1], 0);
	keeper_rescue(hand);
	assert_int_equal(next(&r, fds, &count), 0);
	assert_int_equal(r.handed, 1000);
	assert_int_equal(r.count, 2);
	assert_true(r.entries[0].conn == 5 && !r.entries[0].has_fd && r.entries[0].offering);
	assert_true(r.entries[1].conn == 6 && r.entries[1].has_fd && r.entries[1].offering);
	assert_int_equal(count, 1);
	close(fds[0]);
	assert_int_equal(next(&r, fds, &count), 0);
	assert_true(r.count == 1 && r.entries[0].conn == 7 && !r.entries[0].offering);
	close(fds[0]);
	expect_no_more();
	part(&m);
}

static void full_hands_are_parked_in_several_records(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);
	struct park_record r;
	int fds[CHAN_MAX_FDS];
	unsigned count, sum = 0;

	for (unsigned i = 0; i < HAND_PLACES; i++)
		hand_put(&hand->services[0], i, m.accepted, i);
	keeper_rescue(hand);
	while (!next(&r, fds, &count)) {
		assert_int_equal(r.count, count);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(r.entries[i].conn, sum + i);
		sum += count;
		while (count)
			close(fds[--count]);
	}
	assert_int_equal(sum, HAND_PLACES);
	part(&m);
}

static void nowhere_to_park_is_no_disaster(void **state)
{
	struct met m = meet_tcp(INADDR_LOOPBACK);

	close(hand->park);
	hand->park = 0;
	hand_put(&hand->services[0], 0, m.accepted, 1);
	keeper_rescue(hand);
	part(&m);
}

static void do_nothing(void *user)
{
}

/* The whole of it: a process with a keeper is killed with a connection in hand. */
static void a_keeper_parks_when_its_process_is_killed_and_ends(void **state)
{
	struct pollfd p = {.fd = park, .events = POLLIN};
	struct park_record r;
	int fds[CHAN_MAX_FDS], life[2];
	unsigned count;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(life), 0);
	pid = fork();
	if (!pid) {
		struct met m;

		close(life[0]);
		if (keeper_start(hand, do_nothing, NULL))
			_exit(1);
		m = meet_tcp(INADDR_LOOPBACK);
		hand_accepts(hand, 1, m.listener);
		kill(getpid(), SIGKILL);
	}
	close(life[1]);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(next(&r, fds, &count), 0);
	assert_true(r.count == 1 && count == 1 && r.entries[0].conn == HAND_NO_CONN);
	assert_int_equal(read(life[0], &byte, 1), 0); /* nobody holds the other end any more */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fds[0]);
	close(life[0]);
}

#define HAND_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HAND_TEST(nothing_is_parked_of_empty_hands),
		HAND_TEST(what_is_in_hand_is_parked_by_service_with_its_slot),
		HAND_TEST(an_accepted_socket_that_stands_nowhere_is_found),
		HAND_TEST(a_unix_socket_that_stands_nowhere_is_found),
		HAND_TEST(one_that_is_in_hand_is_not_taken_for_one_that_stands_nowhere),
		HAND_TEST(one_that_was_refused_is_nobodys_and_does_not_hide_the_one_just_accepted),
		HAND_TEST(an_offer_that_was_cut_short_is_parked_whole_with_what_was_counted_before),
		HAND_TEST(full_hands_are_parked_in_several_records),
		HAND_TEST(nowhere_to_park_is_no_disaster),
		HAND_TEST(a_keeper_parks_when_its_process_is_killed_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
