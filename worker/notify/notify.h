/* The state of dispatcher-notify: one program, whose system calls on its listeners are answered. */
#ifndef WORKER_NOTIFY_NOTIFY_H
#define WORKER_NOTIFY_NOTIFY_H

#include "common/adapter.h"
#include "worker/notify/inlet.h"
#include "worker/notify/spots.h"
#include "worker/notify/waiters.h"
#include "worker/report.h"

#define NOTIFY_HIGH_FD 200 /* beyond the numbers of most programs' listeners */

struct notify {
	struct adapter adapter;
	struct report report;
	struct inlet inlet;
	struct spots spots;
	struct waiters waiters;
	struct callers callers;
	int epoll;
	bool is_ready;
	bool told_stray; /* the line of the page names a listener that is no PORT */
};

/* --- answers.c --- */
/* Answers a call, now or later. */
void answer_call(struct notify *n, const struct caller *c);
/* Says in the page which listener the program does not listen on, or that it is ready. */
void answer_progress(struct notify *n);

/* --- accepts.c --- */
void accepts_call(struct notify *n, const struct caller *c);
/* Hands out what has come: to calls that wait, else by making the program's listeners readable. */
void accepts_offered(struct notify *n);
/* Nothing will come: accept() fails where the service wants it so. */
void accepts_ended(struct notify *n);

/* --- addresses.c --- */
/* Writes an address where a call wants it, as the kernel does (len_at: of an int). 0 or -errno. */
int addresses_put(const struct caller *c, uint64_t at, uint64_t len_at,
	const struct sockaddr_storage *name, socklen_t name_len);
/* Whether that would be possible. 0, -EFAULT or -EINVAL. */
int addresses_check(const struct caller *c, uint64_t len_at);

/* --- watchers.c --- */
/* Puts into the program's epoll sets what stood there for fd before it was replaced by ours. */
void watchers_move(const struct caller *c, int fd, uint64_t inode, int ours);

#endif
