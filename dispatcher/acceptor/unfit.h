/* Servers that cannot be adapted as they are, or serve badly: each is named once in the log, with what
 * helps, and shown by status. */
#ifndef ACCEPTOR_UNFIT_H
#define ACCEPTOR_UNFIT_H

#include "dispatcher/acceptor/service.h"

/* LINK_UNFIT: the supervisor found it, and has logged it. */
void unfit_told(struct service *svc, const struct link_record *r);

/* It did not become ready in time, or ended before it was. */
void unfit_not_ready(struct service *svc, struct slot *s);

/* It left offers unread for too long, and may live: looks why. */
void unfit_to_read(struct service *svc, struct slot *s, uint64_t now_ms);

/* Looks at all whose offers nobody can take away. */
void unfit_look(struct service *svc, uint64_t now_ms);

#endif
