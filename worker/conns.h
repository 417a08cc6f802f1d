/* The connections of this worker: objects that are used again and again, never freed one by one. */
#ifndef WORKER_CONNS_H
#define WORKER_CONNS_H

#include "common/addr.h"
#include "common/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct output;
struct partial;
struct relay;
struct tlsconn;
struct waits;

/*      get       worker_close, end of file, error       all sent, or broken           put
 * FREE ---> OPEN --------------------------> CLOSING ---------------------> CLOSED ---> FREE */
enum conn_state { CONN_FREE, CONN_OPEN, CONN_CLOSING, CONN_CLOSED, CONN_STATES };

struct worker_conn {
	struct worker *worker;
	struct worker_conn *next, *prev; /* open ones; next alone: free ones */
	struct worker_conn *next_due;    /* threads: waits for one; events: settled this turn */
	struct output *output;           /* what the socket did not take yet, or NULL */
	union {
		struct partial *partial; /* events: a line whose end has not come yet, or NULL */
		struct waits *waits;     /* threads: of the one that serves it */
	};
	struct tlsconn *tls;  /* NULL: plaintext */
	struct relay *relay;  /* events: of one under TLS whose socket the author took, or NULL */
	struct output *early; /* events: written before the handshake was done, or NULL */
	void *data;           /* the author's */
	struct addr *local;   /* NULL: getsockname() knows */
	uint64_t deadline_ms; /* 0: none; on the loop's clock */
	struct addr peer;
	uint32_t slot, timeout_ms;
	const char *listener; /* as configured when it came */
	int fd;               /* -1: the author took it */
	int why;
	uint8_t state;   /* enum conn_state; only conns_set assigns it */
	uint8_t depth;   /* callbacks of the author that are running for it */
	uint8_t watched; /* epoll events asked for, if polled */
	bool polled, eof, due;
	bool greeted; /* something was written to it */
	bool secret;  /* its listener is one where TLS starts at once */
	bool hidden;  /* the author has not seen it yet: its handshake is not done */
};

struct conns {
	struct chunk *chunks;
	struct worker_conn *free, *open;
	unsigned count; /* open ones */
};

/* A connection in state CONN_OPEN that owns fd; NULL: no memory, fd stays the caller's. */
struct worker_conn *conns_get(
	struct conns *all, struct worker *w, const struct msg_conn *m, int fd);
void conns_set(struct worker_conn *c, enum conn_state state);
void conns_put(struct conns *all, struct worker_conn *c); /* CONN_CLOSED; its fd must be -1 */
void conns_deinit(struct conns *all);

#endif
