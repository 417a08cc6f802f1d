/* The kernel shows the memory where the arguments stood; when their last byte is not NUL any more it
 * goes on into the environment behind them (proc(5), /proc/pid/cmdline). */
#include "dispatcher/supervisor/title.h"
#include "common/base.h"

#include <string.h>
#include <sys/prctl.h>

/* The environment moves away; where that fails its memory is not used. */
static char *end_of_memory(int argc, char **argv)
{
	char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;

	for (char **e = environ; e && *e; e++) {
		char *copy = *e == end ? strdup(*e) : NULL;

		if (!copy)
			return end;
		end = *e + strlen(*e) + 1;
		*e = copy;
	}
	return end;
}

void title_set(int argc, char **argv, const char *title)
{
	char *end = end_of_memory(argc, argv);
	size_t size = (size_t)(end - argv[0]);
	size_t len = MIN(strlen(title), size - 1);

	memset(argv[0], 0, size);
	memcpy(argv[0], title, len);
	prctl(PR_SET_NAME, "dispatcher");
}
