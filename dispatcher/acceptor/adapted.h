/* Workers whose program was not written for us: what others answer to a ping, or do when they are told,
 * is here seen from outside. */
#ifndef ACCEPTOR_ADAPTED_H
#define ACCEPTOR_ADAPTED_H

#include "dispatcher/acceptor/service.h"

/* It was started for all that the service listens on now; others retire when a reload is over. */
bool adapted_suits(const struct service *svc, const struct slot *s);

/* Who takes a connection of this listener (index) in place of s, which may not know what it is: s itself,
 * another with room, or NULL. */
struct slot *adapted_who_knows(struct service *svc, struct slot *s, uint32_t listener);

/* Its unread offers were taken away: it is asked nothing, but watched. silent: there were none, although
 * it has not said that it read them. */
void adapted_robbed(struct service *svc, struct slot *s, bool silent, uint64_t now_ms);

/* A new acceptor found it, and cannot ask it. */
void adapted_found(struct service *svc, struct slot *s, uint64_t now_ms);

/* Lets those go that retire and have nothing left, and looks at suspects. */
void adapted_look(struct service *svc, uint64_t now_ms);
uint64_t adapted_due(const struct service *svc); /* when to look again; 0: not */

/* HANG_TIMEOUT: begins to look at one that gives no sign of life; whether it has hung since. */
void adapted_watch_hang(struct service *svc, struct slot *s, uint64_t now_ms);
bool adapted_hangs(struct service *svc, struct slot *s, uint64_t now_ms);

/* At a deadline. What it is sent is its own STOP_SIGNAL, and that only once. */
bool adapted_was_stopped(const struct slot *s);
int adapted_signal(const struct slot *s, int number); /* what the supervisor makes of it */

#endif
