/* Offers for a server whose calls are answered: who gets which, and what becomes of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base.h"
#include "common/chan.h"
#include "worker/notify/inlet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define BOTH UINT64_C(3)

struct world {
	int ours, theirs; /* ends of the channel */
	struct inlet in;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int ends[2];

	if (!w || chan_pair(ends))
		return -1;
	w->ours = ends[0];
	w->theirs = ends[1];
	w->in.channel = ends[1];
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	inlet_deinit(&w->in);
	base_close(&w->ours);
	base_close(&w->theirs);
	free(w);
	return 0;
}

/* Sends an offer with so many sockets (one is right). */
static void send_offer(struct world *w, uint32_t tag, uint32_t listener, unsigned sockets)
{
	struct msg_conn conn = {.slot = tag, .listener = listener, .peer.family = AF_INET};
	int fds[2] = {STDERR_FILENO, STDERR_FILENO};
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer writer;

	msg_begin(&writer, buf, sizeof(buf), MSG_OFFER);
	msg_put_conn(&writer, &conn);
	assert_int_equal(chan_send(w->ours, buf, (size_t)msg_end(&writer), fds, sockets), 0);
}

static void send_ping(struct world *w)
{
	struct msg_writer writer;
	uint8_t buf[64];

	msg_begin(&writer, buf, sizeof(buf), MSG_PING);
	assert_int_equal(chan_send(w->ours, buf, (size_t)msg_end(&writer), NULL, 0), 0);
}

/* The tag of what is taken for these listeners, or minus the answer. */
static int64_t take(struct world *w, uint64_t listeners)
{
	struct offer offer;
	int answer = inlet_take(&w->in, listeners, &offer);

	if (answer)
		return -answer;
	close(offer.fd);
	return offer.conn.slot;
}

static void the_first_offer_is_taken_first(void **state)
{
	struct world *w = *state;
	uint32_t listener;

	assert_int_equal(inlet_first(&w->in, &listener), INLET_EMPTY);
	send_offer(w, 7, 0, 1);
	send_offer(w, 8, 1, 1);
	assert_int_equal(inlet_first(&w->in, &listener), 0);
	assert_int_equal(listener, 0);
	assert_int_equal(take(w, BOTH), 7);
	assert_int_equal(take(w, BOTH), 8);
	assert_int_equal(take(w, BOTH), -INLET_EMPTY);
}

static void what_is_for_another_listener_stays_in_the_channel(void **state)
{
	struct world *w = *state;
	uint8_t byte;

	send_offer(w, 7, 1, 1);
	assert_int_equal(take(w, 1), -INLET_OTHER);
	assert_true(recv(w->theirs, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
	assert_int_equal(take(w, 2), 7);
}

static void what_was_seen_may_be_stolen_back(void **state)
{
	struct world *w = *state;
	uint32_t listener;
	uint8_t buf[MSG_OFFER_BYTES];

	send_offer(w, 7, 0, 1);
	assert_int_equal(inlet_first(&w->in, &listener), 0);
	assert_true(recv(w->theirs, buf, sizeof(buf), 0) > 0); /* the thief */
	assert_int_equal(take(w, BOTH), -INLET_EMPTY);
	assert_int_equal(inlet_first(&w->in, &listener), INLET_EMPTY);
}

static void what_comes_instead_of_what_was_stolen_is_kept_for_its_listener(void **state)
{
	struct world *w = *state;
	uint32_t listener;
	uint8_t buf[MSG_OFFER_BYTES];

	send_offer(w, 7, 0, 1);
	assert_int_equal(inlet_first(&w->in, &listener), 0);
	assert_true(recv(w->theirs, buf, sizeof(buf), 0) > 0);
	send_offer(w, 8, 1, 1);
	assert_int_equal(take(w, 1), -INLET_OTHER);
	assert_int_equal(inlet_first(&w->in, &listener), 0);
	assert_int_equal(listener, 1);
	assert_int_equal(take(w, 2), 8);
}

static void what_is_kept_comes_first_and_in_order(void **state)
{
	struct world *w = *state;
	struct offer offers[2];

	send_offer(w, 7, 0, 1);
	send_offer(w, 8, 0, 1);
	send_offer(w, 9, 0, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(inlet_take(&w->in, BOTH, &offers[i]), 0);
		assert_true(offers[i].is_new);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(inlet_keep_consume(&w->in, &offers[i]), 0);
	assert_true(inlet_may_have(&w->in));
	assert_int_equal(take(w, 1), 7);
	assert_int_equal(take(w, 1), 8);
	assert_int_equal(take(w, 1), 9);
}

static void other_messages_are_passed_over(void **state)
{
	struct world *w = *state;

	send_ping(w);
	send_offer(w, 7, 0, 1);
	send_ping(w);
	assert_int_equal(take(w, BOTH), 7);
	assert_int_equal(take(w, BOTH), -INLET_EMPTY);
}

static void an_offer_without_its_socket_is_passed_over(void **state)
{
	struct world *w = *state;

	send_offer(w, 7, 0, 0);
	send_offer(w, 8, 0, 1);
	assert_int_equal(take(w, BOTH), 8);
}

static void the_end_is_told_behind_what_was_sent(void **state)
{
	struct world *w = *state;
	uint32_t listener;

	send_offer(w, 7, 0, 1);
	base_close(&w->ours);
	assert_int_equal(take(w, BOTH), 7);
	assert_int_equal(take(w, BOTH), -INLET_ENDED);
	assert_true(w->in.ended);
	assert_int_equal(inlet_first(&w->in, &listener), INLET_ENDED);
}

#define inlet_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		inlet_test(the_first_offer_is_taken_first),
		inlet_test(what_is_for_another_listener_stays_in_the_channel),
		inlet_test(what_was_seen_may_be_stolen_back),
		inlet_test(what_comes_instead_of_what_was_stolen_is_kept_for_its_listener),
		inlet_test(what_is_kept_comes_first_and_in_order),
		inlet_test(other_messages_are_passed_over),
		inlet_test(an_offer_without_its_socket_is_passed_over),
		inlet_test(the_end_is_told_behind_what_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
