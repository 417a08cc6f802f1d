/* Takes from the acceptor every right that it will not need. */
#ifndef ACCEPTOR_SANDBOX_H
#define ACCEPTOR_SANDBOX_H

/* From here on only the system calls of the loop, of accept and hand-off, and of the control socket
 * work; others fail with EPERM. Does nothing under a sanitizer. 0 or -errno. */
int sandbox_enter(void);

/* The same for its keeper, which needs next to nothing. */
int sandbox_enter_keeper(void);

#endif
