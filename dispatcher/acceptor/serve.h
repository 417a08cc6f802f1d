/* Accepts who waits and offers them to workers. */
#ifndef ACCEPTOR_SERVE_H
#define ACCEPTOR_SERVE_H

#include "dispatcher/acceptor/service.h"

/* After anything that may have made room: releases held listeners, serves who waits there, and polls
 * the listeners or not, as it should be. */
void serve_resume(struct service *svc, uint64_t now_ms);

/* When serve_resume has something to do that no other event will say; 0: nothing. */
uint64_t serve_due(const struct service *svc);

/* The listeners are given up: nobody has had room for who waits here, and nobody waits any more. */
void serve_let_down(struct service *svc, uint64_t now_ms);

/* Somebody waits on this listener. */
void serve_arrived(struct service *svc, struct listener *l, uint64_t now_ms);

/* --- for whoever has clients of other origin to serve --- */

bool serve_may(const struct service *svc); /* anything at all, at present */

/* How many of those that wait could go to one worker now, and to which; 0: nobody has room. */
uint32_t serve_room(const struct service *svc, uint32_t waiting, uint32_t *ret_slot);

/* Gives the first of the stash to s. False: they stay there, and are tried again. */
bool serve_give(struct service *svc, struct slot *s, unsigned count, uint64_t now_ms);

/* Accepts one into the stash, and in hand at place; or it is refused at once, as its source is not
 * welcome. False: nobody waits. */
bool serve_accept(struct service *svc, struct listener *l, unsigned place, uint64_t now_ms, uint64_t wall_ms);

void serve_starved(struct service *svc, uint64_t now_ms); /* descriptors ran out: pause */
void serve_source_closed(struct service *svc, const struct addr *peer); /* MAX_CONNS_PER_SOURCE */

/* An accepted connection: refused and closed, or put into hand (at place), ledger and stash. True: the
 * latter. The conn table and the stash must have room. */
bool serve_admit_consume(struct service *svc, const struct listener *l, int fd, const struct addr *peer,
	unsigned place, uint64_t now_ms, uint64_t wall_ms);

#endif
