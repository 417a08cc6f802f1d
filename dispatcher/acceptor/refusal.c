/* A refusal in the service's own protocol, in one send that does not wait: the send buffer of a
 * connection that is new has room for it. */
#include "dispatcher/acceptor/refusal.h"
#include "common/base.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define THROWS 16 /* a time; the rest the next time */
#define THROW_BYTES (1 << 20)

static void put(char *bytes, size_t *len, const char *more)
{
	size_t count = MIN(strlen(more), REFUSAL_BYTES - *len);

	memcpy(bytes + *len, more, count);
	*len += count;
}

size_t refusal_make(const char *text, char ret_bytes[REFUSAL_BYTES])
{
	size_t len = 0;

	if (!text || !*text)
		return 0;
	for (; *text && len < REFUSAL_BYTES; text++) {
		char one[2] = {*text};
		bool is_pair = text[0] == '\\' && (text[1] == 'n' || text[1] == '\\');

		put(ret_bytes, &len, is_pair && text[1] == 'n' ? "\r\n" : one);
		text += is_pair;
	}
	put(ret_bytes, &len, "\r\n");
	return len;
}

void refusal_say(int fd, const char *bytes, size_t len)
{
	if (len)
		(void)!send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

/* MSG_TRUNC: the kernel throws them away (tcp(7)). A unix socket knows no such thing and needs none:
 * there the reader finds what was sent before it is told of a reset. Not recv(3): a sanitizer would take
 * the missing buffer for a mistake. */
void refusal_throw_away(int fd)
{
	for (unsigned i = 0; i < THROWS; i++)
		if (syscall(SYS_recvfrom, fd, NULL, THROW_BYTES, MSG_TRUNC | MSG_DONTWAIT, NULL, NULL) <= 0)
			return;
}
