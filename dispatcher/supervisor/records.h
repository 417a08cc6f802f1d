/* Evidence before a kill: a recorder process writes what the worker is doing to STATE_DIR/records; then,
 * after two seconds at the latest, the worker is sent its signal. */
#ifndef SUPERVISOR_RECORDS_H
#define SUPERVISOR_RECORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct children;
struct log_source;
struct logs;
struct reader_result;
struct records;
struct uv_loop_s;

/* A worker that is to be killed, and why. */
struct records_subject {
	uint64_t id; /* of the operation; 0: of nobody */
	uint32_t service, slot; /* where the ledger has it */
	const char *name; /* smtp/7 */
	const char *image, *why; /* why: in words */
	pid_t pid;
	int signal;	     /* SIGKILL, or SIGABRT: then SIGKILL follows after kill_ms */
	uint64_t kill_ms;
	uint64_t created_ms, created_wall_ms;
	int page; /* its report page, borrowed for the call */
	const struct log_source *log;
};

struct records_ops {
	/* To the worker, if it is still there. */
	void (*signal)(void *user, const char *name, int number);
	/* The first signal has been sent. file: the record, NULL: there is none, text says why. */
	void (*ended)(void *user, uint64_t id, const char *file, const char *text);
};

struct records_world {
	struct uv_loop_s *loop;
	struct children *children;
	struct logs *logs;
	const struct reader_result *config; /* these two: what is in force, whenever it is asked */
	const int *ledger;
	const struct records_ops *ops;
	void *user;
};

int records_new(const struct records_world *world, struct records **ret_records);
struct records *records_free(struct records *all); /* recorders under way end by themselves */

/* Begins. False: the worker is being killed already. */
bool records_kill(struct records *all, const struct records_subject *subject);

/* Somebody is being recorded or killed. */
bool records_under_way(const struct records *all);

#endif
