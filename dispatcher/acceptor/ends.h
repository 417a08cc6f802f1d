/* The kernel's word on the end of TCP connections of adapted servers, for those that nobody else reports:
 * children that were killed, system calls that no library sees, programs that exec another. */
#ifndef ACCEPTOR_ENDS_H
#define ACCEPTOR_ENDS_H

#include "dispatcher/acceptor/service.h"

struct ends;

/* Opens what a sandbox would not let be opened. NULL: no service needs it, or it cannot be had (which is
 * logged). */
struct ends *ends_open(const struct settings *settings);

/* Listens from now on, and asks for what was missed. NULL is fine. */
void ends_start(struct ends *e, uv_loop_t *loop, struct service *services, uint32_t count);

/* Something may have been missed. */
void ends_doubt(struct ends *e);

/* Bytes that wait unread on the connections of a worker. 0: none, or it is not known; or the worker may
 * wait itself, for a client that does not read. */
uint64_t ends_unread(struct ends *e, const struct service *svc, const struct slot *s);

#endif
