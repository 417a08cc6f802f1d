/* The process sends records while it runs; they are taken as they come, as a channel holds few. Only when
 * it has ended is it known whether everything was said, and which of its messages are errors. */
#include "dispatcher/supervisor/keyring.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/keyrecords.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PATIENCE_MS ((KEYS_LIFE_S + 5) * 1000)
#define DELETED " (deleted)"

struct keyring_reader {
	struct keyring_request request;
	struct keyrecords records;
	int in; /* our end of the channel */
	int bad; /* -errno: why it was given up */
	struct child *child;
	struct watch *watch;
	struct timer *limit;
	keyring_done *done;
};

/* --- the process --- */

/* Beside our own program, as in a build tree, or where it was installed; never where the configuration
 * says, as it runs as we do. */
static int find_program(char ret_path[PATH_MAX])
{
	char self[PATH_MAX] = "", *end;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t tail = strlen(DELETED);

	if (len > (ssize_t)tail && !strcmp(self + len - tail, DELETED))
		self[(size_t)len - tail] = '\0';
	end = strrchr(self, '/');
	if (end && (size_t)(end - self) + sizeof(KEYS_PROGRAM) + 1 < PATH_MAX) {
		strcpy(end + 1, KEYS_PROGRAM);
		strcpy(ret_path, self);
		if (!access(ret_path, X_OK))
			return 0;
	}
	snprintf(ret_path, PATH_MAX, "%s/" KEYS_PROGRAM, INSTALLED_WORKER_DIR);
	return access(ret_path, X_OK) ? -errno : 0;
}

static int start_process(const struct keyring_request *request, int channel, pid_t *ret_pid)
{
	char path[PATH_MAX];
	const int fds[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
		[KEYS_CHANNEL] = channel,
		[KEYS_SETTINGS] = request->settings_fd};
	struct launch l = {.title = "dispatcher: keys",
		.image = path,
		.uid = SETTINGS_NO_ID,
		.gid = SETTINGS_NO_ID,
		.umask = 077,
		.limits = {[RLIMIT_CORE] = {.set = 1}},
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	int bad = find_program(path);

	if (bad)
		request->tell(request->user, LOAD_ERROR,
			"TLS needs the program " KEYS_PROGRAM ", which is neither beside dispatcher nor "
			"in " INSTALLED_WORKER_DIR "; install it");
	return bad ? bad : launch(&l, ret_pid, NULL);
}

static void end_reading(struct keyring_reader *r)
{
	base_close(&r->in);
	keyrecords_free(&r->records);
}

static int begin_reading(struct keyring_reader *r, const struct keyring_request *request, pid_t *ret_pid)
{
	OWNS_FD int theirs = -1;
	int ends[2], bad;

	*r = (struct keyring_reader){.request = *request, .in = -1};
	bad = keyrecords_init(&r->records, request->settings);
	if (!bad)
		bad = chan_pair(ends);
	if (!bad) {
		r->in = ends[0];
		theirs = ends[1];
		bad = start_process(request, theirs, ret_pid);
	}
	if (bad)
		end_reading(r);
	return bad;
}

/* Takes the records that are there. True: nothing will come any more. */
static bool take_records(struct keyring_reader *r)
{
	while (!r->bad) {
		struct key_record record;
		size_t len = 0;
		unsigned count = 0;
		int fd = -1, answer = chan_recv(r->in, &record, sizeof(record), &len, &fd, 1, &count);

		if (answer == CHAN_EMPTY)
			return false;
		if (answer == CHAN_GONE)
			return true;
		r->bad = answer ? answer : keyrecords_add_consume(&r->records, &record, len, fd);
	}
	return true;
}

/* A package that was installed over one that runs brings another layout of settings. */
static int ended_badly(const struct keyring_reader *r, int status)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) != KEYS_EXIT_OTHER)
		return KEYRING_CRASHED;
	r->request.tell(r->request.user, LOAD_ERROR,
		"the installed " KEYS_PROGRAM " is of another version than the dispatcher that runs; "
		"dispatcherctl upgrade first");
	return KEYRING_REFUSED;
}

/* The process has ended. */
static int finish(struct keyring_reader *r, int status, struct keyring *ret_ring)
{
	int answer;

	take_records(r);
	if (r->bad)
		answer = r->bad;
	else if (status || !r->records.ended)
		answer = ended_badly(r, status);
	else
		answer = keyrecords_tell(&r->records, &r->request) ? KEYRING_REFUSED : 0;
	if (!answer)
		*ret_ring = keyrecords_steal(&r->records);
	end_reading(r);
	return answer;
}

