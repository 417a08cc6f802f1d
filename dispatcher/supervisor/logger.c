/* A process of its own without rights: a full disk, a stopped terminal or a worker that floods its
 * stderr hold up nobody but this one. Sources are read in turn, a few KiB each. When the supervisor
 * goes without a word (it was killed), the logger serves on until every pipe has ended: acceptor and
 * workers live on too, and must not die of SIGPIPE. */
#include "dispatcher/supervisor/logger.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "dispatcher/supervisor/logline.h"
#include "dispatcher/supervisor/logsink.h"
#include "dispatcher/supervisor/logtail.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define TURN_BYTES 16384
#define EVENTS 64
#define HEAD_BYTES 256
#define TURNS_BEFORE_TAIL 4

struct source {
	struct source *next, *prev;
	struct logger *logger;
	int fd;
	uint32_t sink;
	int32_t pid; /* 0: lines are complete already */
	char label[LOG_LABEL_BYTES];
	struct logline line;
	struct logtail tail; /* of a worker */
};

struct logger {
	int epoll;
	bool linked; /* the supervisor is there */
	bool ending;
	struct source head; /* of a ring */
	struct logsink *sinks;
	uint32_t sink_count;
	char out[HEAD_BYTES + LOGLINE_OUT_BYTES];
};

/* --- lines --- */

static enum log_level level_in(const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	for (int l = LOG_LEVEL_DEBUG; space && l <= LOG_LEVEL_ALERT; l++) {
		const char *name = log_level_name((enum log_level)l);
		size_t rest = len - (size_t)(space + 1 - line);

		if (rest > strlen(name) && memcmp(space + 1, name, strlen(name)) == 0)
			return (enum log_level)l;
	}
	return LOG_LEVEL_INFO;
}

static void own_line(void *user, const char *text, size_t len)
{
	struct source *s = user;
	struct logger *lg = s->logger;

	memcpy(lg->out, text, len);
	lg->out[len] = '\n';
	logsink_write(&lg->sinks[s->sink], level_in(text, len), lg->out, len + 1);
}

static size_t put_head(const struct source *s, char *out)
{
	char when[CLOCK_TEXT_BYTES];
	size_t len;

	if (s->logger->sinks[s->sink].shared) {
		len = log_head(EV_WORKER_OUTPUT, clock_wall_ms(), out, HEAD_BYTES);
		return len + (size_t)snprintf(out + len, HEAD_BYTES - len,
			" worker=%s pid=%d text=", s->label, s->pid);
	}
	return (size_t)snprintf(out, HEAD_BYTES, "%s %s[%d]: ", clock_format(clock_wall_ms(), when),
		s->label, s->pid);
}

static void worker_line(void *user, const char *text, size_t len)
{
	struct source *s = user;
	struct logger *lg = s->logger;
	size_t at = put_head(s, lg->out);

	at += logline_escape(text, len, lg->out + at);
	lg->out[at++] = '\n';
	logsink_write(&lg->sinks[s->sink], LOG_LEVEL_INFO, lg->out, at);
	logtail_add(&s->tail, lg->out, at);
}

static logline_fn *line_fn(const struct source *s)
{
	return s->pid ? worker_line : own_line;
}

/* --- sources --- */

