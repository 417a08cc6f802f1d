/* Options that a program sets on its socket before it listens, and that each accepted socket has
 * from it. */
#ifndef WORKER_NOTIFY_OPTIONS_H
#define WORKER_NOTIFY_OPTIONS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#define OPTIONS_MAX 16

struct options {
	unsigned count;
	struct option_value {
		uint8_t index; /* in the table of options.c */
		uint8_t len_bytes;
		union {
			int number;
			struct linger linger;
			struct timeval time;
		} value;
	} list[OPTIONS_MAX];
};

/* Those of a socket that are not as a new socket of its kind has them. */
void options_read(int fd, struct options *ret_options);

void options_apply(const struct options *options, int fd);

#endif
