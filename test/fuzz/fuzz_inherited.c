/* What an environment says of inherited descriptors: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, a
 * line each, for the process 42. Whatever it says, the count is in range and every name ends in its
 * buffer. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "dispatcher/supervisor/inherited.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNS_MEM char *text = strndup((const char *)data, size);
	char *rest = text, *pid = strsep(&rest, "\n"), *fds = strsep(&rest, "\n"), *names = rest;
	char name[INHERITED_NAME_BYTES];
	unsigned count = 0;

	if (inherited_count(42, pid, fds, &count)) {
		ASSERT(!count);
		return 0;
	}
	ASSERT(count >= 1 && count <= INHERITED_MAX);
	for (unsigned i = 0; i < count; i++) {
		ASSERT(inherited_name(names, i, name) == name);
		ASSERT(strlen(name) < sizeof(name) && !strchr(name, ':'));
	}
	return 0;
}
