/* What workers.c and workers_saved.c share. */
#ifndef SUPERVISOR_WORKERS_INNER_H
#define SUPERVISOR_WORKERS_INNER_H

#include "dispatcher/supervisor/workers.h"

/* The workers of one service. */
struct gang {
	struct worker **slots; /* NULL: free */
	uint32_t slot_count;
	uint32_t room; /* slots that there is memory for */
	uint32_t next_serial;
	uint32_t live;	  /* BORN and RUNS */
	uint32_t counted; /* of these: not sent KILL */
	uint32_t queued;
	uint32_t cursor; /* where to look for the next queued one */
};

struct workers {
	struct workers_world world;
	struct worker_world worker_world;
	struct gang **gangs; /* by service */
	struct gang **next;  /* prepared: by service of the next tables, some of them the same gangs */
	uint32_t next_count;
	uint32_t gang_count, live, queued;
	uint32_t cursor; /* whose turn it is to start one: fair between services */
	uint32_t tokens; /* thousandths of a spawn */
	uint64_t tokens_ms;
	struct timer *later;
	struct kin *kin;
};

#endif
