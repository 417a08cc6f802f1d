/* Socket addresses in the program's memory, by the rules of accept(2) and getsockname(2): a buffer
 * that is too short gets what fits and learns the whole length. */
#include "worker/notify/notify.h"
#include "common/base.h"

#include <errno.h>

static int read_len(const struct caller *c, uint64_t len_at, int *ret_len)
{
	int bad = caller_read(c, len_at, ret_len, sizeof(*ret_len));

	if (bad)
		return bad;
	return *ret_len < 0 ? -EINVAL : 0;
}

int addresses_check(const struct caller *c, uint64_t len_at)
{
	int len;

	return read_len(c, len_at, &len);
}

int addresses_put(const struct caller *c, uint64_t at, uint64_t len_at,
	const struct sockaddr_storage *name, socklen_t name_len)
{
	int len, whole = (int)name_len;
	int bad = read_len(c, len_at, &len);

	if (!bad && len)
		bad = caller_write(c, at, name, (size_t)MIN(len, whole));
	if (!bad && len != whole)
		bad = caller_write(c, len_at, &whole, sizeof(whole));
	return bad;
}
