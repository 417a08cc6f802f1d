/* Does a worker still turn its loop? One that has connections is asked (a ping), and must answer. Pure. */
#ifndef ACCEPTOR_HANG_H
#define ACCEPTOR_HANG_H

#include <stdbool.h>
#include <stdint.h>

enum hang_verb { HANG_WAIT, HANG_ASK, HANG_HUNG };

/* Of one worker; zeroed at its start. */
struct hang {
	uint64_t alive_ms; /* last sign of life */
	uint64_t asked_ms; /* 0: no question is open */
	bool hung;	   /* has been said */
};

void hang_alive(struct hang *h, uint64_t now_ms); /* it answered, read or finished something */

/* limit_ms: HANG_TIMEOUT, not 0. has_work: it has connections, and is expected to turn its loop. What to
 * do now; HANG_ASK and HANG_HUNG are in force at once. *ret_due_ms: when to look again. */
enum hang_verb hang_look(struct hang *h, bool has_work, uint64_t limit_ms, uint64_t now_ms,
	uint64_t *ret_due_ms);

/* What is seen of a worker that cannot be asked. */
struct hang_sight {
	bool stopped;	      /* all its processes */
	bool running;	      /* one of them: it computes, or would */
	uint64_t unread_bytes; /* that wait on its connections */
	uint64_t cpu_ms;       /* used by all its processes, ever */
	uint64_t at_ms;
};

/* Whether it hung between two looks: it was stopped all the time; or what its clients sent stayed unread,
 * while it used no CPU to speak of, or hardly anything else. Whoever waits for slow clients has nothing unread. */
bool hang_between(const struct hang_sight *before, const struct hang_sight *now);

#endif
