/* Event style among its own modules: what TLS and relays need of a connection's path. */
#ifndef WORKER_EVENTS_H
#define WORKER_EVENTS_H

#include "worker/core.h"
#include "worker/output.h"

#define INPUT_BYTES 16384
#define LINGER_MS   30000 /* what waits for a client when we close must be read by then */

struct events {
	struct worker *worker;
	uv_timer_t timer;
	uint64_t timer_ms; /* when it fires; 0: never */
	struct worker_conn *due;
	char input[INPUT_BYTES];
};

/* Around whatever may call the author or end the connection, which may be gone after the second. */
void events_enter(struct worker_conn *c);
void events_leave(struct worker_conn *c);
void events_settle_later(struct worker_conn *c); /* outside of them: at the end of the turn */

void events_fail(struct worker_conn *c, int why);
void events_deadline(struct worker_conn *c, uint64_t ms); /* from now; 0: none */
void events_touch(struct worker_conn *c);                 /* there was traffic */
void events_opened(struct worker_conn *c);                /* the author sees it now */
void events_flush(struct worker_conn *c);                 /* the socket takes more of its output */

/* Wants these events of fd for who; with none it leaves the loop, where an end would be told for
 * ever. 0 or -errno. */
int events_watch(
	struct loop *l, int fd, void *who, uint32_t events, bool *polled, uint8_t *watched);

#endif
