/* The processes of this machine, as /proc shows them: who descends from whom, who is stopped, who uses the
 * CPU. A look takes some 10 us for each process, so it is for those moments in which something is wrong. */
#ifndef DISPATCHER_PROCS_H
#define DISPATCHER_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
	pid_t pid, parent, group, session;
	char state;	   /* as in proc(5): R S D T t Z ... */
	bool ends;	   /* its last thread is on its way out, or it is a zombie */
	uint64_t cpu_ticks; /* of itself, all threads */
	uint64_t born;	   /* start time in ticks: with pid, which process it is */
};

struct procs {
	struct proc *list;
	size_t count;
};

/* 0 or -errno. Undo with procs_free. What cannot be read is left out. */
int procs_read(struct procs *ret_procs);
void procs_free(struct procs *p);

/* False: there is no such process. */
bool procs_read_one(pid_t pid, struct proc *ret_proc);

const struct proc *procs_find(const struct procs *p, pid_t pid);

/* Whether pid is `ancestor` or descends from it. */
bool procs_descends(const struct procs *p, const struct proc *one, pid_t ancestor);

/* What a process and its descendants do, together. */
struct procs_sum {
	unsigned count, stopped; /* living; of these stopped by a signal or a debugger */
	unsigned running;	 /* ... with a CPU, or waiting for one */
	uint64_t cpu_ticks;
};

struct procs_sum procs_sum(const struct procs *p, pid_t pid);

/* Whether all threads of a process and of its descendants sleep: who has something to do, and merely
 * gets no CPU for it, does not. */
bool procs_sleep(const struct procs *p, pid_t pid);

#endif
