/* Gives living workers the certificates and ticket keys of their service, as often as these change, on
 * the channel that is otherwise the acceptor's: that one must never have them. */
#ifndef SUPERVISOR_DELIVERY_H
#define SUPERVISOR_DELIVERY_H

struct delivery;
struct secrets;
struct services;
struct uv_loop_s;
struct workers;

/* Begins to rotate tickets, too. 0 or -errno. */
int delivery_new(struct uv_loop_s *loop, struct secrets *secrets, const struct services *services,
	const struct workers *workers, struct delivery **ret_delivery);
struct delivery *delivery_free(struct delivery *d); /* NULL is fine; returns NULL */

/* Something has changed: everybody who has not what is in force gets it, now or as soon as there is room
 * in his channel. */
void delivery_push(struct delivery *d);

#endif
