/* The functions that ours stand in front of. */
#ifndef WORKER_ADAPTER_REAL_H
#define WORKER_ADAPTER_REAL_H

#include <stdatomic.h>

/* The next definition of a function behind this library, as a pointer of the function's own type.
 * It is looked up at its first use: others call us before our own constructor has run. */
#define REAL(name)                                                                                 \
	({                                                                                         \
		static _Atomic(void *) found_;                                                     \
		(__typeof__(&name))real_find(&found_, #name);                                      \
	})

void *real_find(_Atomic(void *) *found, const char *name);

#endif
