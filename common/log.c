/* The event table and the one writer of lines. A line is one write() of at most 1,024 bytes, which a
 * pipe takes whole or not at all (pipe(7), PIPE_BUF), so lines of several processes never mix and a
 * full disk or a stopped logger never blocks who logs. */
#include "common/log.h"
#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#define LINE_BYTES 1024

static const struct log_event_doc docs[LOG_EVENTS] = {
	[EV_START] = {"dispatcher.start", LOG_LEVEL_INFO, "version pid config",
		"The supervisor runs with this configuration."},
	[EV_STOPPING] = {"dispatcher.stopping", LOG_LEVEL_INFO, "by deadline_ms",
		"A shutdown began; workers finish what they serve until the deadline."},
	[EV_STOPPED] = {"dispatcher.stopped", LOG_LEVEL_INFO, "pid",
		"Everything has ended; the supervisor exits."},
	[EV_UPGRADED] = {"dispatcher.upgraded", LOG_LEVEL_NOTICE, "version from pid",
		"The installed program took the place of the one that ran; version and from are theirs."},
	[EV_CONFIG_ERROR] = {"config.error", LOG_LEVEL_ERROR, "text",
		"The configuration cannot be used; text names file, line and remedy."},
	[EV_CONFIG_WARNING] = {"config.warning", LOG_LEVEL_WARNING, "text",
		"Something in the configuration is probably not what was meant."},
	[EV_NOT_ENFORCED] = {"config.not_enforced", LOG_LEVEL_WARNING, "text",
		"NOT ENFORCED: the file asks for an access control that this program does not carry out."},
	[EV_ACCEPTOR_START] = {"acceptor.start", LOG_LEVEL_INFO, "pid adopted",
		"An acceptor has begun to accept; it found so many workers running."},
	[EV_ACCEPTOR_EXIT] = {"acceptor.exit", LOG_LEVEL_ERROR, "pid status again_ms",
		"The acceptor ended unasked; another starts after again_ms."},
	[EV_ACCEPTOR_REPLACED] = {"acceptor.replaced", LOG_LEVEL_INFO, "pid",
		"The acceptor was replaced on purpose; its successor, ready before it ended, goes on."},
	[EV_ACCEPTOR_RESCUED] = {"acceptor.rescued", LOG_LEVEL_NOTICE, "service connections in_doubt",
		"The last acceptor had these in hand when it ended; in_doubt: perhaps given to a worker."},
	[EV_ACCEPTOR_HANGS] = {"acceptor.hangs", LOG_LEVEL_ERROR, "silent_ms",
		"The acceptor has not answered the supervisor for so long; it is killed, another starts."},
	[EV_ACCEPTOR_RETIRES] = {"acceptor.retires", LOG_LEVEL_NOTICE, "pid connections",
		"Another dispatcher accepts instead; the workers of this acceptor finish what they serve."},
	[EV_SUPERVISOR_GONE] = {"supervisor.gone", LOG_LEVEL_ERROR, "pid",
		"The supervisor was killed: acceptor and workers serve on; start the dispatcher again."},
	[EV_TAKEN_OVER] = {"takeover.done", LOG_LEVEL_NOTICE, "listeners",
		"The listeners of a dispatcher whose supervisor was killed were taken over."},
	[EV_TAKEOVER_FAILED] = {"takeover.failed", LOG_LEVEL_ERROR, "why",
		"The listeners of a dispatcher whose supervisor was killed were not taken over, or its acceptor not retired."},
	[EV_LOGGER_EXIT] = {"logger.exit", LOG_LEVEL_ERROR, "pid status",
		"The logger ended unasked; another is started."},
	[EV_LISTENER_ADOPTED] = {"listener.adopted", LOG_LEVEL_INFO, "listener from",
		"This socket was not bound but taken over: from whoever started us, or from a former acceptor."},
	[EV_LISTENER_UNUSED] = {"listener.unused", LOG_LEVEL_WARNING, "listener from fd_name",
		"A socket was offered to us that no service listens on; it is closed."},
	[EV_SERVICE_OPEN] = {"service.open", LOG_LEVEL_INFO, "service listener",
		"The service listens there."},
	[EV_SERVICE_FAILED] = {"service.failed", LOG_LEVEL_ERROR, "service why retry_ms",
		"The service cannot be opened; its ports are closed; tried again after retry_ms."},
	[EV_SERVICE_CLOSED] = {"service.closed", LOG_LEVEL_INFO, "service",
		"The service's ports are closed and its last worker has gone."},
	[EV_LISTENER_CLOSED] = {"listener.closed", LOG_LEVEL_INFO, "service listener",
		"The service goes on without this port: a reload took it away, and nobody waits there."},
	[EV_RELOADED] = {"config.reloaded", LOG_LEVEL_NOTICE, "config_hash text",
		"Another configuration is in force; text says what changed."},
	[EV_RELOAD_REFUSED] = {"config.refused", LOG_LEVEL_ERROR, "text",
		"A reload was refused or failed; what was in force is still in force."},
	[EV_TLS_CHANGED] = {"tls.changed", LOG_LEVEL_NOTICE, "services",
		"These services have other certificates or options of TLS; no worker was replaced for it."},
	[EV_TLS_TICKETS] = {"tls.tickets", LOG_LEVEL_INFO, "service generation",
		"A new key encrypts session tickets; the oldest one is forgotten."},
	[EV_TLS_EXPIRES] = {"tls.expires", LOG_LEVEL_WARNING, "service file names days",
		"A certificate of the service ends in so many days, 0: it has ended, or will today; once a day."},
	[EV_WORKER_SPAWN] = {"worker.spawn", LOG_LEVEL_INFO, "worker pid image",
		"A worker process was started."},
	[EV_WORKER_SPAWN_FAILED] = {"worker.spawn_failed", LOG_LEVEL_ERROR, "worker why",
		"A worker process could not be started."},
	[EV_WORKER_READY] = {"worker.ready", LOG_LEVEL_INFO, "worker pid took_ms",
		"The worker takes connections from now on."},
	[EV_WORKER_RETIRE] = {"worker.retire", LOG_LEVEL_INFO, "worker pid reason connections served",
		"The worker gets no new connections, finishes those it has, and exits."},
	[EV_WORKER_FALSE_REPORT] = {"worker.false_report", LOG_LEVEL_WARNING, "worker pid claim",
		"The worker's report page claims what cannot be; it is retired."},
	[EV_WORKER_SIGNAL] = {"worker.signal", LOG_LEVEL_WARNING, "worker pid signal reason connections",
		"A deadline passed: the worker was sent this signal."},
	[EV_WORKER_EXIT] = {"worker.exit", LOG_LEVEL_INFO,
		"worker pid status lived_ms reason served lost",
		"A worker ended; lost counts the connections that ended with it."},
	[EV_WORKER_OUTPUT] = {"worker.output", LOG_LEVEL_INFO, "worker pid text",
		"A line that the worker wrote to stdout or stderr; text is the rest of the line."},
	[EV_WORKER_RECORD] = {"worker.record", LOG_LEVEL_WARNING, "worker pid doing file",
		"A worker is about to be killed; file tells what it was doing."},
	[EV_WORKER_UNFIT] = {"worker.unfit", LOG_LEVEL_ERROR, "worker pid why remedy",
		"A server (ADAPTER=server) cannot serve as it is, or not well; remedy says what helps."},
	[EV_STOLEN_BACK] = {"worker.stolen_back", LOG_LEVEL_NOTICE, "worker pid connections outcome",
		"Unread offers of a dead, stopped or hung worker went to others."},
	[EV_POOL_HOLD] = {"pool.hold", LOG_LEVEL_WARNING, "service connections workers waiting why",
		"Nobody has room: the listeners pause, new clients wait in the kernel's backlog."},
	[EV_POOL_RELEASE] = {"pool.release", LOG_LEVEL_NOTICE, "service held_ms",
		"There is room again."},
	[EV_SERVICE_FULL] = {"service.full", LOG_LEVEL_WARNING, "service refused late left waiting why",
		"No worker had room: since the last such line, one a minute, so many clients were turned away."},
	[EV_POOL_BACKOFF] = {"pool.backoff", LOG_LEVEL_WARNING, "service wait_ms",
		"Workers end too early; the next one is started after wait_ms."},
	[EV_CONN_END] = {"connection.end", LOG_LEVEL_INFO, "service peer listener worker duration_ms",
		"A connection ended (LOG_CONNECTIONS=1)."},
	[EV_CONN_CUT] = {"connection.cut", LOG_LEVEL_WARNING,
		"service peer listener worker duration_ms reason",
		"A connection was lost with its worker, or ended after its worker had been told to go."},
	[EV_CONN_REFUSED] = {"connection.refused", LOG_LEVEL_NOTICE, "service peer why prefix*",
		"A connection was closed at once; one line a minute and source."},
	[EV_ACCEPT_PAUSED] = {"accept.paused", LOG_LEVEL_ERROR, "service why again_ms",
		"accept failed for want of a resource; clients wait in the backlog."},
	[EV_CONTROL] = {"control.request", LOG_LEVEL_NOTICE, "verb prefix* uid pid",
		"Somebody asked for a change over the control socket."},
	[EV_CONTROL_ORDER] = {"control.order", LOG_LEVEL_NOTICE, "verb subject id by",
		"An operator's order is carried out; id tells it from others like it."},
	[EV_CONTROL_RESULT] = {"control.result", LOG_LEVEL_NOTICE, "verb subject id by status text",
		"An order has ended; text is what the operator is told."},
	[EV_LOG_DROPPED] = {"log.dropped", LOG_LEVEL_WARNING, "lines",
		"So many lines could not be written before this one."},
	[EV_INTERNAL] = {"internal.error", LOG_LEVEL_ALERT, "where why",
		"Something failed that never should."},
	[EV_DEBUG] = {"debug", LOG_LEVEL_DEBUG, "topic text", "DEBUG is set for this topic."},
};

