/* Bundle and tickets of TLS: what is written is read, and what no worker could serve with is
 * refused. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/tls.h"

#include <errno.h>
#include <string.h>

static uint8_t record[1 << 20];
static struct tls_bundle bundle;

static void begin(struct msg_writer *w)
{
	msg_begin(w, record, sizeof(record), MSG_TLS);
	tls_put_u32(w, TLS_MIN_VERSION, 0x0303);
}

static void put_pair(struct msg_writer *w, const char *chain, const char *key, const char *name)
{
	tls_put_text(w, TLS_CHAIN, chain);
	if (key)
		tls_put_text(w, TLS_KEY, key);
	if (name)
		tls_put_text(w, TLS_NAME, name);
}

static int read_it(const struct msg_writer *w)
{
	assert_true(msg_end(w) > 0);
	return tls_read_bundle(record, (size_t)msg_end(w), &bundle);
}

static void assert_piece(struct tls_piece p, const char *text)
{
	assert_int_equal(p.len_bytes, strlen(text));
	assert_memory_equal(p.data, text, p.len_bytes);
}

static void a_bundle_is_read_as_it_was_written(void **state)
{
	struct msg_writer w;

	begin(&w);
	tls_put_text(&w, TLS_CIPHERS, "ECDHE");
	tls_put_text(&w, TLS_CIPHERSUITES, "TLS_AES_128_GCM_SHA256");
	tls_put_text(&w, TLS_GROUPS, "X25519");
	tls_put_text(&w, TLS_PROTOCOL, "smtp");
	tls_put_text(&w, TLS_PROTOCOL, "lmtp");
	tls_put_u32(&w, TLS_CLIENT_AUTH, TLS_CLIENT_ASKED);
	tls_put_text(&w, TLS_CLIENT_CA, "authorities");
	tls_put_u64(&w, TLS_HANDSHAKE_TIMEOUT, 1234567890123);
	put_pair(&w, "chain 0", "key 0", NULL);
	put_pair(&w, "chain 1", "key 1", "*.example.org");
	tls_put_text(&w, TLS_NAME, "example.org");
	assert_int_equal(read_it(&w), 0);
	assert_int_equal(bundle.min_version, 0x0303);
	assert_int_equal(bundle.client_auth, TLS_CLIENT_ASKED);
	assert_int_equal(bundle.handshake_ms, 1234567890123);
	assert_piece(bundle.ciphers, "ECDHE");
	assert_piece(bundle.ciphersuites, "TLS_AES_128_GCM_SHA256");
	assert_piece(bundle.groups, "X25519");
	assert_piece(bundle.client_ca, "authorities");
	assert_int_equal(bundle.protocol_count, 2);
	assert_piece(bundle.protocols[1], "lmtp");
	assert_int_equal(bundle.pair_count, 2);
	assert_piece(bundle.pairs[0].chain, "chain 0");
	assert_piece(bundle.pairs[1].key, "key 1");
	assert_int_equal(bundle.pairs[0].name_count, 0);
	assert_int_equal(bundle.name_count, 2);
	assert_piece(bundle.names[1].name, "example.org");
	assert_int_equal(bundle.names[1].pair, 1);
}

static void a_bundle_without_a_default_pair_is_refused(void **state)
{
	struct msg_writer w;

	begin(&w);
	assert_int_equal(read_it(&w), -EBADMSG);
	put_pair(&w, "chain", "key", "example.org");
	assert_int_equal(read_it(&w), -EBADMSG);
	put_pair(&w, "chain", "key", NULL);
	assert_int_equal(read_it(&w), 0);
}

static void a_pair_has_exactly_one_key(void **state)
{
	struct msg_writer w;

	begin(&w);
	tls_put_text(&w, TLS_KEY, "a key of nothing");
	assert_int_equal(read_it(&w), -EBADMSG);
	begin(&w);
	put_pair(&w, "chain", NULL, NULL);
	assert_int_equal(read_it(&w), -EBADMSG);
	tls_put_text(&w, TLS_KEY, "key");
	assert_int_equal(read_it(&w), 0);
	tls_put_text(&w, TLS_KEY, "another");
	assert_int_equal(read_it(&w), -EBADMSG);
}

static void texts_hold_no_nul_and_are_not_empty(void **state)
{
	struct msg_writer w;

	begin(&w);
	put_pair(&w, "chain", "key", NULL);
	tls_put(&w, TLS_CIPHERS, "ECDHE\0", 6);
	assert_int_equal(read_it(&w), -EBADMSG);
	begin(&w);
	put_pair(&w, "chain", "key", NULL);
	tls_put_text(&w, TLS_GROUPS, "");
	assert_int_equal(read_it(&w), -EBADMSG);
}

static void names_are_lower_case_host_names(void **state)
{
	static const char *const bad[] = {"Example.org", "a b", "*", "*.", "a.*.b", "exämple.org"};
	struct msg_writer w;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		begin(&w);
		put_pair(&w, "chain", "key", NULL);
		put_pair(&w, "chain", "key", bad[i]);
		assert_int_equal(read_it(&w), -EBADMSG);
	}
}

static void client_authentication_needs_authorities(void **state)
{
	struct msg_writer w;

	begin(&w);
	put_pair(&w, "chain", "key", NULL);
	tls_put_u32(&w, TLS_CLIENT_AUTH, TLS_CLIENT_REQUIRED);
	assert_int_equal(read_it(&w), -EBADMSG);
	tls_put_text(&w, TLS_CLIENT_CA, "authorities");
	assert_int_equal(read_it(&w), 0);
	tls_put_u32(&w, TLS_CLIENT_AUTH, TLS_CLIENT_REQUIRED + 1);
	assert_int_equal(read_it(&w), -EBADMSG);
}

static void a_version_that_does_not_exist_is_refused(void **state)
{
	struct msg_writer w;

	for (uint32_t version = 0x0300; version <= 0x0305; version++) {
		begin(&w);
		tls_put_u32(&w, TLS_MIN_VERSION, version);
		put_pair(&w, "chain", "key", NULL);
		assert_int_equal(
			read_it(&w), version == 0x0300 || version == 0x0305 ? -EBADMSG : 0);
	}
}

static void too_many_of_anything_is_refused(void **state)
{
	struct msg_writer w;

	begin(&w);
	for (unsigned i = 0; i < TLS_MAX_PAIRS; i++)
		put_pair(&w, "chain", "key", NULL);
	for (unsigned i = 0; i < TLS_MAX_NAMES; i++)
		tls_put_text(&w, TLS_NAME, "example.org");
	for (unsigned i = 0; i < TLS_MAX_PROTOCOLS; i++)
		tls_put_text(&w, TLS_PROTOCOL, "h2");
	assert_int_equal(read_it(&w), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct msg_writer more = w;

		tls_put_text(
			&more, (const enum tls_fact[]){TLS_NAME, TLS_PROTOCOL, TLS_CHAIN}[i], "x");
		if (i == 2)
			tls_put_text(&more, TLS_KEY, "key");
		assert_int_equal(read_it(&more), -EBADMSG);
	}
}

static void another_message_is_no_bundle(void **state)
{
	struct msg_writer w;

	msg_begin(&w, record, sizeof(record), MSG_TICKETS);
	tls_put_u32(&w, TLS_MIN_VERSION, 0x0303);
	put_pair(&w, "chain", "key", NULL);
	assert_int_equal(read_it(&w), -EBADMSG);
}

static void put_tickets(struct msg_writer *w, unsigned count)
{
	msg_begin(w, record, sizeof(record), MSG_TICKETS);
	tls_put_u64(w, TLS_GENERATION, 17);
	tls_put_u64(w, TLS_LIFETIME, 3600000);
	for (unsigned i = 0; i < count; i++) {
		struct tls_ticket_key key;

		memset(&key, (int)i + 1, sizeof(key));
		tls_put(w, TLS_TICKET, &key, sizeof(key));
	}
}

static int read_tickets(const struct msg_writer *w, struct tls_tickets *t)
{
	return tls_read_tickets(record, (size_t)msg_end(w), t);
}

static void tickets_are_read_as_they_were_written(void **state)
{
	struct tls_tickets t;
	struct msg_writer w;

	put_tickets(&w, 3);
	assert_int_equal(read_tickets(&w, &t), 0);
	assert_int_equal(t.generation, 17);
	assert_int_equal(t.lifetime_ms, 3600000);
	assert_int_equal(t.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(t.keys[i]->hmac[31], i + 1);
}

static void none_or_too_many_or_twice_the_same_ticket_is_refused(void **state)
{
	struct tls_ticket_key key;
	struct tls_tickets t;
	struct msg_writer w;

	put_tickets(&w, 0);
	assert_int_equal(read_tickets(&w, &t), -EBADMSG);
	put_tickets(&w, 4);
	assert_int_equal(read_tickets(&w, &t), -EBADMSG);
	put_tickets(&w, 2);
	memset(&key, 2, sizeof(key));
	tls_put(&w, TLS_TICKET, &key, sizeof(key));
	assert_int_equal(read_tickets(&w, &t), -EBADMSG);
	put_tickets(&w, 1);
	tls_put(&w, TLS_TICKET, &key, sizeof(key) - 1);
	assert_int_equal(read_tickets(&w, &t), -EBADMSG);
}

static void tickets_without_a_lifetime_are_refused(void **state)
{
	struct tls_tickets t;
	struct msg_writer w;

	put_tickets(&w, 1);
	tls_put_u64(&w, TLS_LIFETIME, 0);
	assert_int_equal(read_tickets(&w, &t), -EBADMSG);
}

static void facts_that_nobody_knows_are_skipped(void **state)
{
	struct msg_writer w;

	begin(&w);
	tls_put_text(&w, (enum tls_fact)999, "of a newer dispatcher");
	put_pair(&w, "chain", "key", NULL);
	assert_int_equal(read_it(&w), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bundle_is_read_as_it_was_written),
		cmocka_unit_test(a_bundle_without_a_default_pair_is_refused),
		cmocka_unit_test(a_pair_has_exactly_one_key),
		cmocka_unit_test(texts_hold_no_nul_and_are_not_empty),
		cmocka_unit_test(names_are_lower_case_host_names),
		cmocka_unit_test(client_authentication_needs_authorities),
		cmocka_unit_test(a_version_that_does_not_exist_is_refused),
		cmocka_unit_test(too_many_of_anything_is_refused),
		cmocka_unit_test(another_message_is_no_bundle),
		cmocka_unit_test(tickets_are_read_as_they_were_written),
		cmocka_unit_test(none_or_too_many_or_twice_the_same_ticket_is_refused),
		cmocka_unit_test(tickets_without_a_lifetime_are_refused),
		cmocka_unit_test(facts_that_nobody_knows_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
