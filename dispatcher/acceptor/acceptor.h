/* The process that accepts, decides, hands off and answers the control socket. */
#ifndef ACCEPTOR_ACCEPTOR_H
#define ACCEPTOR_ACCEPTOR_H

/* Runs as the acceptor: the link to the supervisor is descriptor LINK_FD. become_keeper is called in its
 * child that does nothing but wait for its end. Returns the exit status. */
int acceptor_main(void (*become_keeper)(void *user), void *user);

#endif
