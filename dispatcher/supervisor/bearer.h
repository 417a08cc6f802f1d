/* One acceptor process: it has the baton, or is getting ready for it. */
#ifndef SUPERVISOR_BEARER_H
#define SUPERVISOR_BEARER_H

#include <stdbool.h>
#include <sys/types.h>

struct baton_world;
struct bearer;
struct child;
struct settings;
struct timer;
struct uv_loop_s;
struct watch;

struct bearer_ops {
	/* Nothing of it is left, and what it had in hand is parked. status as of waitpid(2). */
	void (*ended)(struct bearer *bearer, int status);
};

struct bearer {
	struct child *child; /* NULL: it has ended */
	struct watch *life;  /* NULL: what it left behind has ended, too: this place is free */
	int life_fd;
	struct timer *limit;
	struct uv_loop_s *loop;
	int status;
	pid_t pid;
	bool up;   /* it has begun to accept */
	bool late; /* its keeper was killed */
	const struct bearer_ops *ops;
	void *owner;
};

int bearer_init(struct bearer *place, struct uv_loop_s *loop, const struct bearer_ops *ops, void *owner);
void bearer_deinit(struct bearer *place);
bool bearer_is_free(const struct bearer *place);

/* Starts a process that does nothing before its link says so. 0 with our end of the link, or -errno. */
int bearer_start(struct bearer *place, const struct baton_world *world, const struct settings *settings,
	int *ret_link);
void bearer_signal(const struct bearer *bearer, int number);

#endif
