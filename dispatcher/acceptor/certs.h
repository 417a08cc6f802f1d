/* What the supervisor says of the certificates of a service, kept for the status. */
#ifndef ACCEPTOR_CERTS_H
#define ACCEPTOR_CERTS_H

#include "dispatcher/acceptor/service.h"

#include <jansson.h>

/* LINK_TLS: fd (-1: the service has no TLS) is ours whatever happens. */
void certs_keep_consume(struct service *svc, int fd);
void certs_forget(struct service *svc);

/* Null, or its certificates and the generation of its ticket keys. */
json_t *certs_status(const struct service *svc);

#endif
