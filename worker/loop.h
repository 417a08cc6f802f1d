/* One epoll set for the channel and all clients, with libuv's loop inside it as one descriptor. */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

#define LOOP_AT_ONCE 64

struct loop {
	uv_loop_t uv;
	int epoll;
	bool uv_due;
	struct epoll_event ready[LOOP_AT_ONCE];
};

int loop_init(struct loop *l); /* 0 or -errno */

/* Lets libuv's handles close, then all ends. */
void loop_deinit(struct loop *l);

/* Wants epoll events of fd for who, for the first time or changed. 0 or -errno. */
int loop_add(struct loop *l, int fd, uint32_t events, void *who);
int loop_change(struct loop *l, int fd, uint32_t events, void *who);

/* Before fd is closed: as long as another process holds a copy, epoll would report it for ever. */
void loop_remove(struct loop *l, int fd);

/* Sleeps until something is to be done. How many entries of ready[] are the caller's to serve,
 * before it calls loop_run_uv; those whose data.ptr is NULL are not his. */
int loop_wait(struct loop *l);
void loop_run_uv(struct loop *l); /* timers, signals and whatever else the author polls */

#endif
