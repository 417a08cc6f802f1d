/* The environment is believed as far as it can be: what is told is whatever the descriptors are. */
#include "dispatcher/supervisor/inherited.h"
#include "common/base.h"
#include "common/parse.h"
#include "dispatcher/supervisor/adopted.h"

#include <fcntl.h>
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

int inherited_collect(struct adopted *adopted)
{
	const char *names = getenv("LISTEN_FDNAMES");
	unsigned count = 0;
	int answer = inherited_count(getpid(), getenv("LISTEN_PID"), getenv("LISTEN_FDS"), &count);
	char name[INHERITED_NAME_BYTES];

	for (unsigned i = 0; !answer && i < count; i++) {
		int fd = INHERITED_FIRST + (int)i;

		if (fcntl(fd, F_GETFD) >= 0)
			answer = adopted_add_consume(
				adopted, fd, ADOPTED_LENT, inherited_name(names, i, name));
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return answer == INHERITED_NONE ? 0 : answer;
}
