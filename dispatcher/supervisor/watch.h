/* Watches a descriptor, or waits for a moment. Heap objects with their own end, so that an owner may
 * close one and make another within one turn of the loop. */
#ifndef SUPERVISOR_WATCH_H
#define SUPERVISOR_WATCH_H

#include <stdint.h>

#define WATCH_READ 1u
#define WATCH_WRITE 2u

struct uv_loop_s;
struct watch;
struct timer;

/* events: what came, of WATCH_READ and WATCH_WRITE; errors and hang-ups count as WATCH_READ. */
typedef void watch_fn(void *user, unsigned events);
typedef void timer_fn(void *user);

/* Watches fd (borrowed: it must stay open until watch_free) for events. 0 or -errno. */
int watch_new(struct uv_loop_s *loop, int fd, unsigned events, watch_fn *call, void *user,
	struct watch **ret_watch);
void watch_set(struct watch *w, unsigned events); /* 0 pauses */
struct watch *watch_free(struct watch *w);	  /* NULL is fine; no call comes any more; returns NULL */

/* A timer that is not set yet. 0 or -errno. */
int timer_new(struct uv_loop_s *loop, timer_fn *call, void *user, struct timer **ret_timer);
void timer_in(struct timer *t, uint64_t ms); /* calls once; setting it anew replaces the former */
void timer_stop(struct timer *t);
struct timer *timer_free(struct timer *t); /* as watch_free */

#endif
