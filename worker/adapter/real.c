/* Lazy look-up. Two threads may both look a name up; they find the same. A function that the C
 * library does not have is called by nobody, as nobody else than the C library's callers reach us.
 */
#include "worker/adapter/real.h"

#include <dlfcn.h>
#include <stdlib.h>

void *real_find(_Atomic(void *) *found, const char *name)
{
	void *function = atomic_load_explicit(found, memory_order_acquire);

	if (function)
		return function;
	function = dlsym(RTLD_NEXT, name);
	if (!function)
		abort();
	atomic_store_explicit(found, function, memory_order_release);
	return function;
}
