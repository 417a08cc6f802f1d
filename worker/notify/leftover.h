/* Whether the program still serves clients, when no dispatcher is left to know. */
#ifndef WORKER_NOTIFY_LEFTOVER_H
#define WORKER_NOTIFY_LEFTOVER_H

#include "common/adapter.h"

/* True if a process of this session, other than this one, holds a TCP connection that came in on a
 * listener's port. When that cannot be found out: false. */
bool leftover_any(const struct adapter *a);

#endif