/* The supervisor has the same pipe open, so closing our descriptor alone would leave it in epoll. */
static void forget(struct source *s)
{
	logline_flush(&s->line, line_fn(s), s);
	epoll_ctl(s->logger->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->next->prev = s->prev;
	s->prev->next = s->next;
	close(s->fd);
	free(s->line.text);
	logtail_deinit(&s->tail);
	free(s);
}

/* True when there may be more. */
static bool copy_some(struct source *s)
{
	char buf[TURN_BYTES];
	ssize_t got = read(s->fd, buf, sizeof(buf));

	if (got > 0) {
		logline_feed(&s->line, buf, (size_t)got, line_fn(s), s);
		return true;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	forget(s);
	return false;
}

static struct source *find_source(struct logger *lg, const struct log_record *r)
{
	for (struct source *s = lg->head.next; s != &lg->head; s = s->next)
		if (s->pid == r->pid && strncmp(s->label, r->label, sizeof(s->label)) == 0)
			return s;
	return NULL;
}

/* One that is known goes to another sink from now on. */
static bool redirect_source(struct logger *lg, const struct log_record *r)
{
	struct source *known = r->pid && r->number < lg->sink_count ? find_source(lg, r) : NULL;

	if (known)
		known->sink = r->number;
	return known;
}

static void add_source(struct logger *lg, const struct log_record *r, int fd)
{
	struct source *s = r->number < lg->sink_count ? calloc(1, sizeof(*s)) : NULL;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

	if (!s || epoll_ctl(lg->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(s);
		close(fd);
		return;
	}
	*s = (struct source){.logger = lg, .fd = fd, .sink = r->number, .pid = r->pid};
	memcpy(s->label, r->label, sizeof(s->label));
	s->label[sizeof(s->label) - 1] = '\0';
	s->prev = lg->head.prev;
	s->next = &lg->head;
	s->prev->next = s;
	lg->head.prev = s;
}

static void drain_all(struct logger *lg)
{
	struct source *next;

	for (struct source *s = lg->head.next; s != &lg->head; s = next) {
		next = s->next;
		while (copy_some(s))
			;
	}
	while (lg->head.next != &lg->head)
		forget(lg->head.next);
}

/* --- orders --- */

static void set_sink(struct logger *lg, const struct log_record *r, int fd)
{
	if (r->number >= lg->sink_count) {
		struct logsink *more = calloc(r->number + 1, sizeof(*more));

		if (!more) {
			base_close(&fd);
			return;
		}
		if (lg->sink_count)
			memcpy(more, lg->sinks, lg->sink_count * sizeof(*more));
		free(lg->sinks);
		lg->sinks = more;
		lg->sink_count = r->number + 1;
	}
	logsink_set_consume(&lg->sinks[r->number], (enum log_sink_kind)r->kind, r->shared, fd);
}

/* What it said just now is still in its pipe. A pipe has room for a tail, so this never blocks. */
static void tell_tail(struct logger *lg, const struct log_record *r, int fd)
{
	struct source *s = find_source(lg, r);
	char text[LOGTAIL_BYTES];
	int unread = 0;
	size_t len;

	if (!s)
		return;
	for (int i = 0; i < TURNS_BEFORE_TAIL; i++)
		if (ioctl(s->fd, FIONREAD, &unread) == 0 && unread)
			copy_some(s);
	len = logtail_copy(&s->tail, text);
	if (write(fd, text, len) < 0)
		return; /* who asked has gone */
}

static void obey(struct logger *lg, const struct log_record *r, int fd)
{
	switch ((enum log_order)r->order) {
	case LOG_SINK:
		set_sink(lg, r, fd);
		return;
	case LOG_SOURCE:
		if (fd < 0)
			return;
		if (!redirect_source(lg, r)) {
			add_source(lg, r, fd);
			return;
		}
		break;
	case LOG_END:
		lg->ending = true;
		break;
	case LOG_TAIL:
		if (fd >= 0)
			tell_tail(lg, r, fd);
		break;
	}
	base_close(&fd);
}

static void take_orders(struct logger *lg)
{
	struct log_record r;
	size_t len;
	int fd, answer;
	unsigned count;

	while (!(answer = chan_recv(LOG_CHANNEL_FD, &r, sizeof(r), &len, &fd, 1, &count))) {
		if (len == sizeof(r))
			obey(lg, &r, count ? fd : -1);
		else if (count)
			close(fd);
	}
	if (answer != CHAN_GONE)
		return;
	epoll_ctl(lg->epoll, EPOLL_CTL_DEL, LOG_CHANNEL_FD, NULL);
	lg->linked = false;
}

static int serve(struct logger *lg)
{
	struct epoll_event events[EVENTS];

	while (!lg->ending && (lg->linked || lg->head.next != &lg->head)) {
		int count = epoll_wait(lg->epoll, events, EVENTS, -1);

		if (count < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				copy_some(events[i].data.ptr);
			else
				take_orders(lg);
		}
	}
	drain_all(lg);
	return 0;
}

int logger_main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct logger lg = {.linked = true};
	int status;

	signal(SIGPIPE, SIG_IGN);
	lg.head.next = lg.head.prev = &lg.head;
	lg.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (lg.epoll < 0 || epoll_ctl(lg.epoll, EPOLL_CTL_ADD, LOG_CHANNEL_FD, &event) < 0)
		return 1;
	status = serve(&lg);
	free(lg.sinks);
	return status;
}
