/* The wire protocol: what is written is read, and what is malformed is refused as a whole. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct msg_conn sample_conn(uint32_t slot)
{
	struct msg_conn c = {
		.slot = slot, .listener = slot + 1, .accepted_ms = 1234567890123 + slot};

	c.peer = (struct addr){.family = AF_INET, .port = 4711, .ip = {192, 0, 2, 1}};
	return c;
}

static size_t write_offer(uint8_t *buf, size_t size, unsigned count)
{
	struct msg_writer w;

	msg_begin(&w, buf, size, MSG_OFFER);
	for (unsigned i = 0; i < count; i++) {
		struct msg_conn c = sample_conn(i);

		msg_put_conn(&w, &c);
	}
	assert_true(msg_end(&w) > 0);
	return (size_t)msg_end(&w);
}

static void an_offer_is_read_as_it_was_written(void **state)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conns[MSG_MAX_CONNS];
	size_t len = write_offer(buf, sizeof(buf), 3);
	unsigned count = 0;

	assert_int_equal(msg_read_offer(buf, len, conns, MSG_MAX_CONNS, &count), 0);
	assert_int_equal(count, 3);
	for (unsigned i = 0; i < count; i++) {
		struct msg_conn wanted = sample_conn(i);

		assert_memory_equal(&conns[i], &wanted, sizeof(wanted));
	}
}

static void the_largest_offer_fits_its_room(void **state)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer w;

	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	for (unsigned i = 0; i < MSG_MAX_CONNS; i++) {
		struct msg_conn c = sample_conn(i);

		c.local = c.peer;
		msg_put_conn(&w, &c);
	}
	assert_true(msg_end(&w) > 0);
}

static void what_does_not_fit_is_told_and_nothing_is_written_behind_the_room(void **state)
{
	uint8_t buf[32];
	struct msg_writer w;

	memset(buf, 0xaa, sizeof(buf));
	msg_begin(&w, buf, 24, MSG_SETUP);
	msg_put_text(&w, MSG_SERVICE, "a text that is too long");
	msg_put_u32(&w, MSG_WORKER, 7);
	assert_int_equal(msg_end(&w), -ENOBUFS);
	for (unsigned i = 24; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0xaa);
}

static void facts_come_in_order_with_their_values(void **state)
{
	uint8_t buf[256];
	struct msg_writer w;
	struct msg_reader r;
	struct msg_value v;
	uint32_t small = 0;
	uint64_t large = 0;

	msg_begin(&w, buf, sizeof(buf), MSG_SETUP);
	msg_put_text(&w, MSG_SERVICE, "smtp");
	msg_put_u32(&w, MSG_WORKER, 7);
	msg_put_u64(&w, MSG_STACKSIZE, 1ull << 40);
	assert_int_equal(msg_open(&r, buf, (size_t)msg_end(&w)), 0);
	assert_int_equal(r.type, MSG_SETUP);
	assert_int_equal(msg_next(&r, &v), 1);
	assert_int_equal(v.fact, MSG_SERVICE);
	assert_int_equal(v.len_bytes, 4);
	assert_memory_equal(v.data, "smtp", 4);
	assert_int_equal(msg_next(&r, &v), 1);
	assert_int_equal(msg_u32(&v, &small), 0);
	assert_int_equal(small, 7);
	assert_int_equal(msg_next(&r, &v), 1);
	assert_int_equal(msg_u32(&v, &small), -EBADMSG);
	assert_int_equal(msg_u64(&v, &large), 0);
	assert_true(large == 1ull << 40);
	assert_int_equal(msg_next(&r, &v), 0);
}

static void a_fact_of_a_newer_dispatcher_is_skipped(void **state)
{
	uint8_t buf[256];
	struct msg_writer w;
	struct msg_conn c = sample_conn(5), read[1];
	unsigned count = 0;

	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	msg_put_conn(&w, &c);
	msg_put_text(&w, (enum msg_fact)999, "what nobody knows yet");
	assert_int_equal(msg_read_offer(buf, (size_t)msg_end(&w), read, 1, &count), 0);
	assert_int_equal(read[0].slot, 5);
}

static void a_cut_message_is_refused_wherever_it_is_cut(void **state)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conns[MSG_MAX_CONNS];
	size_t len = write_offer(buf, sizeof(buf), 1);
	unsigned count = 99, refused = 0;

	for (size_t cut = 0; cut < len; cut++)
		refused += msg_read_offer(buf, cut, conns, MSG_MAX_CONNS, &count) == -EBADMSG;
	/* A cut between two facts leaves a whole message: behind the slot, the peer and the
	 * listener. */
	assert_int_equal(refused, len - 3);
}

static void an_offer_of_another_version_or_type_is_refused(void **state)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conns[MSG_MAX_CONNS];
	size_t len = write_offer(buf, sizeof(buf), 1);
	unsigned count = 0;

	buf[2] = MSG_PING;
	assert_int_equal(msg_read_offer(buf, len, conns, MSG_MAX_CONNS, &count), -EBADMSG);
	buf[2] = MSG_OFFER;
	buf[0]++;
	assert_int_equal(msg_read_offer(buf, len, conns, MSG_MAX_CONNS, &count), -EBADMSG);
}

static void an_offer_of_more_connections_than_asked_for_is_refused(void **state)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conns[2];
	size_t len = write_offer(buf, sizeof(buf), 3);
	unsigned count = 99;

	assert_int_equal(msg_read_offer(buf, len, conns, 2, &count), -EBADMSG);
	assert_int_equal(count, 99);
}

static void an_offer_of_nothing_is_refused(void **state)
{
	uint8_t buf[64];
	struct msg_conn conns[1];
	struct msg_writer w;
	unsigned count = 99;

	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	assert_int_equal(msg_read_offer(buf, (size_t)msg_end(&w), conns, 1, &count), -EBADMSG);
	msg_put_u32(&w, MSG_LISTENER, 1);
	assert_int_equal(msg_read_offer(buf, (size_t)msg_end(&w), conns, 1, &count), -EBADMSG);
}

static void a_length_beyond_the_message_is_refused(void **state)
{
	uint8_t buf[64];
	struct msg_reader r;
	struct msg_value v;
	struct msg_writer w;
	uint32_t lie = UINT32_MAX;

	msg_begin(&w, buf, sizeof(buf), MSG_SETUP);
	msg_put_u32(&w, MSG_WORKER, 1);
	memcpy(buf + 12, &lie, sizeof(lie));
	assert_int_equal(msg_open(&r, buf, (size_t)msg_end(&w)), 0);
	assert_int_equal(msg_next(&r, &v), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_is_read_as_it_was_written),
		cmocka_unit_test(the_largest_offer_fits_its_room),
		cmocka_unit_test(what_does_not_fit_is_told_and_nothing_is_written_behind_the_room),
		cmocka_unit_test(facts_come_in_order_with_their_values),
		cmocka_unit_test(a_fact_of_a_newer_dispatcher_is_skipped),
		cmocka_unit_test(a_cut_message_is_refused_wherever_it_is_cut),
		cmocka_unit_test(an_offer_of_another_version_or_type_is_refused),
		cmocka_unit_test(an_offer_of_more_connections_than_asked_for_is_refused),
		cmocka_unit_test(an_offer_of_nothing_is_refused),
		cmocka_unit_test(a_length_beyond_the_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
