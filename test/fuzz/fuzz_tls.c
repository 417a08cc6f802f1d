/* Bundle and tickets: whatever was read lies inside the record, keeps the promises of the header,
 * and reads the same again when it is written again. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "common/tls.h"

#include <string.h>

static struct tls_bundle bundle, again;
static uint8_t copy[1 << 20];

static void check_piece(const struct tls_piece *p, const uint8_t *data, size_t size)
{
	const uint8_t *at = (const uint8_t *)p->data;

	if (!p->len_bytes)
		return;
	ASSERT(at >= data && at + p->len_bytes <= data + size);
	ASSERT(!memchr(at, '\0', p->len_bytes));
}

static void put_piece(struct msg_writer *w, enum tls_fact fact, const struct tls_piece *p)
{
	if (p->len_bytes)
		tls_put(w, fact, p->data, p->len_bytes);
}

static void put_pairs(struct msg_writer *w)
{
	for (unsigned i = 0, name = 0; i < bundle.pair_count; i++) {
		put_piece(w, TLS_CHAIN, &bundle.pairs[i].chain);
		put_piece(w, TLS_KEY, &bundle.pairs[i].key);
		for (; name < bundle.name_count && bundle.names[name].pair == i; name++)
			put_piece(w, TLS_NAME, &bundle.names[name].name);
	}
}

static void write_again(void)
{
	struct msg_writer w;

	msg_begin(&w, copy, sizeof(copy), MSG_TLS);
	tls_put_u32(&w, TLS_MIN_VERSION, bundle.min_version);
	tls_put_u32(&w, TLS_CLIENT_AUTH, bundle.client_auth);
	put_piece(&w, TLS_CLIENT_CA, &bundle.client_ca);
	put_pairs(&w);
	if (msg_end(&w) < 0)
		return;
	ASSERT(!tls_read_bundle(copy, (size_t)msg_end(&w), &again));
	ASSERT(again.pair_count == bundle.pair_count && again.name_count == bundle.name_count);
}

static void read_bundle(const uint8_t *data, size_t size)
{
	if (tls_read_bundle(data, size, &bundle))
		return;
	ASSERT(bundle.pair_count && bundle.pair_count <= TLS_MAX_PAIRS);
	ASSERT(bundle.name_count <= TLS_MAX_NAMES && bundle.protocol_count <= TLS_MAX_PROTOCOLS);
	check_piece(&bundle.ciphers, data, size);
	check_piece(&bundle.ciphersuites, data, size);
	check_piece(&bundle.groups, data, size);
	check_piece(&bundle.client_ca, data, size);
	for (unsigned i = 0; i < bundle.protocol_count; i++)
		check_piece(&bundle.protocols[i], data, size);
	for (unsigned i = 0; i < bundle.pair_count; i++) {
		ASSERT(bundle.pairs[i].key.len_bytes && bundle.pairs[i].chain.len_bytes);
		check_piece(&bundle.pairs[i].chain, data, size);
		check_piece(&bundle.pairs[i].key, data, size);
	}
	for (unsigned i = 0; i < bundle.name_count; i++) {
		ASSERT(bundle.names[i].pair < bundle.pair_count);
		check_piece(&bundle.names[i].name, data, size);
	}
	write_again();
}

static void read_tickets(const uint8_t *data, size_t size)
{
	struct tls_tickets t;

	if (tls_read_tickets(data, size, &t))
		return;
	ASSERT(t.count >= 1 && t.count <= TLS_MAX_TICKETS && t.lifetime_ms);
	for (unsigned i = 0; i < t.count; i++)
		ASSERT((const uint8_t *)t.keys[i] >= data &&
			(const uint8_t *)(t.keys[i] + 1) <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_bundle(data, size);
	read_tickets(data, size);
	return 0;
}
