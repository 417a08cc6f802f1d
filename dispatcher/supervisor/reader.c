/* The process leaves settings and comparison in sealed memory and its messages on a pipe. Nothing of it
 * is believed: the memory must be sealed, the blocks whole. Both forms, with and without a loop, wait
 * for its end and then take what is there. */
#include "dispatcher/supervisor/reader.h"
#include "common/base.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/readstep.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PATIENCE_MS 60000
#define MESSAGES_BYTES (1u << 20)

struct reading {
	struct reader_request request;
	int settings_fd, diff_fd, in;
	char *messages;
	size_t len;
	int bad; /* -errno: why it was given up */
};

struct reader {
	struct reading reading;
	struct child *child;
	struct watch *watch;
	struct timer *limit;
	reader_done *done;
};

/* --- one reading --- */

static int make_memory(struct reading *r)
{
	r->settings_fd = sealed_memory("settings");
	r->diff_fd = sealed_memory("diff");
	if (r->settings_fd < 0 || r->diff_fd < 0)
		return MIN(r->settings_fd, r->diff_fd);
	r->messages = malloc(MESSAGES_BYTES);
	return r->messages ? 0 : -ENOMEM;
}

static int start_process(const struct reading *r, int messages, pid_t *ret_pid)
{
	const char *arguments[] = {"--role=reader", r->request.path, NULL};
	const int fds[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
		[READ_MESSAGES] = messages,
		[READ_SETTINGS] = r->settings_fd,
		[READ_DIFF] = r->diff_fd,
		[READ_OLD] = r->request.old_fd};
	struct launch l = {.title = "dispatcher: reader",
		.image = LAUNCH_SELF,
		.directory = ".",
		.arguments = arguments,
		.path = getenv("PATH"),
		.environment = (const char *const *)environ,
		.uid = SETTINGS_NO_ID,
		.gid = SETTINGS_NO_ID,
		.umask = 022,
		.fds = fds,
		.fd_count = r->request.old_fd < 0 ? READ_OLD : READ_OLD + 1};

	return launch(&l, ret_pid, NULL);
}

static void end_reading(struct reading *r)
{
	base_close(&r->settings_fd);
	base_close(&r->diff_fd);
	base_close(&r->in);
	free(r->messages);
	r->messages = NULL;
}

static int begin_reading(struct reading *r, const struct reader_request *request, pid_t *ret_pid)
{
	OWNS_FD int out = -1;
	int ends[2], bad;

	*r = (struct reading){.request = *request, .settings_fd = -1, .diff_fd = -1, .in = -1};
	if (!request->patience_ms)
		r->request.patience_ms = PATIENCE_MS;
	bad = make_memory(r);
	if (!bad && pipe2(ends, O_CLOEXEC) < 0)
		bad = -errno;
	if (!bad) {
		r->in = ends[0];
		out = ends[1];
		if (fcntl(r->in, F_SETFL, O_NONBLOCK) < 0)
			bad = -errno;
	}
	if (!bad)
		bad = start_process(r, out, ret_pid);
	if (bad)
		end_reading(r);
	return bad;
}

