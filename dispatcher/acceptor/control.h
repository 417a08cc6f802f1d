/* The control socket: one line of JSON asks, an answer and end of file reply. */
#ifndef ACCEPTOR_CONTROL_H
#define ACCEPTOR_CONTROL_H

struct acceptor;

/* Serves clients of a listening unix socket; owns fd whatever it returns. 0 or -errno. */
int control_open_consume(struct acceptor *a, int fd);

#endif
