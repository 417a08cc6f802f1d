/* The bundle and the tickets. A reader trusts nothing: it is the supervisor that sends, but what a
 * worker makes of a text (a cipher list, a name) is made by C code that wants strings.
 */
#include "common/tls.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

void tls_put(struct msg_writer *w, enum tls_fact fact, const void *value, size_t len_bytes)
{
	msg_put(w, (enum msg_fact)(int)fact, value, len_bytes);
}

void tls_put_text(struct msg_writer *w, enum tls_fact fact, const char *text)
{
	tls_put(w, fact, text, strlen(text));
}

void tls_put_u32(struct msg_writer *w, enum tls_fact fact, uint32_t value)
{
	tls_put(w, fact, &value, sizeof(value));
}

void tls_put_u64(struct msg_writer *w, enum tls_fact fact, uint64_t value)
{
	tls_put(w, fact, &value, sizeof(value));
}

static int keep(const struct msg_value *v, struct tls_piece *ret_piece)
{
	if (!v->len_bytes || memchr(v->data, '\0', v->len_bytes))
		return -EBADMSG;
	*ret_piece = (struct tls_piece){(const char *)v->data, v->len_bytes};
	return 0;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_name(const struct tls_piece *name)
{
	const char *at = name->data, *end = at + name->len_bytes;

	if (name->len_bytes > TLS_NAME_BYTES)
		return false;
	if (name->len_bytes > 2 && at[0] == '*' && at[1] == '.')
		at += 2;
	for (; at < end; at++)
		if (!is_name_char(*at))
			return false;
	return true;
}

static int add_protocol(struct tls_bundle *b, const struct msg_value *v)
{
	if (b->protocol_count == TLS_MAX_PROTOCOLS || v->len_bytes > UINT8_MAX)
		return -EBADMSG;
	return keep(v, &b->protocols[b->protocol_count++]);
}

static int add_pair(struct tls_bundle *b, const struct msg_value *v)
{
	if (b->pair_count == TLS_MAX_PAIRS)
		return -EBADMSG;
	b->pairs[b->pair_count] = (struct tls_pair){0};
	return keep(v, &b->pairs[b->pair_count++].chain);
}

static int add_key(struct tls_bundle *b, const struct msg_value *v)
{
	if (!b->pair_count || b->pairs[b->pair_count - 1].key.len_bytes)
		return -EBADMSG;
	return keep(v, &b->pairs[b->pair_count - 1].key);
}

static int add_name(struct tls_bundle *b, const struct msg_value *v)
{
	struct tls_name *name = &b->names[b->name_count];

	if (!b->pair_count || b->name_count == TLS_MAX_NAMES)
		return -EBADMSG;
	name->pair = b->pair_count - 1;
	b->pairs[name->pair].name_count++;
	b->name_count++;
	return keep(v, &name->name) || !is_name(&name->name) ? -EBADMSG : 0;
}

static int read_fact(struct tls_bundle *b, const struct msg_value *v)
{
	switch ((int)v->fact) {
	case TLS_MIN_VERSION:
		return msg_u32(v, &b->min_version);
	case TLS_CIPHERS:
		return keep(v, &b->ciphers);
	case TLS_CIPHERSUITES:
		return keep(v, &b->ciphersuites);
	case TLS_GROUPS:
		return keep(v, &b->groups);
	case TLS_PROTOCOL:
		return add_protocol(b, v);
	case TLS_CLIENT_AUTH:
		return msg_u32(v, &b->client_auth);
	case TLS_CLIENT_CA:
		return keep(v, &b->client_ca);
	case TLS_HANDSHAKE_TIMEOUT:
		return msg_u64(v, &b->handshake_ms);
	case TLS_CHAIN:
		return add_pair(b, v);
	case TLS_KEY:
		return add_key(b, v);
	case TLS_NAME:
		return add_name(b, v);
	default:
		return 0; /* of a newer dispatcher */
	}
}

static bool is_whole(const struct tls_bundle *b)
{
	unsigned defaults = 0;

	for (unsigned i = 0; i < b->pair_count; i++) {
		if (!b->pairs[i].key.len_bytes)
			return false;
		defaults += !b->pairs[i].name_count;
	}
	if (b->client_auth > TLS_CLIENT_REQUIRED || (b->client_auth && !b->client_ca.len_bytes))
		return false;
	return defaults && b->min_version >= 0x0301 && b->min_version <= 0x0304;
}

int tls_read_bundle(const void *buf, size_t len_bytes, struct tls_bundle *ret_bundle)
{
	struct msg_reader r;
	struct msg_value v;
	int more, bad = len_bytes > TLS_BUNDLE_BYTES ? -EBADMSG : msg_open(&r, buf, len_bytes);

	if (bad || r.type != MSG_TLS)
		return -EBADMSG;
	memset(ret_bundle, 0, sizeof(*ret_bundle));
	while ((more = msg_next(&r, &v)) > 0)
		if (read_fact(ret_bundle, &v))
			return -EBADMSG;
	return more < 0 || !is_whole(ret_bundle) ? -EBADMSG : 0;
}

static int add_ticket(struct tls_tickets *t, const struct msg_value *v)
{
	_Static_assert(_Alignof(struct tls_ticket_key) == 1, "it is used where it lies");
	if (v->len_bytes != sizeof(struct tls_ticket_key) || t->count == TLS_MAX_TICKETS)
		return -EBADMSG;
	t->keys[t->count++] = (const struct tls_ticket_key *)v->data;
	return 0;
}

static int read_ticket_fact(struct tls_tickets *t, const struct msg_value *v)
{
	switch ((int)v->fact) {
	case TLS_GENERATION:
		return msg_u64(v, &t->generation);
	case TLS_LIFETIME:
		return msg_u64(v, &t->lifetime_ms);
	case TLS_TICKET:
		return add_ticket(t, v);
	default:
		return 0;
	}
}

/* Two keys of one name would make it a matter of luck which one decrypts. */
static bool names_differ(const struct tls_tickets *t)
{
	for (unsigned i = 0; i < t->count; i++)
		for (unsigned k = 0; k < i; k++)
			if (!memcmp(t->keys[i]->name, t->keys[k]->name, sizeof(t->keys[i]->name)))
				return false;
	return true;
}

int tls_read_tickets(const void *buf, size_t len_bytes, struct tls_tickets *ret_tickets)
{
	struct msg_reader r;
	struct msg_value v;
	int more, bad = len_bytes > TLS_TICKETS_BYTES ? -EBADMSG : msg_open(&r, buf, len_bytes);

	if (bad || r.type != MSG_TICKETS)
		return -EBADMSG;
	*ret_tickets = (struct tls_tickets){0};
	while ((more = msg_next(&r, &v)) > 0)
		if (read_ticket_fact(ret_tickets, &v))
			return -EBADMSG;
	if (more < 0 || !ret_tickets->count || !ret_tickets->lifetime_ms)
		return -EBADMSG;
	return names_differ(ret_tickets) ? 0 : -EBADMSG;
}
