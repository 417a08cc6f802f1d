/* The arguments of a worker started by hand, and its listeners. */
#ifndef WORKER_ARGUMENTS_H
#define WORKER_ARGUMENTS_H

#include "common/msg.h"

#include <stdbool.h>
#include <stdint.h>

#define ARGUMENTS_MAX_LISTENERS 16
#define ARGUMENTS_HELP          1

struct arguments {
	const char *program;
	struct {
		const char *text; /* as given */
		int fd;
		bool tls;
	} listeners[ARGUMENTS_MAX_LISTENERS];
	unsigned listener_count;
	char **params; /* NAME=VALUE, borrowed from argv */
	unsigned param_count;
	uint32_t max_conns, debug;
	uint64_t stacksize, connection_timeout_ms, kill_timeout_ms;
	char *command; /* words one behind another, each with its NUL */
	unsigned command_words;
	const char *tls_cert, *tls_key; /* NULL: none */
};

/* 0; ARGUMENTS_HELP: help was printed; -EINVAL or -ENOMEM: the reason was printed. Undo with
 * deinit. */
int arguments_init(struct arguments *a, int argc, char **argv);

/* Opens the listeners. 0 or -errno (the reason was printed). */
int arguments_listen(struct arguments *a);
void arguments_announce(const struct arguments *a); /* prints where they listen */

/* Puts what the dispatcher would have said into a MSG_SETUP. */
void arguments_put(const struct arguments *a, struct msg_writer *m);

void arguments_deinit(struct arguments *a); /* closes; removes the paths of unix listeners */

#endif
