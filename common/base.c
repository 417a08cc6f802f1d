/* What base.h cannot say inline. */
#include "common/base.h"

#include <errno.h>

_Noreturn void base_assert_failed(const char *claim, const char *file, int line)
{
	fprintf(stderr, "dispatcher: broken promise: %s (%s:%d)\n", claim, file, line);
	abort();
}

void base_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}
