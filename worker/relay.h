/* The plaintext of a connection under TLS through a socket pair, for an author who takes the
 * socket: to hand it to a program that knows nothing of TLS, say. Event style. */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

struct relay;
struct worker_conn;

/* Begins to move the bytes of c, whose handshake is done. The author's end, non-blocking, or
 * -errno. Until it is over c->relay is set. */
int relay_start(struct worker_conn *c);

/* What the loop calls the relay's end of the pair of c, and whose it is. */
void *relay_tag(struct worker_conn *c);
struct worker_conn *relay_untag(void *who);

void relay_turn(struct worker_conn *c);  /* moves what can be moved; perhaps it is over then */
void relay_watch(struct worker_conn *c); /* asks the loop for what it waits for */
void relay_drop(struct worker_conn *c);  /* ends it at once, with the socket; fine without one */

#endif
