/* What the supervisor tells the logger: records over a SOCK_SEQPACKET channel, each with at most one
 * descriptor. */
#ifndef SUPERVISOR_LOGPROTO_H
#define SUPERVISOR_LOGPROTO_H

#include <stdint.h>

#define LOG_LABEL_BYTES 96
#define LOG_CHANNEL_FD 3

enum log_order {
	LOG_SINK = 1, /* number: which; kind; fd: the file, or the supervisor's stderr */
	LOG_SOURCE,   /* number: its sink; pid and label of a worker, pid 0: our own lines; fd: the pipe */
	LOG_END,      /* copy what is there, and exit */
	LOG_TAIL,     /* fd: write the last lines of the worker of pid and label there, and close it */
};

enum log_sink_kind {
	LOG_SINK_STREAM, /* stderr or a file */
	LOG_SINK_SYSLOG, /* no fd */
	LOG_SINK_NONE,	 /* no fd: nobody writes there any more */
};

struct log_record {
	uint32_t order;
	uint32_t number;
	uint32_t kind;
	uint32_t shared; /* LOG_SINK: 1 = the dispatcher's own log, a worker's line says event and keys */
	int32_t pid;
	char label[LOG_LABEL_BYTES];
};

#endif
