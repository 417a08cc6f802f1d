/* Where the logger writes: a stream (file or stderr) or syslog. Never blocks for long, counts what it
 * could not write, and says so when it can write again. */
#ifndef SUPERVISOR_LOGSINK_H
#define SUPERVISOR_LOGSINK_H

#include "common/log.h"
#include "dispatcher/supervisor/logproto.h"

struct logsink {
	enum log_sink_kind kind;
	bool there, shared;
	int fd;
	bool torn;  /* a part of a line stands at the end of the stream */
	bool stuck; /* the reader of the stream does not read */
	uint64_t dropped;
};

/* Opens a log file to append to, and makes it if need be. A descriptor or -errno. */
int logsink_open(const char *path);

void logsink_set_consume(struct logsink *k, enum log_sink_kind kind, bool shared, int fd);

/* Writes one line, which ends in a newline. level is for syslog. */
void logsink_write(struct logsink *k, enum log_level level, const char *line, size_t len);

#endif
