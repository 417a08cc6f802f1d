/* Files are opened here, as root and by the names in the configuration, and the logger gets only
 * descriptors: it can run without any right. Every pipe's reading end stays open here too, so that a
 * logger that dies loses no line that it had not read, and no writer ever gets SIGPIPE. */
#include "dispatcher/supervisor/logs_inner.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/logsink.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define STOP_LIMIT_MS 2000
#define DETACHED_MAX 256 /* workers that may end while no logger runs before words are lost */
#define SWEEP_MS 100

/* --- records --- */

static int say_source(struct news *news, int fd)
{
	struct log_source *source = (struct log_source *)news;
	struct log_record r = {.order = LOG_SOURCE, .number = source->sink, .pid = source->pid};
	int answer;

	memcpy(r.label, source->label, sizeof(r.label));
	answer = chan_send(fd, &r, sizeof(r), &source->fd, 1);
	source->said = !answer;
	return answer;
}

static int say_end(struct news *news, int fd)
{
	struct log_record r = {.order = LOG_END};

	return chan_send(fd, &r, sizeof(r), NULL, 0);
}

/* --- the process --- */

static void on_child(void *user, int status);

static int launch_logger(struct logs *logs, int channel)
{
	const struct settings *s = logs->config->settings;
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *arguments[] = {"--role=logger", NULL};
	int fds[] = {null, null, STDERR_FILENO, channel};
	struct launch l = {.title = "dispatcher: logger",
		.image = LAUNCH_SELF,
		.arguments = arguments,
		.uid = s->uid,
		.gid = s->gid,
		.umask = 077,
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	struct rlimit nofile;
	int bad;

	getrlimit(RLIMIT_NOFILE, &nofile);
	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, nofile.rlim_cur, nofile.rlim_max};
	if (null < 0)
		return -errno;
	bad = launch(&l, &logs->pid, NULL);
	return bad ? bad : child_watch(logs->children, logs->pid, on_child, logs, &logs->child);
}

static void announce_all(struct logs *logs)
{
	for (uint32_t i = 0; i < logs->sink_count; i++)
		outlet_push(&logs->outlet, &logs->sinks[i]->news);
	for (struct log_source *s = logs->sources.next; s != &logs->sources; s = s->next)
		if (!s->said)
			outlet_push(&logs->outlet, &s->news);
}

static int start_logger(struct logs *logs)
{
	OWNS_FD int theirs = -1;
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	theirs = ends[1];
	bad = outlet_open_consume(&logs->outlet, ends[0]);
	if (!bad)
		bad = launch_logger(logs, theirs);
	if (bad)
		outlet_close(&logs->outlet);
	else
		announce_all(logs);
	return bad;
}

void logs_start(struct logs *logs)
{
	uint64_t now = clock_mono_ms();

	timer_in(logs->follow, FOLLOW_MS);
	backoff_started(&logs->backoff, now);
	if (start_logger(logs))
		timer_in(logs->timer, backoff_died(&logs->backoff, now));
}

/* Whatever the dead logger had must be told to the next one. */
static void forget_said(struct logs *logs)
{
	for (struct log_source *s = logs->sources.next; s != &logs->sources; s = s->next)
		s->said = false;
}

static void gone(struct logs *logs)
{
	logs->stopping = false;
	timer_stop(logs->timer);
	if (logs->stopped)
		logs->stopped(logs->user);
}

static void on_child(void *user, int status)
{
	struct logs *logs = user;
	char text[LOG_STATUS_BYTES];

	logs->child = NULL;
	outlet_close(&logs->outlet);
	forget_said(logs);
	if (logs->stopping) {
		gone(logs);
		return;
	}
	log_event(EV_LOGGER_EXIT, "pid=%d status=%s", logs->pid, log_status(status, text));
	timer_in(logs->timer, backoff_died(&logs->backoff, clock_mono_ms()));
}

