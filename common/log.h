/* One line per event: time, level, event, key=value ... Every event, its level, its keys and what it
 * means stand once, in the table in log.c; the man page is held against it by a test. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR, LOG_LEVEL_ALERT };

enum log_event {
	EV_START,
	EV_STOPPING,
	EV_STOPPED,
	EV_UPGRADED,
	EV_CONFIG_ERROR,
	EV_CONFIG_WARNING,
	EV_NOT_ENFORCED,
	EV_ACCEPTOR_START,
	EV_ACCEPTOR_EXIT,
	EV_ACCEPTOR_REPLACED,
	EV_ACCEPTOR_RESCUED,
	EV_ACCEPTOR_HANGS,
	EV_ACCEPTOR_RETIRES,
	EV_SUPERVISOR_GONE,
	EV_TAKEN_OVER,
	EV_TAKEOVER_FAILED,
	EV_LOGGER_EXIT,
	EV_LISTENER_ADOPTED,
	EV_LISTENER_UNUSED,
	EV_SERVICE_OPEN,
	EV_SERVICE_FAILED,
	EV_SERVICE_CLOSED,
	EV_LISTENER_CLOSED,
	EV_RELOADED,
	EV_RELOAD_REFUSED,
	EV_TLS_CHANGED,
	EV_TLS_TICKETS,
	EV_TLS_EXPIRES,
	EV_WORKER_SPAWN,
	EV_WORKER_SPAWN_FAILED,
	EV_WORKER_READY,
	EV_WORKER_RETIRE,
	EV_WORKER_FALSE_REPORT,
	EV_WORKER_SIGNAL,
	EV_WORKER_EXIT,
	EV_WORKER_OUTPUT,
	EV_WORKER_RECORD,
	EV_WORKER_UNFIT, EV_STOLEN_BACK,
	EV_POOL_HOLD,
	EV_POOL_RELEASE,
	EV_SERVICE_FULL,
	EV_POOL_BACKOFF,
	EV_CONN_END, EV_CONN_CUT,
	EV_CONN_REFUSED,
	EV_ACCEPT_PAUSED,
	EV_CONTROL,
	EV_CONTROL_ORDER,
	EV_CONTROL_RESULT,
	EV_LOG_DROPPED,
	EV_INTERNAL,
	EV_DEBUG,
	LOG_EVENTS
};

/* Topics of debug lines; the original's DEBUG bits map to them (dispatcher.cnf(5)). */
enum log_topic { LOG_MAIN, LOG_CONFIG, LOG_SERVICE, LOG_PROCESS, LOG_CHANNEL, LOG_HANDOFF, LOG_WORKER,
	LOG_STATISTICS, LOG_ACCESS, LOG_TOPICS };

struct log_event_doc {
	const char *name;
	enum log_level level;
	const char *keys; /* space-separated, in the order of appearance; * behind one that may be absent */
	const char *means;
};

/* Where lines go: a borrowed descriptor. A write that would block or fails drops the line; the next
 * one that succeeds is preceded by log.dropped with the count. -1: nowhere. Starts as 2. */
void log_to(int fd);
void log_set_debug(uint32_t mask); /* the original's DEBUG mask; -1 = everything */
bool log_wants(enum log_topic topic);

/* The format gives the key=value part, as "worker=%s/%u pid=%d". Values with blanks go through
 * log_quote. A line is cut at 1,000 bytes, never torn. */
void log_event(enum log_event event, const char *format, ...) PRINTF_LIKE(2, 3);
void log_debug(enum log_topic topic, const char *format, ...) PRINTF_LIKE(2, 3);

/* Quotes text if it has blanks, quotes or control characters, which become \xHH; cut to fit 512. */
#define LOG_QUOTE_BYTES 520
const char *log_quote(const char *text, char ret_quoted[LOG_QUOTE_BYTES]);

/* How a process ended, of a status of waitpid(2): "exit:3", "signal:KILL". */
#define LOG_STATUS_BYTES 40
const char *log_status(int status, char ret_text[LOG_STATUS_BYTES]);

/* Formats the part before key=value: "TIME LEVEL EVENT". Returns its length. */
size_t log_head(enum log_event event, uint64_t wall_ms, char *ret_text, size_t size);

const struct log_event_doc *log_doc(enum log_event event);
const char *log_level_name(enum log_level level);
uint64_t log_dropped(void); /* lines lost since the start */

#endif
