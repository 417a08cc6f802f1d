/* The coming and going of a service's workers. The caller pumps afterwards. */
#ifndef ACCEPTOR_CREW_H
#define ACCEPTOR_CREW_H

#include "dispatcher/acceptor/service.h"

/* News from the supervisor: a worker runs in a slot (fds: see slot.h, owned), or it is gone,
 * or it could not be started. */
void crew_came(struct service *svc, const struct link_record *r, const int fds[SLOT_FDS], uint64_t now_ms);
void crew_image(struct service *svc, const struct link_record *r); /* LINK_IMAGE */
void crew_stale(struct service *svc, const struct link_record *r, uint64_t now_ms); /* LINK_STALE */
void crew_exited(struct service *svc, const struct link_record *r, uint64_t now_ms);

void crew_go(struct service *svc, uint64_t now_ms); /* everything is known: adopt, and be active */
bool crew_settling(struct service *svc, uint64_t now_ms); /* adopted workers have yet to answer */
void crew_book_exits(struct service *svc, uint64_t now_ms); /* exits that had to wait for a theft */

/* Nothing of an exited worker is left to be rescued: what it had taken is lost, its slot is given up;
 * slot_ops.released follows, and then crew_released. */
void crew_bury(struct service *svc, struct slot *s);

/* Nobody will come any more who could be given the unread offers of the dead: buries them all. */
void crew_give_up(struct service *svc, uint64_t now_ms);
void crew_released(struct service *svc, struct slot *s, uint64_t now_ms);

#endif
