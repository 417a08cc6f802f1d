/* The control socket: one line of JSON asks, an answer and end of file reply. */
#ifndef ACCEPTOR_CONTROL_H
#define ACCEPTOR_CONTROL_H

struct acceptor;
struct control;

/* For clients of a listening unix socket; owns fd whatever it returns. Sets a->control. 0 or -errno. */
int control_new_consume(struct acceptor *a, int fd);

/* From now on they are served: not before everything is known that they could ask for. */
void control_open(struct control *control);

#endif
