/* One system call of the program that waits for our answer, and the thread that called it.
 *
 * The thread may be killed or interrupted at any moment, and its number used again: what was read
 * is believed only if the call still waits afterwards (caller_waits), and answers to a call that is
 * gone fail with -ENOENT. */
#ifndef WORKER_NOTIFY_CALLER_H
#define WORKER_NOTIFY_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct seccomp_notif;

/* Threads that called before, by pidfds: as long as one lives, so does its number. */
#define CALLER_KNOWN 64

struct callers {
	int listener;  /* of seccomp */
	unsigned room; /* for known ones; few where descriptors are few */
	struct {
		pid_t thread;
		int pidfd;
	} known[CALLER_KNOWN];
};

struct caller {
	struct callers *all;
	uint64_t id; /* of the call */
	pid_t thread;
	int number; /* of the system call */
	uint64_t args[6];
};

void callers_init(struct callers *all, int listener);
void caller_init(struct caller *c, struct callers *all, const struct seccomp_notif *call);

/* Whether the thread still waits for this answer. */
bool caller_waits(const struct caller *c);

/* A duplicate of a descriptor of the thread; -1: it has none, it is gone, or we may not. */
int caller_dup(const struct caller *c, int fd);

/* Copies from and to the thread's memory; 0 or -errno (-EFAULT as the kernel would say). */
int caller_read(const struct caller *c, uint64_t at, void *ret_buf, size_t len);
int caller_write(const struct caller *c, uint64_t at, const void *buf, size_t len);

/* Whether the thread's descriptor is closed by an exec. */
bool caller_closes_on_exec(const struct caller *c, int fd);

/* Puts a duplicate of ours over the thread's descriptor. 0 or -errno. */
int caller_replace(const struct caller *c, int fd, int ours, bool cloexec);

/* Answers with a duplicate of ours as a new descriptor. 0 or -errno: not answered. */
int caller_give(const struct caller *c, int ours, bool cloexec);

/* Answers with a value (0 or more) or an error (-errno); or lets the kernel do the call. */
void caller_answer(const struct caller *c, int64_t value);
void caller_continue(const struct caller *c);

#endif
