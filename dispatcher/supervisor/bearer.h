/* One acceptor process: it has the baton, or is getting ready for it. */
#ifndef SUPERVISOR_BEARER_H
#define SUPERVISOR_BEARER_H

#include <stdbool.h>
#include <sys/types.h>

struct baton_world;
struct bearer;
struct child;
struct settings;

struct bearer_ops {
	void (*ended)(struct bearer *bearer, int status); /* as of waitpid(2); its place is free */
};

struct bearer {
	struct child *child; /* NULL: this place is free */
	pid_t pid;
	bool up; /* it has begun to accept */
	const struct bearer_ops *ops;
	void *owner;
};

/* Starts a process that does nothing before its link says so. 0 with our end of the link, or -errno. */
int bearer_start(struct bearer *place, const struct baton_world *world, const struct settings *settings,
	int *ret_link);
void bearer_signal(const struct bearer *bearer, int number);

#endif
