/* Reads dispatcher.cnf and what it includes into a settings block, or tells every mistake. */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/settings.h"
#include "config/tell.h"

enum load_answer {
	LOAD_REFUSED = 1, /* there are errors; all of them have been told */
};

/* Reads path. Tells NOT ENFORCED first, then errors and warnings in file order. On success the
 * block is the caller's (free), whole by settings_check. 0, LOAD_REFUSED or -errno. */
int load_settings(const char *path, load_tell *tell, void *user, struct settings **ret_settings);

/* The same on another machine than this one: for tests. */
struct host;
int load_settings_on(const struct host *host, const char *path, load_tell *tell, void *user,
	struct settings **ret_settings);

/* Derived numbers and checks of what cannot hold (RLIMIT_NOFILE says by how much, somaxconn,
 * stacks); prints them to out when it is not NULL. 0 or LOAD_REFUSED. */
int load_check_derived(const struct settings *s, load_tell *tell, void *user, FILE *out);
int load_check_derived_on(
	const struct host *host, const struct settings *s, load_tell *tell, void *user, FILE *out);

#endif
