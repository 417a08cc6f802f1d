/* A worker started by hand, as a child of the test. */
#ifndef TEST_UNIT_WORKER_HAND_H
#define TEST_UNIT_WORKER_HAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hand {
	pid_t pid;
	int output; /* its stdout and stderr */
	char said[8192];
	size_t said_len;
};

/* argv[0] is the image; NULL-terminated. */
void hand_start(struct hand *h, const char *const *argv);

/* Reads until what was said holds text; fails the test after some seconds or at the end. */
const char *hand_expect(struct hand *h, const char *text);

/* The port in the line "listening on 127.0.0.1:PORT". */
unsigned hand_port(struct hand *h);

int hand_connect(unsigned port);
int hand_connect_unix(const char *path);

/* Waits for its end and reads the rest of what it said. As of waitpid(2). */
int hand_wait(struct hand *h);

#endif
