/* Looks after the certificates that are in force: warns before they end, sees when their files change,
 * and tells the acceptor, which tells whoever asks for the status. */
#ifndef SUPERVISOR_CERTS_H
#define SUPERVISOR_CERTS_H

struct certs;
struct outlet;
struct secrets;
struct services;
struct uv_loop_s;

int certs_new(struct uv_loop_s *loop, struct secrets *secrets, const struct services *services,
	struct outlet *outlet, struct certs **ret_certs);
struct certs *certs_free(struct certs *c); /* NULL is fine; returns NULL */

/* Tells the acceptor everything again. */
void certs_announce(struct certs *c);

#endif
