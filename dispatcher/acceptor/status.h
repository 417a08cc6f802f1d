/* What the acceptor tells about itself, as JSON whose keys are as stable as the log's events. */
#ifndef ACCEPTOR_STATUS_H
#define ACCEPTOR_STATUS_H

#include <jansson.h>

struct acceptor;

/* Documents of the caller (json_decref). service: a name in any case, or NULL for all. NULL when there
 * is no such service or no memory. Reads every report page first. */
json_t *status_document(struct acceptor *a, const char *service);
json_t *status_connections(struct acceptor *a, const char *service);

#endif
