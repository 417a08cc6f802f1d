/* Records between supervisor and acceptor. */
#include "dispatcher/link.h"
#include "common/base.h"
#include "common/chan.h"

#include <errno.h>

int link_send(int fd, struct link_record *record, const int *fds, unsigned fd_count)
{
	record->version = LINK_VERSION;
	return chan_send(fd, record, sizeof(*record), fds, fd_count);
}

int link_recv(int fd, struct link_record *ret_record, int *ret_fds, unsigned *ret_count)
{
	size_t len = 0;
	int answer = chan_recv(fd, ret_record, sizeof(*ret_record), &len, ret_fds, CHAN_MAX_FDS,
		ret_count);

	if (answer)
		return answer;
	if (len == sizeof(*ret_record) && ret_record->version == LINK_VERSION) {
		ret_record->text[LINK_TEXT_BYTES - 1] = '\0';
		return 0;
	}
	while (*ret_count)
		close(ret_fds[--*ret_count]);
	return -EBADMSG;
}
