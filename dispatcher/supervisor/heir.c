/* The former acceptor faces the network: it may be no acceptor any more, but whoever broke into it.
 * So a process without rights talks to it, which may be hung, crashed or killed by what it
 * receives. Of what comes, only listening sockets of configured addresses go on to the supervisor,
 * one at a time; a unix socket must be the one that the path leads to. Everything else is closed
 * here.
 *
 * It lives as long as the lease: when the supervisor dies before its acceptor accepts, so does this
 * process, and the former acceptor goes on. */
#include "dispatcher/supervisor/heir.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/log.h"
#include "config/settings.h"
#include "dispatcher/supervisor/listening.h"
#include "dispatcher/takeover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define HEAD_BYTES   512
#define WHY_BYTES    256
#define SAID_MOST    16	   /* lines of the log that it can make us write */
#define RECORDS_MOST 65536 /* taken from somebody who goes on and on */

static const char request[] = "{\"verb\":\"" TAKEOVER_VERB "\",\"args\":[]}\n";
static const char agreed[] = "{\"status\":0,";

/* --- the supervisor --- */

static bool wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

static bool tell(enum heir_type type, const char *text, const int *fd)
{
	struct heir_record r = {.type = type};
	int answer;

	snprintf(r.text, sizeof(r.text), "%s", text);
	while ((answer = chan_send(HEIR_CHANNEL, &r, sizeof(r), fd, fd ? 1 : 0)) == CHAN_FULL)
		if (!wait_for(HEIR_CHANNEL, POLLOUT))
			return false;
	return !answer;
}

static int fail(const char *why)
{
	tell(HEIR_FAILED, why, NULL);
	return 1;
}

/* --- what is proved --- */

static const struct settings *map_settings(void)
{
	struct stat st;
	void *block;

	if (fstat(HEIR_SETTINGS, &st) < 0)
		return NULL;
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, HEIR_SETTINGS, 0);
	if (block == MAP_FAILED || settings_check(block, (size_t)st.st_size))
		return NULL;
	return block;
}

/* An operator who misses a listener shall find why. What is not configured is nobody's loss, nor what
 * clients could not find any more, as its service was being closed. */
static void say_rejected(const char *path)
{
	char text[WHY_BYTES], quoted[LOG_QUOTE_BYTES];
	struct stat st;
	int error = lstat(path, &st) < 0 ? errno : 0;

	if (error == ENOENT)
		return;
	snprintf(text, sizeof(text), "unix:%s is not taken: %s", path,
		error ? strerror(error) : "the path is not seen to lead to the same socket");
	log_event(EV_TAKEOVER_FAILED, "why=%s", log_quote(text, quoted));
}

static bool is_wanted(int fd, const struct listening *found, const struct settings *s,
	const struct settings_listener *l, unsigned *said)
{
	const char *path = settings_text(s, l->path);

	if (!listening_is(found, &l->addr, path))
		return false;
	if (l->addr.family != AF_UNIX || listening_stands_at(fd, path))
		return true;
	if ((*said)++ < SAID_MOST)
		say_rejected(path);
	return false;
}

static bool is_configured(int fd, const struct settings *s, unsigned *said)
{
	struct listening found;

	if (listening_look(fd, &found))
		return false;
	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		for (uint32_t k = 0; k < svc->listeners.count; k++)
			if (is_wanted(fd, &found, s, &settings_listeners(s, svc)[k], said))
				return true;
	}
	return false;
}

/* --- the former acceptor --- */

static bool send_all(const void *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t put =
			send(HEIR_CONNECTION, (const char *)data + sent, len - sent, MSG_NOSIGNAL);

		if (put < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (!wait_for(HEIR_CONNECTION, POLLOUT))
				return false;
			continue;
		}
		if (put < 0)
			return false;
		sent += (size_t)put;
	}
	return true;
}

/* The answer's first line, read byte by byte: a socket may come right behind it. */
static bool read_head(char head[HEAD_BYTES])
{
	size_t len = 0;

	while (len < HEAD_BYTES - 1) {
		ssize_t got = recv(HEIR_CONNECTION, head + len, 1, 0);

		if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
			if (!wait_for(HEIR_CONNECTION, POLLIN))
				return false;
			continue;
		}
		if (got <= 0)
			return false;
		head[++len] = '\0';
		if (head[len - 1] == '\n')
			return true;
	}
	return false;
}

/* A record with at most one descriptor, which is -1 without. 0 or CHAN_GONE. */
static int read_record(struct takeover_record *ret_record, int *ret_fd)
{
	size_t len = 0;
	unsigned count = 0;
	int answer;

	*ret_fd = -1;
	while ((answer = chan_recv(HEIR_CONNECTION, ret_record, sizeof(*ret_record), &len, ret_fd,
			1, &count)) == CHAN_EMPTY)
		if (!wait_for(HEIR_CONNECTION, POLLIN))
			return CHAN_GONE;
	if (!answer && len == sizeof(*ret_record) && ret_record->magic == TAKEOVER_MAGIC)
		return 0;
	if (count)
		base_close(ret_fd);
	return CHAN_GONE;
}

static bool pass_on_consume(int fd, const struct settings *s, unsigned *said)
{
	OWNS_FD int owned = fd;

	return fd < 0 || !is_configured(fd, s, said) || tell(HEIR_LISTENER, "", &fd);
}

static int receive(const struct settings *s)
{
	unsigned said = 0;

	for (unsigned i = 0; i < RECORDS_MOST; i++) {
		struct takeover_record r;
		int fd;

		if (read_record(&r, &fd))
			return fail("the former acceptor does not keep to what was agreed");
		if (!pass_on_consume(fd, s, &said))
			return 1;
		if (r.type == TAKEOVER_ALL)
			return 0;
	}
	return fail("the former acceptor never comes to an end");
}

/* --- the lease --- */

static int hold_lease(void)
{
	struct takeover_record done = {.magic = TAKEOVER_MAGIC, .type = TAKEOVER_DONE};
	struct pollfd both[] = {
		{.fd = HEIR_CHANNEL, .events = POLLIN}, {.fd = HEIR_CONNECTION, .events = POLLIN}};
	struct heir_record r;
	unsigned count = 0;
	size_t len;
	int fd;

	while (poll(both, ARRAY_LEN(both), -1) < 0)
		if (errno != EINTR)
			return 1;
	if (!both[0].revents) /* it says nothing any more: it has gone */
		return 0;
	if (chan_recv(HEIR_CHANNEL, &r, sizeof(r), &len, &fd, 1, &count) || r.type != HEIR_DONE)
		return 1;
	return send_all(&done, sizeof(done)) ? 0 : 1;
}

int heir_main(int argc, char **argv)
{
	const struct settings *s = map_settings();
	char head[HEAD_BYTES] = "";

	if (!s)
		return fail("no settings");
	if (!send_all(request, strlen(request)) || !read_head(head))
		return fail("the former acceptor does not answer");
	if (strncmp(head, agreed, strlen(agreed)) != 0) {
		head[strcspn(head, "\n")] = '\0';
		return fail(head);
	}
	if (receive(s) || !tell(HEIR_ALL, "", NULL))
		return 1;
	return hold_lease();
}
