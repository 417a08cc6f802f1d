/* What the kernel knows of open connections beyond what the dispatcher does. */
#ifndef CTL_KERNEL_H
#define CTL_KERNEL_H

#include <jansson.h>

/* Adds to each TCP connection of the document "unread" and "unsent": bytes that the client has sent and
 * the worker has not read, and that the worker has sent and the client's side has not confirmed; null
 * where the kernel does not tell (another network namespace, a unix socket). */
void kernel_add_queues(json_t *connections);

#endif
