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
void serve_let_down(struct service *svc);

/* Somebody waits on this listener. */
void serve_arrived(struct service *svc, struct listener *l, uint64_t now_ms);

/* An accepted connection: refused and closed, or put into hand (at place), ledger and stash. True: the
 * latter. The conn table and the stash must have room. */
bool serve_admit_consume(struct service *svc, const struct listener *l, int fd, const struct addr *peer,
	unsigned place, uint64_t now_ms, uint64_t wall_ms);

#endif
