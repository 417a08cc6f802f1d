/* Words for people: log lines and the line of state.
 *
 * A log line goes to stderr, which under the dispatcher is a pipe whose reader adds the time and
 * the worker's name. It is one write of less than PIPE_BUF bytes, made only when the pipe has room:
 * a line is rather lost (and counted) than a worker held up. */
#include "common/base.h"
#include "common/page.h"
#include "worker/core.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>

#define LINE_BYTES 1000

static const char *const prefixes[] = {
	[WORKER_DEBUG] = "debug: ",
	[WORKER_INFO] = "",
	[WORKER_NOTICE] = "",
	[WORKER_WARNING] = "warning: ",
	[WORKER_ERROR] = "error: ",
};

static bool has_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

static bool put(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	line[len++] = '\n';
	return has_room(STDERR_FILENO) && write(STDERR_FILENO, line, len) == (ssize_t)len;
}

static void report_dropped(struct worker *w)
{
	char line[LINE_BYTES];
	unsigned lost = atomic_exchange(&w->lines_lost, 0);
	int len;

	if (!lost)
		return;
	len = snprintf(line, sizeof(line) - 1, "warning: %u lines before this one were lost", lost);
	if (!put(line, (size_t)len))
		atomic_fetch_add(&w->lines_lost, lost);
}

PRINTF_LIKE(3, 0)
static void say(struct worker *w, enum worker_level level, const char *format, va_list args)
{
	char line[LINE_BYTES];
	int len = 0, more;

	if (w->program)
		len = snprintf(line, sizeof(line), "%.60s: ", w->program);
	len += snprintf(line + len, sizeof(line) - (size_t)len, "%s", prefixes[level]);
	more = vsnprintf(line + len, sizeof(line) - (size_t)len - 1, format, args);
	len = MIN(len + MAX(more, 0), (int)sizeof(line) - 2);
	report_dropped(w);
	if (!put(line, (size_t)len))
		atomic_fetch_add(&w->lines_lost, 1);
}

void worker_log(struct worker *w, enum worker_level level, const char *format, ...)
{
	va_list args;

	if (level == WORKER_DEBUG && !w->setup.debug)
		return;
	va_start(args, format);
	say(w, level, format, args);
	va_end(args);
}

int worker_fail(struct worker *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(w, WORKER_ERROR, format, args);
	va_end(args);
	return -1;
}

void worker_status(struct worker *w, const char *format, ...)
{
	char line[PAGE_LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	report_line(&w->report, line);
}