static void on_timer(void *user)
{
	struct logs *logs = user;

	if (!logs->stopping)
		logs_start(logs);
	else if (logs->child)
		child_signal(logs->child, SIGKILL);
}

static void on_broken(void *user, int error)
{
	struct logs *logs = user;

	outlet_close(&logs->outlet);
	if (logs->child)
		child_signal(logs->child, SIGKILL);
}

/* The logger never sends anything; what is readable is its end. */
static void on_readable(void *user, int fd)
{
	on_broken(user, 0);
}

void logs_stop(struct logs *logs, void (*stopped)(void *user), void *user)
{
	logs->stopping = true;
	logs->stopped = stopped;
	logs->user = user;
	if (!logs->child) {
		gone(logs);
		return;
	}
	outlet_push(&logs->outlet, &logs->end);
	timer_in(logs->timer, STOP_LIMIT_MS);
}

static void start_after_all(void *user)
{
	logs_start(user);
}

void logs_go_on(struct logs *logs)
{
	if (!logs->stopping) {
		logs_start(logs);
		return;
	}
	logs->stopped = start_after_all;
	logs->user = logs;
}

/* --- sources --- */

int logs_own_fd(const struct logs *logs)
{
	return logs->own_out;
}

int logs_acceptor_fd(const struct logs *logs)
{
	return logs->acceptor_out;
}

bool logs_tail(struct logs *logs, const struct log_source *source, int fd)
{
	struct log_record r = {.order = LOG_TAIL, .pid = source->pid};

	if (logs->outlet.fd < 0 || !source->said)
		return false;
	memcpy(r.label, source->label, sizeof(r.label));
	return chan_send(logs->outlet.fd, &r, sizeof(r), &fd, 1) == 0;
}

static void link_source(struct logs *logs, struct log_source *source)
{
	source->news.say = say_source;
	source->prev = logs->sources.prev;
	source->next = &logs->sources;
	source->prev->next = source;
	logs->sources.prev = source;
	if (!source->said)
		outlet_push(&logs->outlet, &source->news);
}

void logs_add(struct logs *logs, struct log_source *source)
{
	source->said = false;
	link_source(logs, source);
}

static void unlink_source(struct logs *logs, struct log_source *source)
{
	outlet_forget(&logs->outlet, &source->news);
	source->prev->next = source->next;
	source->next->prev = source->prev;
	source->next = source->prev = NULL;
}

static void free_detached(struct logs *logs, struct log_source *source)
{
	unlink_source(logs, source);
	base_close(&source->fd);
	free(source);
	logs->detached_count--;
}

/* A logger that was told of the pipe may have died before it read: only an empty pipe is proof. */
static bool is_read(const struct log_source *source)
{
	int unread = 0;

	return source->said && ioctl(source->fd, FIONREAD, &unread) == 0 && !unread;
}

/* Frees the detached ones that have been read; with `all`, every one. */
static void free_all_detached(struct logs *logs, bool all)
{
	struct log_source *next;

	for (struct log_source *s = logs->sources.next; s != &logs->sources; s = next) {
		next = s->next;
		if (s->detached && (all || is_read(s)))
			free_detached(logs, s);
	}
}

static void on_sweep(void *user)
{
	struct logs *logs = user;

	free_all_detached(logs, false);
	if (logs->detached_count)
		timer_in(logs->sweep, SWEEP_MS);
}

/* Keeps the last words of a worker until a logger has read them. */
static void detach(struct logs *logs, const struct log_source *source)
{
	struct log_source *copy = malloc(sizeof(*copy));

	if (!copy)
		return;
	*copy = *source;
	copy->news = (struct news){0};
	copy->detached = true;
	copy->fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 3);
	if (copy->fd < 0) {
		free(copy);
		return;
	}
	logs->detached_count++;
	link_source(logs, copy);
	timer_in(logs->sweep, SWEEP_MS);
}

void logs_redirect(struct logs *logs, struct log_source *source, uint32_t sink)
{
	if (!source->next || source->sink == sink)
		return;
	source->sink = sink;
	outlet_push(&logs->outlet, &source->news);
}

