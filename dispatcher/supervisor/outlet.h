/* Tells another process how things are, over a channel that may be full or gone: each thing waits at
 * most once in line and says its newest state when there is room. */
#ifndef SUPERVISOR_OUTLET_H
#define SUPERVISOR_OUTLET_H

#include <stdbool.h>

struct uv_loop_s;
struct watch;
struct timer;

/* Embedded in what has something to say. say() sends as chan_send and answers as it; what takes
 * several records keeps its own place when one of them answers CHAN_FULL, and is called again. */
struct news {
	struct news *next;
	bool waits;
	int (*say)(struct news *news, int fd);
};

struct outlet_ops {
	void (*readable)(void *user, int fd); /* something came; may close the outlet */
	void (*broken)(void *user, int error); /* nobody there any more (0) or -errno */
};

struct outlet {
	struct uv_loop_s *loop;
	const struct outlet_ops *ops;
	void *user;
	int fd; /* -1: nobody listens; what is pushed is forgotten */
	struct watch *watch;
	struct timer *again;
	struct news *first, **last;
};

int outlet_init(struct outlet *o, struct uv_loop_s *loop, const struct outlet_ops *ops, void *user);
void outlet_deinit(struct outlet *o);
int outlet_open_consume(struct outlet *o, int fd); /* owns fd whatever it returns; 0 or -errno */
void outlet_close(struct outlet *o);		   /* empties the line */
void outlet_push(struct outlet *o, struct news *news);
void outlet_forget(struct outlet *o, struct news *news); /* out of the line, if it is in it */

#endif
