/* The supervisor's side of logging: keeps every log pipe and log file, and hands them to the logger
 * process, again to a new one when it dies. */
#ifndef SUPERVISOR_LOGS_H
#define SUPERVISOR_LOGS_H

#include "dispatcher/supervisor/logproto.h"
#include "dispatcher/supervisor/outlet.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct children;
struct logs;
struct reader_result;

/* One pipe that lines come from. Embedded; fd is borrowed for as long as the source is added. */
struct log_source {
	struct news news;
	struct log_source *next, *prev;
	int fd;
	pid_t pid; /* 0: one of our own, whose lines are complete already */
	uint32_t sink;
	char label[LOG_LABEL_BYTES]; /* of a worker: smtp/7 */
	bool detached; /* a copy of one that was removed with something in it that nobody had read */
	bool said;     /* the present logger has it */
};

/* Opens the files and makes the pipes of our own lines, or takes them from the state that an image before
 * this one has saved. 0 or -errno. */
int logs_new(struct uv_loop_s *loop, struct children *children, const struct reader_result *config,
	json_t *saved, struct logs **ret_logs);
void logs_save(const struct logs *logs, json_t *root);
void logs_start(struct logs *logs); /* starts the logger process, and again whenever it dies */
int logs_own_fd(const struct logs *logs);      /* where the supervisor's lines go */
int logs_acceptor_fd(const struct logs *logs); /* and the acceptor's: another pipe, as it may lie */
uint32_t logs_sink(struct logs *logs, const char *logfile); /* where lines go; NULL: the dispatcher's log */
void logs_settle(struct logs *logs); /* other settings: opens its own log, closes what nobody needs */
void logs_add(struct logs *logs, struct log_source *source);
void logs_redirect(struct logs *logs, struct log_source *source, uint32_t sink); /* from now on */
void logs_remove(struct logs *logs, struct log_source *source); /* what it holds is still copied */
const char *logs_reopen(struct logs *logs); /* NULL, or the path of one that cannot be opened */

/* Asks the logger to write the last lines of a source into fd (borrowed, the writing end of a pipe) and
 * to close it. False: nobody will. */
bool logs_tail(struct logs *logs, const struct log_source *source, int fd);

/* Lets the logger copy what is left and end; calls when it is gone. */
void logs_stop(struct logs *logs, void (*stopped)(void *user), void *user);
void logs_go_on(struct logs *logs); /* after all: starts one again, once it is gone */
struct logs *logs_free(struct logs *logs);

#endif
