/* THE wire protocol from the dispatcher to a worker: pure encoding and decoding, no I/O.
 *
 * A message is one SOCK_SEQPACKET record: an 8-byte head, then type-length-value facts in the byte
 * order of the machine. A reader skips facts and message types that it does not know; what is
 * malformed is -EBADMSG as a whole. Sockets travel beside the record (SCM_RIGHTS), in the order of
 * their MSG_CONN facts. */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include "common/addr.h"

#include <stddef.h>
#include <stdint.h>

#define MSG_VERSION 1
#define MSG_MAX_CONNS 8		/* sockets in one offer */
#define MSG_OFFER_BYTES 1024	/* an offer of MSG_MAX_CONNS always fits */
#define MSG_SETUP_BYTES 131072	/* upper bound of a setup message */

enum msg_type {
	MSG_SETUP = 1,	/* first of all: who you are, limits, parameters */
	MSG_OFFER = 2,	/* accepted sockets for you */
	MSG_RETIRE = 3, /* nothing new comes: finish what you serve and exit */
	MSG_LIMITS = 4, /* new limits */
	MSG_PING = 5,	/* answer MSG_NONCE in your page's beat */
	MSG_REOPEN = 6, /* reopen log files of your own */
	/* From the supervisor itself, each with one descriptor of sealed memory: see common/tls.h. */
	MSG_TLS = 7,	 /* certificates, keys and options of TLS */
	MSG_TICKETS = 8, /* keys of session tickets */
};

enum msg_fact {
	/* of MSG_SETUP and MSG_LIMITS */
	MSG_SERVICE = 1,	/* text: service name in lower case */
	MSG_WORKER = 2,		/* u32: serial number of the worker in its service, the 7 of smtp/7 */
	MSG_MAX_CONNS_FACT = 3, /* u32 */
	MSG_MIN_CONNS = 4,	/* u32 */
	MSG_STACKSIZE = 5,	/* u64: bytes, 0 = the system's default */
	MSG_PARAMETER = 6,	/* text NAME=VALUE; repeated */
	MSG_ARGUMENT = 7,	/* text: one word of COMMAND, argv[0] first; repeated */
	MSG_CONN_TIMEOUT = 8,	/* u64: milliseconds, 0 = none */
	MSG_DEBUG = 9,		/* u32: debug mask */
	MSG_LISTENER_NAME = 10, /* text: the listener as configured; repeated, index order */
	MSG_RING = 11,		/* u32: entries of the page's ring, a power of two */
	/* 12 was the index of the bell in a table of all bells */
	MSG_KILL_TIMEOUT = 13,	/* u64: milliseconds between TERM and KILL */
	MSG_LISTENER_TLS = 14,	/* u32: index of a listener where TLS starts at once; repeated */
	/* of MSG_OFFER: MSG_CONN opens a connection, the facts behind it belong to it */
	MSG_CONN = 32,	   /* u32: connection slot, named again when it is done */
	MSG_PEER = 33,	   /* struct addr */
	MSG_LOCAL = 34,	   /* struct addr; absent: ask getsockname() */
	MSG_LISTENER = 35, /* u32: index of the listener in the service */
	MSG_ACCEPTED = 36, /* u64: clock_mono_ms() of the accept */
	/* of MSG_PING */
	MSG_NONCE = 48, /* u64 */
	/* of MSG_RETIRE */
	MSG_DEADLINE = 49, /* u64: milliseconds left, 0 = none */
};

/* One offered connection. */
struct msg_conn {
	uint32_t slot;
	uint32_t listener;
	uint64_t accepted_ms;
	struct addr peer;
	struct addr local; /* family 0: not said */
};

struct msg_writer {
	uint8_t *buf;
	size_t size;
	size_t len; /* beyond size: it did not fit */
};

/* Begins a message in buf; the puts never write beyond size. */
void msg_begin(struct msg_writer *w, void *buf, size_t size, enum msg_type type);
void msg_put(struct msg_writer *w, enum msg_fact fact, const void *value, size_t len_bytes);
void msg_put_u32(struct msg_writer *w, enum msg_fact fact, uint32_t value);
void msg_put_u64(struct msg_writer *w, enum msg_fact fact, uint64_t value);
void msg_put_text(struct msg_writer *w, enum msg_fact fact, const char *text); /* without NUL */
void msg_put_conn(struct msg_writer *w, const struct msg_conn *conn);

/* Length of the whole message in bytes, or -ENOBUFS when it did not fit. */
int64_t msg_end(const struct msg_writer *w);

struct msg_reader {
	const uint8_t *next, *end;
	enum msg_type type;
};

struct msg_value {
	enum msg_fact fact;
	const uint8_t *data; /* unaligned, not NUL-terminated */
	size_t len_bytes;
};

/* 0, or -EBADMSG (too short, other version). */
int msg_open(struct msg_reader *ret_reader, const void *buf, size_t len_bytes);

/* 1: *ret_value is the next fact; 0: no more; -EBADMSG. */
int msg_next(struct msg_reader *r, struct msg_value *ret_value);

/* The value of a number fact; 0 or -EBADMSG when its length is wrong. */
int msg_u32(const struct msg_value *v, uint32_t *ret_number);
int msg_u64(const struct msg_value *v, uint64_t *ret_number);

/* Reads a whole MSG_OFFER. 0, or -EBADMSG: wrong type, malformed, or no or over max connections. */
int msg_read_offer(const void *buf, size_t len_bytes, struct msg_conn *ret_conns, unsigned max,
	unsigned *ret_count);

#endif