/* Takes the messages that are there. True: nothing will come any more. */
static bool take_messages(struct reading *r)
{
	while (r->len < MESSAGES_BYTES) {
		ssize_t got = read(r->in, r->messages + r->len, MESSAGES_BYTES - r->len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		r->len += (size_t)got;
	}
	r->bad = -EMSGSIZE;
	return true;
}

static void pass_on(const struct reading *r)
{
	const char *at = r->messages, *end = r->messages + r->len;

	while (at + 1 < end) {
		unsigned char severity = (unsigned char)*at;
		const char *text = at + 1, *nul = memchr(text, '\0', (size_t)(end - text));

		if (!nul)
			return;
		r->request.tell(r->request.user,
			severity <= LOAD_ERROR ? (enum load_severity)severity : LOAD_ERROR, text);
		at = nul + 1;
	}
}

/* --- what it left --- */

static int map_settings(struct reading *r, struct reader_result *result)
{
	size_t bytes = 0;
	void *block = NULL;
	int bad = sealed_map(r->settings_fd, &block, &bytes);

	if (bad)
		return bad;
	if (settings_check(block, bytes) || ((struct settings *)block)->bytes != bytes) {
		munmap(block, bytes);
		return -EBADMSG;
	}
	result->settings = block;
	result->fd = base_steal_fd(&r->settings_fd);
	return 0;
}

static int map_diff(struct reading *r, struct reader_result *result)
{
	size_t bytes = 0;
	void *block = NULL;
	int bad = sealed_map(r->diff_fd, &block, &bytes);

	if (bad)
		return bad;
	if (diff_check(block, bytes, r->request.old, result->settings) ||
		((struct diff *)block)->bytes != bytes ||
		((struct diff *)block)->refusals.count) {
		munmap(block, bytes);
		return -EBADMSG;
	}
	result->diff_memory = block;
	result->diff = block;
	return 0;
}

void reader_result_settle(struct reader_result *result)
{
	if (result->diff_memory)
		munmap(result->diff_memory, result->diff->bytes);
	result->diff_memory = NULL;
	result->diff = NULL;
}

int reader_result_copy(const struct reader_result *result, struct reader_result *ret_copy)
{
	OWNS_FD int fd = fcntl(result->fd, F_DUPFD_CLOEXEC, 3);
	void *block;

	if (fd < 0)
		return -errno;
	block = mmap(NULL, result->settings->bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	*ret_copy = (struct reader_result){.fd = base_steal_fd(&fd), .settings = block};
	return 0;
}

void reader_result_free(struct reader_result *result)
{
	reader_result_settle(result);
	if (result->settings)
		munmap((void *)result->settings, result->settings->bytes);
	result->settings = NULL;
	base_close(&result->fd);
}

/* The process has ended. */
static int judge(struct reading *r, int status, struct reader_result *ret_result)
{
	struct reader_result result = {.fd = -1};
	int bad;

	if (r->bad)
		return r->bad;
	if (WIFEXITED(status) && WEXITSTATUS(status) == READSTEP_REFUSED)
		return READER_REFUSED;
	if (status)
		return READER_CRASHED;
	bad = map_settings(r, &result);
	if (!bad && r->request.old)
		bad = map_diff(r, &result);
	if (bad)
		reader_result_free(&result);
	else
		*ret_result = result;
	return bad;
}

static int finish(struct reading *r, int status, struct reader_result *ret_result)
{
	int answer;

	take_messages(r);
	pass_on(r);
	answer = judge(r, status, ret_result);
	end_reading(r);
	return answer;
}

/* --- without a loop --- */

static int take_now(void *user)
{
	struct reading *r = user;
	bool all = take_messages(r);

	return r->bad ? r->bad : all;
}

int reader_read(const struct reader_request *request, struct reader_result *ret_result, int *ret_status)
{
	struct reading r;
	pid_t pid = 0;
	int bad = begin_reading(&r, request, &pid);

	if (bad)
		return bad;
	r.bad = child_await(pid, r.in, r.request.patience_ms, take_now, &r, ret_status);
	return finish(&r, *ret_status, ret_result);
}

/* --- in the loop --- */

static void forget(struct reader *r)
{
	watch_free(r->watch);
	timer_free(r->limit);
	end_reading(&r->reading);
	free(r);
}

static void give_up(struct reader *r, int why)
{
	r->reading.bad = why;
	child_signal_group(r->child, SIGKILL);
}

static void on_messages(void *user, unsigned events)
{
	struct reader *r = user;

	if (!take_messages(&r->reading))
		return;
	watch_set(r->watch, 0);
	if (r->reading.bad)
		give_up(r, r->reading.bad);
}

static void on_limit(void *user)
{
	give_up(user, -ETIMEDOUT);
}

static void on_end(void *user, int status)
{
	struct reader *r = user;
	struct reader_result result = {.fd = -1};
	reader_done *done = r->done;
	void *whose = r->reading.request.user;
	int answer = finish(&r->reading, status, &result);

	forget(r);
	done(whose, answer, status, &result);
}

static int watch_reader(struct reader *r, struct uv_loop_s *loop, struct children *children, pid_t pid)
{
	int bad = watch_new(loop, r->reading.in, WATCH_READ, on_messages, r, &r->watch);

	if (!bad)
		bad = timer_new(loop, on_limit, r, &r->limit);
	if (!bad)
		bad = child_watch(children, pid, on_end, r, &r->child);
	if (!bad)
		timer_in(r->limit, r->reading.request.patience_ms);
	return bad;
}

int reader_start(struct uv_loop_s *loop, struct children *children,
	const struct reader_request *request, reader_done *done, struct reader **ret_reader)
{
	struct reader *r = calloc(1, sizeof(*r));
	pid_t pid = 0;
	int bad = r ? begin_reading(&r->reading, request, &pid) : -ENOMEM;

	if (bad) {
		free(r);
		return bad;
	}
	r->done = done;
	bad = watch_reader(r, loop, children, pid);
	if (bad) {
		kill(pid, SIGKILL);
		forget(r);
		return bad;
	}
	*ret_reader = r;
	return 0;
}

struct reader *reader_free(struct reader *r)
{
	if (!r)
		return NULL;
	child_signal_group(r->child, SIGKILL);
	child_forget(r->child);
	forget(r);
	return NULL;
}
