/* One worker process, as its modules see it. */
#ifndef WORKER_CORE_H
#define WORKER_CORE_H

#include "worker/conns.h"
#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/report.h"
#include "worker/secure.h"
#include "worker/setup.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <uv.h>

/*          on_start         retire, channel gone          TERM         last connection gone
 * STARTING -------> SERVING --------------------> RETIRING ----> LEAVING ---------------> ENDED
 *                      +----------------------------------------^     (RETIRING ends as well) */
enum life { LIFE_STARTING, LIFE_SERVING, LIFE_RETIRING, LIFE_LEAVING, LIFE_ENDED, LIFE_STATES };

/* What event style and thread style do each in their own way. */
struct style {
	int (*init)(struct worker *w);       /* before on_start; 0 or -errno */
	void (*open)(struct worker_conn *c); /* serve it */
	void (*ready)(void *who);            /* the loop names it */
	void (*turn)(struct worker *w);      /* the loop is about to sleep */
	void (*leave)(struct worker *w);     /* on_deadline, if set, has been called */
	void (*limits)(struct worker *w);    /* new ones */
	void (*deinit)(struct worker *w);    /* no connection is open; closes its uv handles */
	int (*write)(struct worker_conn *c, const void *data, size_t len);
	void (*close)(struct worker_conn *c);
	void (*set_timeout)(struct worker_conn *c, unsigned ms);
	ssize_t (*read)(struct worker_conn *c, void *buf, size_t size);
	ssize_t (*read_line)(struct worker_conn *c, char *buf, size_t size);
	int (*take_fd)(struct worker_conn *c);
	int (*starttls)(struct worker_conn *c);
};

extern const struct style events_style, threads_style;

struct worker {
	struct worker_ops ops;
	const struct style *style;
	struct loop loop;
	uv_signal_t term;
	struct setup setup;
	struct report report;
	struct inbox inbox;
	struct conns conns;
	struct secure secure;
	enum life life;              /* only core_live assigns it */
	struct events *events;       /* event style's own */
	struct threads *threads;     /* thread style's own */
	struct byhand *byhand;       /* started by hand: its listeners */
	const char *program;         /* for messages when started by hand, else NULL */
	void *data;                  /* the author's */
	_Atomic unsigned lines_lost; /* of the log, not yet said */
};

extern const struct inbox_ops core_inbox_ops; /* their argument is the struct worker */

/* Serves until the last connection has gone. */
void core_run(struct worker *w);
void core_live(struct worker *w, enum life life);
void core_retire(struct worker *w);    /* nothing new comes: end behind the last connection */
void core_leave(struct worker *w);     /* the deadline runs: say goodbye */
void core_done(struct worker_conn *c); /* the style has finished with it and reported it done */

#endif
