/* One command line of dispatcherctl, taken apart. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum command_option {
	COMMAND_JSON = 1 << 0,
	COMMAND_WATCH = 1 << 1,
	COMMAND_WAIT = 1 << 2,
	COMMAND_DRAIN = 1 << 3,
	COMMAND_NOW = 1 << 4,
	COMMAND_DRY_RUN = 1 << 5,
	COMMAND_BY_SOURCE = 1 << 6,
	COMMAND_FOR = 1 << 7,
	COMMAND_TLS = 1 << 8,
};

struct verb;

struct command {
	const struct verb *verb;
	char socket[PATH_MAX];
	unsigned options;	   /* enum command_option */
	uint64_t drain_ms, for_ms; /* where their option is given */
	char **args;
	unsigned arg_count;
	unsigned silence_ms; /* how long the dispatcher may stay silent */
	FILE *out, *err;
};

#endif
