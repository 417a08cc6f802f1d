/* What a socket did not take yet: bounded, made only when needed. */
#ifndef WORKER_OUTPUT_H
#define WORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#define OUTPUT_MAX_BYTES (256 * 1024)

struct output;
struct tlsconn;

enum output_answer { OUTPUT_WAITS = 1 };

/* Sends what it can of len bytes, behind what waits already, and keeps the rest; through tls unless
 * that is NULL. With nothing
 * waiting any length is taken, else -ENOBUFS when more than OUTPUT_MAX_BYTES would wait (then
 * nothing is taken). 0: all sent; OUTPUT_WAITS: send again when the socket is writable; -errno. */
int output_write(struct output **o, int fd, struct tlsconn *tls, const void *data, size_t len);

/* Keeps all of it, as if the socket were full. OUTPUT_WAITS, -ENOBUFS or -ENOMEM. */
int output_keep(struct output **o, const void *data, size_t len);

/* Sends what waits; *o becomes NULL with the last byte. Answers as output_write. */
int output_flush(struct output **o, int fd, struct tlsconn *tls);

struct output *output_free(struct output *o); /* NULL is fine; returns NULL */

#endif
