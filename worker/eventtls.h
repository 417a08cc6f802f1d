/* Event style's handshakes, at once or by worker_starttls(). */
#ifndef WORKER_EVENTTLS_H
#define WORKER_EVENTTLS_H

#include <stdbool.h>
#include <stdint.h>

struct tlsconn;
struct worker_conn;

/* Begins it; failure has ended the connection. */
void eventtls_open(struct worker_conn *c);
int eventtls_start(struct worker_conn *c); /* worker_starttls() */
void eventtls_go_on(struct worker_conn *c);
void eventtls_expire(struct worker_conn *c);
void eventtls_inject(struct worker_conn *c); /* plaintext came where TLS begins: refused */

bool eventtls_shakes(const struct worker_conn *c);           /* not done yet */
struct tlsconn *eventtls_layer(const struct worker_conn *c); /* what output goes through, or NULL */
uint32_t eventtls_reads(const struct worker_conn *c);        /* events to wait for to read on */

#endif
