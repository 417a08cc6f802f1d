/* What the acceptor tells about itself, as JSON whose keys are as stable as the log's events. */
#ifndef ACCEPTOR_STATUS_H
#define ACCEPTOR_STATUS_H

#include "dispatcher/acceptor/answer.h"

#include <jansson.h>

struct result;

/* Bodies of answers, of an->only or of everything; each call writes a piece. Every report page is read
 * first. */
bool status_more(struct answer *an, FILE *out);
bool status_connections_more(struct answer *an, FILE *out);

json_t *status_result(const struct result *r);

#endif
