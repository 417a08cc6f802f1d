/* Reads the configuration in a child that ends before the supervisor begins: what crashes a parser or
 * hangs a name service never reaches the process that everything hangs on. */
#ifndef SUPERVISOR_READER_H
#define SUPERVISOR_READER_H

#include "config/load.h"

struct reader_result {
	int fd; /* sealed memory with the settings */
	const struct settings *settings; /* the same, mapped for reading */
};

enum reader_answer {
	READER_REFUSED = 1, /* told why */
	READER_CRASHED = 2, /* the child died; *ret_status is as of waitpid(2) */
};

/* Call before there is a loop: waits for the child, at most a minute (-ETIMEDOUT). 0, an answer above
 * or -errno. */
int reader_read(const char *path, load_tell *tell, void *user, struct reader_result *ret_result,
	int *ret_status);

#endif
