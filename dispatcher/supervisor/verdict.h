/* What a process that does not answer is doing, in plain words. Pure. */
#ifndef SUPERVISOR_VERDICT_H
#define SUPERVISOR_VERDICT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VERDICT_BYTES 128
#define VERDICT_NO_CALL (-1)	  /* in no system call */
#define VERDICT_UNKNOWN_CALL (-2) /* not allowed to know */

/* What a descriptor leads to. */
enum verdict_end { VERDICT_OTHER_END, VERDICT_SOCKET, VERDICT_PIPE };

/* One thread, looked at twice, a moment apart. */
struct verdict_thread {
	bool is_first; /* of its process */
	char state[2]; /* letters as in /proc/PID/stat */
	uint32_t cpu_percent; /* of one CPU, between the looks */
	long call; /* number of the system call that it waits in, or VERDICT_... */
	enum verdict_end end; /* of the call's first argument, where that is a descriptor */
	char wchan[40]; /* the kernel's function that it waits in; "" or "0": unknown */
};

/* Of all threads of the process. */
void verdict(const struct verdict_thread *threads, unsigned count, char ret_text[VERDICT_BYTES]);

/* The name of a system call that threads wait in; NULL for others. */
const char *verdict_call_name(long call);

#endif
