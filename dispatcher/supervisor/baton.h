/* The acceptor process: started, started again when it dies, replaced by one that was prepared; and the
 * link to it. Never do two of them accept, offer or write the ledger at a time. */
#ifndef SUPERVISOR_BATON_H
#define SUPERVISOR_BATON_H

#include "dispatcher/link.h"
#include "dispatcher/supervisor/outlet.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct baton;
struct children;
struct reader_result;
struct settings;
struct uv_loop_s;

struct baton_ops {
	void (*announce)(void *user); /* push everything that a new acceptor must know */
	void (*order)(void *user, const struct link_record *order);
};

struct baton_world {
	struct uv_loop_s *loop;
	const struct reader_result *config;
	struct children *children;
	const char *image;	      /* of the acceptor */
	const char *const *arguments; /* behind argv[0] */
	const int *ledger_fd;	      /* the present one */
	int control_fd, log_fd;
	uint64_t nofile;      /* its RLIMIT_NOFILE */
	uint64_t created_ms, created_wall_ms; /* the supervisor's */
	const uint64_t *upgraded_wall_ms; /* 0: never */
	const struct baton_ops *ops;
	void *user;
};

int baton_new(const struct baton_world *world, struct baton **ret_baton);
struct baton *baton_free(struct baton *b);
bool baton_accepts(const struct baton *b); /* one runs, and has begun to accept */
void baton_kill(struct baton *b); /* the acceptor; another is started as if it had died */
struct outlet *baton_outlet(struct baton *b); /* what is pushed here reaches the acceptor */
void baton_start(struct baton *b);

/* Starts a second, passive acceptor that reads these settings (borrowed until prepared is called) and
 * says that it is fit. error is NULL then, else a text: nothing has changed. 0; -EBUSY: another is being
 * prepared or switched to, or does not accept yet, or everything ends; or -errno. Is not called when the
 * answer is not 0. */
typedef void baton_prepared_fn(void *user, const char *error);
int baton_prepare(struct baton *b, const struct settings *settings, int settings_fd,
	baton_prepared_fn *prepared, void *user);
void baton_discard(struct baton *b); /* ends the one that is being or has been prepared, if any */

/* Ends the present acceptor (TERM, 1 s later KILL); once it has gone calls swap, where everything that
 * an acceptor is told may be changed, and gives the prepared one the baton; when an acceptor accepts
 * again calls done. Either may be NULL. 0, or -ESRCH: none is prepared (any more); nothing happens. */
int baton_switch(struct baton *b, void (*swap)(void *user), void (*done)(void *user), void *user);

/* In swap: what every acceptor is given from now on. */
struct baton_world *baton_world(struct baton *b);

/* Ends the acceptor (TERM, 1 s later KILL) and starts none any more; calls when none is left. Who has one
 * prepared is told that this failed; a switch that has begun is completed if baton_go_on follows. */
void baton_stop(struct baton *b, void (*stopped)(void *user), void *user);
void baton_go_on(struct baton *b); /* after all: starts one again, once none is left */
bool baton_is_steady(const struct baton *b); /* none is being replaced */

/* Over an exec, when none is left; and back. */
void baton_save(const struct baton *b, json_t *root);
void baton_restore(struct baton *b, json_t *root);

#endif
