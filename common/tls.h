/* What a worker needs for TLS, as it passes in sealed memory: pure encoding and checked reading.
 *
 * The BUNDLE has everything of which a worker makes its contexts (certificates, keys, options); the
 * TICKETS have the keys with which every worker of a service encrypts session tickets. Each is one
 * record in the form of common/msg.h (a head, then facts) and fills its memory to the last byte.
 * What was read points into the record: a key is never copied. */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include "common/msg.h"

#include <stddef.h>
#include <stdint.h>

#define TLS_MAX_PAIRS     256
#define TLS_MAX_NAMES     1024
#define TLS_MAX_PROTOCOLS 16
#define TLS_MAX_TICKETS   3
#define TLS_NAME_BYTES    253
#define TLS_BUNDLE_BYTES  (16u << 20) /* a longer bundle is refused */
#define TLS_TICKETS_BYTES 1024

enum tls_fact {
	/* of the bundle (a MSG_TLS record) */
	TLS_MIN_VERSION = 64,  /* u32: 0x0301 (TLS 1.0) to 0x0304 (TLS 1.3) */
	TLS_CIPHERS = 65,      /* text, of TLS 1.2 and older; absent: the library's own choice */
	TLS_CIPHERSUITES = 66, /* text, of TLS 1.3 */
	TLS_GROUPS = 67,       /* text */
	TLS_PROTOCOL = 68,     /* text: one of ALPN; repeated, the best first */
	TLS_CLIENT_AUTH = 69,  /* u32: enum tls_client_auth */
	TLS_CLIENT_CA = 70,    /* PEM */
	TLS_HANDSHAKE_TIMEOUT = 71, /* u64: milliseconds, 0 = none */
	TLS_CHAIN = 72,             /* PEM: begins a pair, the facts behind it belong to it */
	TLS_KEY = 73,               /* PEM, of the pair */
	TLS_NAME = 74,              /* text, lower case, perhaps with a leading "*."; repeated */
	/* of the tickets (a MSG_TICKETS record) */
	TLS_GENERATION = 80, /* u64: counts up with every rotation */
	TLS_LIFETIME = 81,   /* u64: milliseconds of one generation */
	TLS_TICKET = 82,     /* struct tls_ticket_key; repeated, the newest first */
};

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_ASKED, TLS_CLIENT_REQUIRED };

/* A piece of the record: unaligned, not NUL-terminated; len_bytes 0: absent. */
struct tls_piece {
	const char *data;
	size_t len_bytes;
};

struct tls_pair {
	struct tls_piece chain, key;
	unsigned name_count; /* 0: for every client that asks for no name of another pair */
};

struct tls_name {
	struct tls_piece name;
	unsigned pair;
};

struct tls_bundle {
	uint32_t min_version, client_auth;
	uint64_t handshake_ms;
	struct tls_piece ciphers, ciphersuites, groups, client_ca;
	unsigned protocol_count, pair_count, name_count;
	struct tls_piece protocols[TLS_MAX_PROTOCOLS];
	struct tls_pair pairs[TLS_MAX_PAIRS];
	struct tls_name names[TLS_MAX_NAMES];
};

struct tls_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
};

struct tls_tickets {
	uint64_t generation, lifetime_ms;
	unsigned count;                                     /* 1 to TLS_MAX_TICKETS */
	const struct tls_ticket_key *keys[TLS_MAX_TICKETS]; /* newest first */
};

/* Writing: msg_begin() with MSG_TLS or MSG_TICKETS, these, msg_end(). Texts without NUL. */
void tls_put(struct msg_writer *w, enum tls_fact fact, const void *value, size_t len_bytes);
void tls_put_text(struct msg_writer *w, enum tls_fact fact, const char *text);
void tls_put_u32(struct msg_writer *w, enum tls_fact fact, uint32_t value);
void tls_put_u64(struct msg_writer *w, enum tls_fact fact, uint64_t value);

/* 0, or -EBADMSG: another type, malformed, out of range, no default pair, a pair without a key,
 * client authentication without authorities, too many of anything. What it points to is in buf. */
int tls_read_bundle(const void *buf, size_t len_bytes, struct tls_bundle *ret_bundle);
int tls_read_tickets(const void *buf, size_t len_bytes, struct tls_tickets *ret_tickets);

#endif
