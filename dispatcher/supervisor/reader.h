/* Reads the configuration in a process of its own, and compares it with the settings in force: what
 * crashes a parser or hangs a name service never reaches the process that everything hangs on. */
#ifndef SUPERVISOR_READER_H
#define SUPERVISOR_READER_H

#include "config/diff.h"
#include "config/load.h"

struct uv_loop_s;
struct children;
struct reader;

struct reader_request {
	const char *path;
	int old_fd; /* sealed memory with the settings in force, borrowed; -1: nothing to compare with */
	const struct settings *old; /* the same, mapped */
	uint64_t patience_ms; /* 0: a minute */
	load_tell *tell; /* called for every message, before the end is told */
	void *user;
};

struct reader_result {
	int fd; /* sealed memory with the settings */
	const struct settings *settings; /* the same, mapped for reading */
	const struct diff *diff; /* NULL without old settings; never with a refusal in it */
	void *diff_memory;
};

enum reader_answer {
	READER_REFUSED = 1, /* told why: the file, or what it would change, cannot be */
	READER_CRASHED = 2, /* the process died; status is as of waitpid(2) */
};

/* Waits for the end, or until patience is at its end (-ETIMEDOUT): for the time before there is a loop.
 * 0, an answer above or -errno. */
int reader_read(const struct reader_request *request, struct reader_result *ret_result, int *ret_status);

/* answer: as of reader_read. With 0 the result is the callee's. The reader is freed already. */
typedef void reader_done(void *user, int answer, int status, struct reader_result *result);

/* Begins; done is called once, never from here. 0 or -errno. */
int reader_start(struct uv_loop_s *loop, struct children *children,
	const struct reader_request *request, reader_done *done, struct reader **ret_reader);
struct reader *reader_free(struct reader *r); /* kills it, nothing is told any more; returns NULL */

/* Another descriptor and mapping of the same settings. 0 or -errno. */
int reader_result_copy(const struct reader_result *result, struct reader_result *ret_copy);

/* Unmaps and closes; one that was never filled ({.fd = -1}) is fine. */
void reader_result_free(struct reader_result *result);

/* Forgets the comparison and keeps the settings. */
void reader_result_settle(struct reader_result *result);

#endif