/* DEBUG bits of the original, by topic. */
static const uint32_t topic_bits[LOG_TOPICS] = {
	[LOG_MAIN] = 0x3 | 0x8,
	[LOG_CONFIG] = 0x4,
	[LOG_SERVICE] = 0x30,
	[LOG_PROCESS] = 0x40,
	[LOG_CHANNEL] = 0x700,
	[LOG_HANDOFF] = 0x4000,
	[LOG_WORKER] = 0x3000 | 0x30000,
	[LOG_STATISTICS] = 0x300000,
	[LOG_ACCESS] = 0x1000000,
};

static const char *const topic_names[LOG_TOPICS] = {"main", "config", "service", "process", "channel",
	"handoff", "worker", "statistics", "access"};

static struct {
	int fd;
	uint32_t debug;
	uint64_t dropped, unreported;
} sink = {.fd = 2};

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"debug", "info", "notice", "warning", "error", "alert"};

	return names[level];
}

const struct log_event_doc *log_doc(enum log_event event)
{
	return &docs[event];
}

void log_to(int fd)
{
	sink.fd = fd;
}

void log_set_debug(uint32_t mask)
{
	sink.debug = mask;
}

bool log_wants(enum log_topic topic)
{
	return sink.debug & topic_bits[topic];
}

uint64_t log_dropped(void)
{
	return sink.dropped;
}

