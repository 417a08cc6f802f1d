/* The supervisor itself says no word to the former acceptor and receives nothing from it: the heir
 * (heir.h) does. This waits before the loop runs, as no service can be opened before it is known
 * which listeners there are; whoever the heir talks to can delay the start by the limit, and no
 * more. */
#include "dispatcher/supervisor/former.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "config/settings.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/heir.h"
#include "dispatcher/supervisor/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define LIMIT_MS 10000

struct former {
	int channel; /* to the heir */
	uint32_t listeners;
};

/* Whatever is to be known of it has come through the channel. */
static void on_child(void *user, int status)
{
}

/* Its limit of descriptors is ours: all that its user has in flight count against it when it sends one,
 * and what the former acceptor has sent and workers have not read is in flight (unix(7)). */
static int launch_heir(
	const struct former_world *w, int connection, int channel, struct child **ret_child)
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *arguments[] = {"--role=heir", NULL};
	int fds[] = {null, w->log_fd, w->log_fd, connection, channel, w->settings_fd};
	struct launch l = {.title = "dispatcher: heir",
		.image = LAUNCH_SELF,
		.arguments = arguments,
		.uid = w->settings->uid,
		.gid = w->settings->gid,
		.umask = 077,
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	struct rlimit nofile;
	pid_t pid;
	int bad;

	getrlimit(RLIMIT_NOFILE, &nofile);
	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, nofile.rlim_max, nofile.rlim_max};
	l.limits[RLIMIT_CORE] = (struct spec_limit){.set = 1};
	if (null < 0)
		return -errno;
	bad = launch(&l, &pid, NULL);
	return bad ? bad : child_watch(w->children, pid, on_child, NULL, ret_child);
}

static int start(
	struct former *f, const struct former_world *w, int connection, struct child **ret_child)
{
	OWNS_FD int theirs = -1;
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	f->channel = ends[0];
	theirs = ends[1];
	return launch_heir(w, connection, theirs, ret_child);
}

/* --- what comes --- */

static bool wait_until(int fd, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int answer;

		if (now_ms >= deadline_ms)
			return false;
		answer = poll(&p, 1, (int)(deadline_ms - now_ms));
		if (answer > 0 || (answer < 0 && errno != EINTR))
			return answer > 0;
	}
}

static void failed(const char *why)
{
	char quoted[LOG_QUOTE_BYTES];

	log_event(EV_TAKEOVER_FAILED, "why=%s", log_quote(why, quoted));
}

/* 1: go on, 0: that were all, or -errno. */
static int take_record(struct former *f, struct adopted *adopted)
{
	struct heir_record r = {0};
	unsigned count = 0;
	size_t len = 0;
	int fd = -1, answer = chan_recv(f->channel, &r, sizeof(r), &len, &fd, 1, &count);

	if (answer == CHAN_EMPTY)
		return 1;
	if (answer) {
		failed("the process that asked for them has ended");
		return -ECONNRESET;
	}
	r.text[HEIR_TEXT_BYTES - 1] = '\0';
	if (r.type == HEIR_LISTENER && count) {
		f->listeners++;
		return adopted_add_consume(adopted, fd, ADOPTED_LEFT, "") ? -ENOMEM : 1;
	}
	base_close(&fd);
	if (r.type == HEIR_ALL)
		return 0;
	failed(r.text);
	return -ECONNREFUSED;
}

static int take_all(struct former *f, struct adopted *adopted)
{
	uint64_t deadline_ms = clock_mono_ms() + LIMIT_MS;
	int answer = 1;

	while (answer > 0) {
		if (!wait_until(f->channel, deadline_ms)) {
			failed("the former acceptor did not give them within 10 s");
			return -ETIMEDOUT;
		}
		answer = take_record(f, adopted);
	}
	return answer;
}

int former_take_consume(const struct former_world *world, int connection, struct adopted *adopted,
	struct former **ret_former)
{
	OWNS_FD int owned = connection;
	struct former *f = calloc(1, sizeof(*f));
	struct child *heir;
	int bad;

	if (!f)
		return -ENOMEM;
	f->channel = -1;
	bad = start(f, world, connection, &heir);
	if (bad) {
		former_free(f);
		return bad;
	}
	if (take_all(f, adopted)) {
		child_signal(heir, SIGKILL); /* not reaped before the loop runs */
		adopted_drop(adopted, ADOPTED_LEFT);
		f = former_free(f);
	}
	if (f)
		log_event(EV_TAKEN_OVER, "listeners=%u", f->listeners);
	*ret_former = f;
	return 0;
}

/* The heir says nothing any more: whatever there is to be read is its end. */
bool former_holds(const struct former *f)
{
	struct pollfd p = {.fd = f ? f->channel : -1, .events = POLLIN};

	return f && poll(&p, 1, 0) == 0;
}

int former_done(struct former *f)
{
	struct heir_record r = {.type = HEIR_DONE};

	return chan_send(f->channel, &r, sizeof(r), NULL, 0);
}

struct former *former_free(struct former *f)
{
	if (f)
		base_close(&f->channel);
	free(f);
	return NULL;
}
