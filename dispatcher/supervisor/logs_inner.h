/* The inside of the logs, shared by logs.c and sinks.c alone. */
#ifndef SUPERVISOR_LOGS_INNER_H
#define SUPERVISOR_LOGS_INNER_H

#include "dispatcher/supervisor/backoff.h"
#include "dispatcher/supervisor/logfile.h"
#include "dispatcher/supervisor/logs.h"

#define FOLLOW_MS 5000 /* how soon a file that was moved is noticed */

struct sink {
	struct news news;
	struct logs *logs;
	uint32_t index;
	struct logfile file; /* without a name: nobody needs it */
};

struct logs {
	const struct reader_result *config;
	struct children *children;
	struct outlet outlet;
	struct sink **sinks; /* the first is the dispatcher's own log */
	uint32_t sink_count;
	struct log_source sources; /* head of a ring */
	struct log_source own, acceptors;
	unsigned detached_count;
	int own_out, acceptor_out;
	struct news end;
	struct child *child;
	pid_t pid;
	struct backoff backoff;
	struct timer *timer; /* until the next start, or the limit of the stop */
	struct timer *sweep; /* while there are detached sources */
	struct timer *follow;
	bool stopping;
	void (*stopped)(void *user);
	void *user;
};

int sinks_make(struct logs *logs); /* what the settings name; 0 or -ENOMEM */
void sinks_free(struct logs *logs);
void sinks_follow(void *logs); /* a timer: looks for files that were moved */

#endif
