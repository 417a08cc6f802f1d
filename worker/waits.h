/* Reading and writing that waits, in the thread of one client, until the time-out or the deadline.
 */
#ifndef WORKER_WAITS_H
#define WORKER_WAITS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INPUT_BYTES 4096

struct tlsconn;

/* Ends every wait of every thread, for good. */
struct cancel {
	atomic_bool canceled;
	int fd; /* readable when canceled */
};

int cancel_init(struct cancel *c); /* 0 or -errno */
void cancel_now(struct cancel *c);
void cancel_deinit(struct cancel *c);

struct waits {
	struct cancel *cancel;
	struct tlsconn *tls; /* NULL: plaintext */
	size_t at, end;      /* of what was received and not read */
	char input[INPUT_BYTES];
};

/* A new connection. */
void waits_begin(struct waits *ws, struct cancel *cancel);

/* The handshake of what is then ws->tls. 0, -ETIMEDOUT, -ECANCELED or as tlsconn_handshake. */
int waits_handshake(struct waits *ws, int fd, struct tlsconn *tls);

/* fd is non-blocking; -1: was closed. timeout_ms 0: none. -EPIPE (closed), -ETIMEDOUT, -ECANCELED
 * or -errno; a canceled write still sends what goes without waiting. */
int waits_write(struct waits *ws, int fd, uint32_t timeout_ms, const void *data, size_t len);
ssize_t waits_read(
	struct waits *ws, int fd, uint32_t timeout_ms, void *buf, size_t size); /* 0: the end */

/* A line without its end, with NUL: its length; -ENODATA at the end; -EMSGSIZE: a line that does
 * not fit with its CR was dropped. */
ssize_t waits_read_line(struct waits *ws, int fd, uint32_t timeout_ms, char *buf, size_t size);

#endif
