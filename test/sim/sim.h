/* Simulated services: the real policy, with clients and workers that are numbers. */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include "dispatcher/policy/pool.h"

#include <stdbool.h>
#include <stdint.h>

/* How clients and workers behave, and what must come of it. Times in microseconds unless named. */
struct scenario {
	const char *name;
	struct pool_limits limits;
	/* clients: either so many a second, each on his own (a crowd comes together every crowd_every), or
	 * so many that come again when they were served, after a pause */
	uint32_t per_second, crowd, closed_clients;
	uint64_t crowd_every_us, pause_us;
	uint64_t serve_us; /* mean time of a connection */
	bool is_heavy;	   /* most are short, few very long */
	/* workers */
	uint64_t start_us;
	uint32_t die_starting, die_reading; /* of 1,000 starts; of 1,000,000 connections */
	uint64_t stop_every_us, stop_us;    /* random workers are stopped, and resumed after stop_us */
	uint32_t stop_count;		    /* so many, or fewer */
	uint64_t restart_every_us;	    /* all of a service, unless too many drain from the last */
	/* the envelope, per service */
	uint64_t most_wait_us;	    /* from arrival until a worker has read it; 0 = any */
	uint32_t most_processes;    /* at a time */
	double most_spawns_1000;    /* per 1,000 connections, beside those of min_procs and max_procs */
	double most_spawns_minute;  /* per minute */
	uint64_t most_life;	    /* connections of a worker that was spent; 0 = any */
	uint64_t least_life;	    /* likewise */
	bool may_lose;		    /* workers die with connections */
};

struct sim_result {
	uint64_t arrived, served, lost, spawns, retired, stolen, restarts;
	uint64_t longest_wait_us, virtual_us;
	uint64_t most_life, least_life; /* of the spent */
	uint32_t most_processes;
	uint32_t broken; /* times that fewer than min_procs were left, or more than the caps */
};

/* Runs so many services side by side until each has had so many connections. */
void sim_run(const struct scenario *s, uint32_t services, uint64_t connections, uint64_t seed,
	struct sim_result *ret);

#endif
