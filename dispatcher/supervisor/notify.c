/* One datagram a message. Nobody is waited for: a manager that does not read is told later, and one
 * that has gone not at all. */
#include "dispatcher/supervisor/notify.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int notify_address(const char *text, struct sockaddr_un *ret_sa, socklen_t *ret_len)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(text);

	if ((*text != '/' && *text != '@') || len < 2 || len >= sizeof(sa.sun_path))
		return -EINVAL;
	memcpy(sa.sun_path, text, len);
	if (*text == '@')
		sa.sun_path[0] = '\0';
	*ret_sa = sa;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*text == '/'));
	return 0;
}

uint64_t notify_watchdog_ms(pid_t self, const char *usec, const char *pid)
{
	uint64_t time = 0, whose = 0;

	if (!usec || parse_u64(usec, &time))
		return 0;
	if (pid && (parse_u64(pid, &whose) || whose != (uint64_t)self))
		return 0;
	return time ? MAX(time / 1000, (uint64_t)1) : 0;
}

int notify_open(struct notify *n)
{
	const char *text = getenv("NOTIFY_SOCKET");
	int bad;

	*n = (struct notify){.fd = -1};
	if (!text || !*text)
		return NOTIFY_NOBODY;
	bad = notify_address(text, &n->to, &n->len);
	if (bad)
		return bad;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return n->fd < 0 ? -errno : 0;
}

int notify_send(const struct notify *n, const char *text)
{
	ssize_t put;

	do
		put = sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
			(const struct sockaddr *)&n->to, n->len);
	while (put < 0 && errno == EINTR);
	if (put >= 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS ? NOTIFY_LATER : -errno;
}

void notify_close(struct notify *n)
{
	base_close(&n->fd);
}

/* --- words --- */

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void put_trouble(FILE *out, const struct notify_facts *f)
{
	uint32_t failed = f->in_state[LINK_FAILED];

	if (f->ends)
		fputs("shutting down: ", out);
	else if (!f->accepts)
		fputs("no acceptor, one is being started: ", out);
	else if (!f->succeeds)
		fputs("taking over: ", out);
	if (failed == 1 && f->failed)
		fprintf(out, "%s failed (%.200s); ", f->failed, f->why ? f->why : "");
	else if (failed)
		fprintf(out, "%u services failed, as %s (%.160s); ", failed,
			f->failed ? f->failed : "", f->why ? f->why : "");
}

const char *notify_status(const struct notify_facts *f, char ret_text[NOTIFY_STATUS_BYTES])
{
	FILE *out = fmemopen(ret_text, NOTIFY_STATUS_BYTES, "w");
	uint32_t open = f->in_state[LINK_OPEN], closing = f->in_state[LINK_CLOSING];

	*ret_text = '\0';
	if (!out)
		return ret_text;
	put_trouble(out, f);
	fprintf(out, "%u service%s open, ", open, plural(open));
	if (closing)
		fprintf(out, "%u closing, ", closing);
	fprintf(out, "%u worker%s, %" PRIu64 " connection%s", f->workers, plural(f->workers),
		f->connections, plural(f->connections));
	fclose(out);
	for (char *c = ret_text; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return ret_text;
}
