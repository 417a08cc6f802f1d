/* A sleeping child that shares the acceptor's descriptors, and saves those in hand when it dies. */
#ifndef ACCEPTOR_KEEPER_H
#define ACCEPTOR_KEEPER_H

struct hand;

/* Call before there is anything to be shared but descriptors: the child keeps the memory of this moment.
 * It calls become(user) first, and ends when this process has ended. 0 or -errno. */
int keeper_start(const struct hand *hand, void (*become)(void *user), void *user);

/* Puts everything that is in hand into hand->park. The keeper's part; callable by tests. */
void keeper_rescue(const struct hand *hand);

#endif