void logs_remove(struct logs *logs, struct log_source *source)
{
	if (!source->next)
		return;
	if (!is_read(source) && logs->detached_count < DETACHED_MAX)
		detach(logs, source);
	unlink_source(logs, source);
}

static int add_own(struct logs *logs, struct log_source *source, int *ret_out)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	source->fd = ends[0];
	*ret_out = ends[1];
	logs_add(logs, source);
	return 0;
}

/* What the logger did not get to, so that the last words are never missing. */
static void copy_rest(int from)
{
	char buf[4096];
	ssize_t got;

	while (from >= 0 && (got = read(from, buf, sizeof(buf))) > 0)
		if (write(STDERR_FILENO, buf, (size_t)got) < 0)
			return;
}

void logs_save(const struct logs *logs, json_t *root)
{
	snapshot_put_fd(root, "own_lines_fd", logs->own.fd);
	snapshot_put_fd(root, "own_lines_in_fd", logs->own_out);
	snapshot_put_fd(root, "acceptor_lines_fd", logs->acceptors.fd);
	snapshot_put_fd(root, "acceptor_lines_in_fd", logs->acceptor_out);
}

static int add_saved(struct logs *logs, json_t *saved)
{
	logs->own.fd = snapshot_fd(saved, "own_lines_fd");
	logs->own_out = snapshot_fd(saved, "own_lines_in_fd");
	logs->acceptors.fd = snapshot_fd(saved, "acceptor_lines_fd");
	logs->acceptor_out = snapshot_fd(saved, "acceptor_lines_in_fd");
	if (logs->own.fd < 0 || logs->own_out < 0 || logs->acceptors.fd < 0 || logs->acceptor_out < 0)
		return -EBADMSG;
	logs_add(logs, &logs->own);
	logs_add(logs, &logs->acceptors);
	return 0;
}

static int add_pipes(struct logs *logs, json_t *saved)
{
	int bad;

	if (saved)
		return add_saved(logs, saved);
	bad = add_own(logs, &logs->own, &logs->own_out);
	return bad ? bad : add_own(logs, &logs->acceptors, &logs->acceptor_out);
}

int logs_new(struct uv_loop_s *loop, struct children *children, const struct reader_result *config,
	json_t *saved, struct logs **ret_logs)
{
	static const struct outlet_ops ops = {.readable = on_readable, .broken = on_broken};
	struct logs *logs = calloc(1, sizeof(*logs));
	int bad;

	if (!logs)
		return -ENOMEM;
	logs->config = config;
	logs->children = children;
	logs->sources.next = logs->sources.prev = &logs->sources;
	logs->own.fd = logs->acceptors.fd = logs->own_out = logs->acceptor_out = -1;
	logs->end.say = say_end;
	bad = outlet_init(&logs->outlet, loop, &ops, logs);
	if (!bad)
		bad = timer_new(loop, on_timer, logs, &logs->timer);
	if (!bad)
		bad = timer_new(loop, on_sweep, logs, &logs->sweep);
	if (!bad)
		bad = timer_new(loop, sinks_follow, logs, &logs->follow);
	if (!bad)
		bad = sinks_make(logs);
	if (!bad)
		bad = add_pipes(logs, saved);
	if (bad)
		logs_free(logs);
	else
		*ret_logs = logs;
	return bad;
}

struct logs *logs_free(struct logs *logs)
{
	if (!logs)
		return NULL;
	free_all_detached(logs, true);
	outlet_deinit(&logs->outlet);
	timer_free(logs->timer);
	timer_free(logs->sweep);
	timer_free(logs->follow);
	copy_rest(logs->own.fd);
	base_close(&logs->own.fd);
	base_close(&logs->acceptors.fd);
	base_close(&logs->own_out);
	base_close(&logs->acceptor_out);
	sinks_free(logs);
	free(logs);
	return NULL;
}
