/* Only what the environment says; what the descriptors are, they are asked themselves
 * (listening.h). */
#include "dispatcher/supervisor/inherited.h"
#include "common/base.h"
#include "common/parse.h"

#include <string.h>

/* Decimal digits only: parse_u64 knows other notations, too. */
static bool read_number(const char *text, uint64_t *ret_number)
{
	return text && *text && !text[strspn(text, "0123456789")] && !parse_u64(text, ret_number);
}

int inherited_count(pid_t self, const char *listen_pid, const char *listen_fds, unsigned *ret_count)
{
	uint64_t pid, count;

	if (!read_number(listen_pid, &pid) || pid != (uint64_t)self || !listen_fds)
		return INHERITED_NONE;
	if (!read_number(listen_fds, &count) || !count || count > INHERITED_MAX)
		return INHERITED_WRONG;
	*ret_count = (unsigned)count;
	return 0;
}

const char *inherited_name(
	const char *listen_fdnames, unsigned index, char ret_name[INHERITED_NAME_BYTES])
{
	const char *at = listen_fdnames;

	for (unsigned i = 0; at && i < index; i++) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	snprintf(ret_name, INHERITED_NAME_BYTES, "%.*s",
		at ? (int)MIN(strcspn(at, ":"), (size_t)INHERITED_NAME_BYTES) : 0, at ? at : "");
	return ret_name;
}