size_t log_head(enum log_event event, uint64_t wall_ms, char *ret_text, size_t size)
{
	char when[CLOCK_TEXT_BYTES];

	return (size_t)snprintf(ret_text, size, "%s %s %s", clock_format(wall_ms, when),
		log_level_name(docs[event].level), docs[event].name);
}

static bool put_line(const char *line, size_t len)
{
	ssize_t put;

	if (sink.fd < 0)
		return true;
	do
		put = write(sink.fd, line, len);
	while (put < 0 && errno == EINTR);
	return put == (ssize_t)len;
}

static void report_dropped(void)
{
	char line[LINE_BYTES];
	size_t len;

	if (!sink.unreported)
		return;
	len = log_head(EV_LOG_DROPPED, clock_wall_ms(), line, sizeof(line));
	len += (size_t)snprintf(line + len, sizeof(line) - len, " lines=%llu\n",
		(unsigned long long)sink.unreported);
	if (put_line(line, len))
		sink.unreported = 0;
}

PRINTF_LIKE(2, 0)
static void log_line(enum log_event event, const char *format, va_list args)
{
	char line[LINE_BYTES];
	size_t len = log_head(event, clock_wall_ms(), line, sizeof(line));
	int more;

	line[len++] = ' ';
	more = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	len = MIN(len + (size_t)MAX(more, 0), sizeof(line) - 2);
	line[len++] = '\n';
	report_dropped();
	if (!put_line(line, len)) {
		sink.dropped++;
		sink.unreported++;
	}
}

void log_event(enum log_event event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(event, format, args);
	va_end(args);
}

void log_debug(enum log_topic topic, const char *format, ...)
{
	char text[LINE_BYTES];
	va_list args;
	size_t len;

	if (!log_wants(topic))
		return;
	len = (size_t)snprintf(text, sizeof(text), "topic=%s text=", topic_names[topic]);
	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	log_event(EV_DEBUG, "%s", text);
}

static bool needs_quotes(const char *text)
{
	if (!*text)
		return true;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '\\' || *text == 0x7f)
			return true;
	return false;
}

const char *log_quote(const char *text, char ret_quoted[LOG_QUOTE_BYTES])
{
	char *out = ret_quoted, *end = ret_quoted + LOG_QUOTE_BYTES - 8;

	if (!needs_quotes(text)) {
		snprintf(ret_quoted, LOG_QUOTE_BYTES - 8, "%s", text);
		return ret_quoted;
	}
	*out++ = '"';
	for (; *text && out < end; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			out += sprintf(out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			out += sprintf(out, "\\x%02x", c);
		else
			*out++ = (char)c;
	}
	*out++ = '"';
	*out = '\0';
	return ret_quoted;
}

const char *log_status(int status, char ret_text[LOG_STATUS_BYTES])
{
	if (WIFSIGNALED(status))
		snprintf(ret_text, LOG_STATUS_BYTES, "signal:%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(ret_text, LOG_STATUS_BYTES, "exit:%d", WEXITSTATUS(status));
	return ret_text;
}
