/* What /proc tells of a process, its threads and all that it has started. May block where the kernel
 * does: for disposable processes only. */
#ifndef SUPERVISOR_ANATOMY_H
#define SUPERVISOR_ANATOMY_H

#include "dispatcher/supervisor/verdict.h"

#include <stdio.h>

#define ANATOMY_PROCESSES 16
#define ANATOMY_THREADS 64 /* of one process */

struct anatomy_thread {
	pid_t tid;
	char comm[20];
	char call_text[160]; /* the line of /proc/PID/syscall */
	uint64_t pc, sp; /* 0: unknown */
	uint64_t cpu_ns, seen_ns; /* at the first look */
	struct verdict_thread seen;
};

struct anatomy {
	pid_t pid;
	unsigned thread_count;
	struct anatomy_thread threads[ANATOMY_THREADS];
};

/* The process, its process group and everything below it, pid first. Returns how many, at most
 * ANATOMY_PROCESSES. */
unsigned anatomy_family(pid_t pid, pid_t ret_pids[ANATOMY_PROCESSES]);

/* The first look at all threads, and the second one. */
void anatomy_look(struct anatomy *a, pid_t pid);
void anatomy_look_again(struct anatomy *a);

/* Status, descriptors, and of each thread where it is, in kernel and program. */
void anatomy_print(const struct anatomy *a, FILE *out);

#endif
