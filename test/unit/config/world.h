/* A directory with configuration files and a machine to load them on. */
#ifndef TEST_UNIT_CONFIG_WORLD_H
#define TEST_UNIT_CONFIG_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/host.h"
#include "config/load.h"

struct world {
	char dir[64]; /* the working directory while the world stands */
	struct host host;
	struct settings *s; /* of the last load that succeeded, else NULL */
	char *told; /* all messages of the last load, one a line, with W, E or N before each */
	int result;
};

/* cmocka's setup and teardown: *state is a struct world *. No root, user and group 1234. */
int world_setup(void **state);
int world_teardown(void **state);

void world_write(const char *name, const char *text);

/* Writes text as main.cnf and loads it. */
struct world *world_load(void **state, const char *text);

struct world *world_load_file(void **state, const char *name);

/* The same, and it must succeed without a message. The first service. */
const struct service_settings *world_service(void **state, const char *text);

/* The same, and it must be refused; returns what was told. */
const char *world_refused(void **state, const char *text);

/* What a service needs at least, to append to: on port 7007, with a program that exists. */
#define SERVICE "[SERVICE=A]\nPORT=7007\nIMAGE=/bin/true\n"

/* As world_load, and it must succeed, be it with warnings. The settings are the caller's: free(). */
struct settings *world_settings(void **state, const char *text);

#define world_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