static bool is_needed(const struct settings *s)
{
	for (uint32_t i = 0; i < s->services.count; i++)
		if (settings_service(s, i)->enabled && settings_has_tls(s, settings_service(s, i)))
			return true;
	return false;
}

static int empty_ring(const struct settings *s, struct keyring *ret_ring)
{
	struct keyrecords records;
	int bad = keyrecords_init(&records, s);

	if (!bad)
		*ret_ring = keyrecords_steal(&records);
	keyrecords_free(&records);
	return bad;
}

/* --- without a loop --- */

static int take_now(void *user)
{
	struct keyring_reader *r = user;
	bool all = take_records(r);

	return r->bad ? r->bad : all;
}

int keyring_read(const struct keyring_request *request, struct keyring *ret_ring, int *ret_status)
{
	struct keyring_reader r;
	pid_t pid = 0;
	int bad;

	if (!is_needed(request->settings))
		return empty_ring(request->settings, ret_ring);
	bad = begin_reading(&r, request, &pid);
	if (bad)
		return bad;
	r.bad = child_await(pid, r.in, PATIENCE_MS, take_now, &r, ret_status);
	return finish(&r, *ret_status, ret_ring);
}

/* --- in the loop --- */

static void forget(struct keyring_reader *r)
{
	watch_free(r->watch);
	timer_free(r->limit);
	end_reading(r);
	free(r);
}

static void give_up(struct keyring_reader *r, int why)
{
	r->bad = why;
	child_signal_group(r->child, SIGKILL);
}

static void on_records(void *user, unsigned events)
{
	struct keyring_reader *r = user;

	if (!take_records(r))
		return;
	watch_set(r->watch, 0);
	if (r->bad)
		give_up(r, r->bad);
}

static void on_limit(void *user)
{
	give_up(user, -ETIMEDOUT);
}

static void on_end(void *user, int status)
{
	struct keyring_reader *r = user;
	struct keyring ring = {0};
	keyring_done *done = r->done;
	void *whose = r->request.user;
	int answer = finish(r, status, &ring);

	forget(r);
	done(whose, answer, status, &ring);
}

/* Nothing is to be read: the end is told from the loop all the same. */
static void on_nothing(void *user)
{
	struct keyring_reader *r = user;
	struct keyring ring = {0};
	keyring_done *done = r->done;
	void *whose = r->request.user;
	int bad = empty_ring(r->request.settings, &ring);

	forget(r);
	done(whose, bad, 0, &ring);
}

static int watch_process(struct keyring_reader *r, struct uv_loop_s *loop, struct children *children,
	pid_t pid)
{
	int bad = watch_new(loop, r->in, WATCH_READ, on_records, r, &r->watch);

	if (!bad)
		bad = timer_new(loop, on_limit, r, &r->limit);
	if (!bad)
		bad = child_watch(children, pid, on_end, r, &r->child);
	if (!bad)
		timer_in(r->limit, PATIENCE_MS);
	return bad;
}

static int start_nothing(struct keyring_reader *r, struct uv_loop_s *loop,
	const struct keyring_request *request)
{
	int bad;

	*r = (struct keyring_reader){.request = *request, .in = -1};
	bad = timer_new(loop, on_nothing, r, &r->limit);
	if (!bad)
		timer_in(r->limit, 0);
	return bad;
}

int keyring_start(struct uv_loop_s *loop, struct children *children,
	const struct keyring_request *request, keyring_done *done, struct keyring_reader **ret_reader)
{
	struct keyring_reader *r = calloc(1, sizeof(*r));
	bool needed = is_needed(request->settings);
	pid_t pid = 0;
	int bad = r ? 0 : -ENOMEM;

	if (!bad)
		bad = needed ? begin_reading(r, request, &pid) : start_nothing(r, loop, request);
	if (bad) {
		free(r);
		return bad;
	}
	r->done = done;
	bad = needed ? watch_process(r, loop, children, pid) : 0;
	if (bad) {
		kill(pid, SIGKILL);
		forget(r);
		return bad;
	}
	*ret_reader = r;
	return 0;
}

struct keyring_reader *keyring_cancel(struct keyring_reader *r)
{
	if (!r)
		return NULL;
	if (r->child) {
		child_signal_group(r->child, SIGKILL);
		child_forget(r->child);
	}
	forget(r);
	return NULL;
}
