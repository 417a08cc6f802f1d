/* The program's listening sockets. */
#ifndef WORKER_ADAPTER_LISTENERS_H
#define WORKER_ADAPTER_LISTENERS_H

#include "common/adapter.h"

#include <stdbool.h>
#include <stdint.h>

/* The address behind a descriptor's word; NULL: it is neither bound to the service nor listens. */
struct adapter_bound *listeners_bound(uint64_t word);

/* Gives a new connection what the program set on its listener, which the kernel's accept() would
 * have. */
void listeners_inherit(const struct adapter_bound *bound, int fd);

/* Keeps an option that was set on a listener, if accepted sockets inherit it. */
void listeners_keep_option(
	struct adapter_bound *bound, int level, int name, const void *value, unsigned len);

/* Nobody sends any more: every listener of this process becomes one where nothing ever arrives. 0
 * or -errno. */
int listeners_silence(void);

#endif
