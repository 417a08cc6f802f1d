/* The process that accepts, decides, hands off and answers the control socket. */
#ifndef ACCEPTOR_ACCEPTOR_H
#define ACCEPTOR_ACCEPTOR_H

/* Runs as the acceptor: the link to the supervisor is descriptor LINK_FD. Returns the exit status. */
int acceptor_main(void);

#endif
