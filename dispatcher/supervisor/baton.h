/* The acceptor process: started, started again when it dies, never two at a time; and the link to it. */
#ifndef SUPERVISOR_BATON_H
#define SUPERVISOR_BATON_H

#include "dispatcher/link.h"
#include "dispatcher/supervisor/outlet.h"

#include <sys/types.h>

struct baton;
struct children;
struct settings;
struct uv_loop_s;

struct baton_ops {
	void (*announce)(void *user); /* push everything that a new acceptor must know */
	void (*order)(void *user, const struct link_record *order);
};

struct baton_world {
	struct uv_loop_s *loop;
	const struct settings *settings;
	struct children *children;
	const char *image;	      /* of the acceptor */
	const char *const *arguments; /* behind argv[0] */
	int settings_fd, ledger_fd, bells_fd, control_fd, log_fd; /* given to each acceptor */
	uint64_t nofile;      /* its RLIMIT_NOFILE */
	uint64_t created_ms, created_wall_ms; /* the supervisor's */
	const struct baton_ops *ops;
	void *user;
};

int baton_new(const struct baton_world *world, struct baton **ret_baton);
struct baton *baton_free(struct baton *b);
struct outlet *baton_outlet(struct baton *b); /* what is pushed here reaches the acceptor */
void baton_start(struct baton *b);

/* Ends the acceptor (TERM, 1 s later KILL) and starts none any more; calls when none is left. */
void baton_stop(struct baton *b, void (*stopped)(void *user), void *user);

#endif
