/* Runs the scenarios and holds each against its envelope.
 *
 * sim [CONNECTIONS [SCENARIO [SEED]]]: so many connections over all scenarios (default 1,000,000). The
 * long run is `sim 100000000`: 100 million connections over thousands of workers. */
#include "test/sim/sim.h"

#include "common/base.h"
#include "common/clock.h"

#include <inttypes.h>
#include <string.h>

#define CONNECTIONS 1000000
#define SECOND 1000000ull
#define MS 1000ull

#define TIMES \
	.start_ms = 30000, .handoff_ms = 1000, .kill_ms = 10000, \
	.burst = POOL_BURST, .max_handoffs = 16

static const struct scenario scenarios[] = {
	{
		.name = "steady",
		.limits = {.min_procs = 1, .max_procs = 64, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 10000, .max_life_ms = 86400000, TIMES},
		.per_second = 20000, .serve_us = 50 * MS, .start_us = 5 * MS,
		.most_wait_us = 50 * MS, .most_processes = 44, .most_spawns_1000 = 0.1,
	},
	{
		.name = "flash-crowd",
		.limits = {.min_procs = 1, .max_procs = 10, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 10000, .max_life_ms = 86400000, .max_idle_ms = 5000, TIMES},
		.crowd = 1000, .crowd_every_us = 20 * SECOND, .per_second = 10, .serve_us = 50 * MS,
		.start_us = 5 * MS,
		.most_wait_us = 200 * MS, .most_processes = 10, .most_spawns_1000 = 9,
	},
	{
		.name = "slow-clients",
		.limits = {.min_procs = 2, .max_procs = 10, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 10000, .max_life_ms = 86400000, TIMES},
		.per_second = 230, .serve_us = 2 * SECOND, .is_heavy = true, .start_us = 20 * MS,
		.most_wait_us = 3 * SECOND, .most_processes = 12, .most_spawns_1000 = 0.2,
	},
	{
		.name = "crash-loop",
		.limits = {.min_procs = 4, .max_procs = 8, .min_conns = 10, .max_conns = 20,
			.max_shutdown = 2, .max_life_conns = 10000, TIMES},
		.per_second = 20, .serve_us = 20 * MS, .start_us = 5 * MS, .die_starting = 500,
		.die_reading = 10000, .may_lose = true,
		.most_processes = 10, .most_spawns_minute = 16,
	},
	{
		.name = "spent-one",
		.limits = {.min_procs = 4, .max_procs = 4, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 100, TIMES},
		.closed_clients = 1, .pause_us = 50, .serve_us = 100, .start_us = 4 * MS,
		.most_wait_us = 50 * MS, .most_processes = 6, .most_spawns_1000 = 10.1,
		.least_life = 100, .most_life = 100,
	},
	{
		.name = "spent-sixteen",
		.limits = {.min_procs = 4, .max_procs = 4, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 4, .max_life_conns = 100, TIMES},
		.closed_clients = 16, .pause_us = 1000, .serve_us = 100, .start_us = 4 * MS,
		.most_wait_us = 50 * MS, .most_processes = 8, .most_spawns_1000 = 10.1,
		.least_life = 100, .most_life = 116,
	},
	{
		.name = "all-old",
		.limits = {.min_procs = 16, .max_procs = 16, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_ms = 60000, TIMES},
		.per_second = 60, .serve_us = 5 * SECOND, .start_us = 50 * MS,
		.most_wait_us = 500 * MS, .most_processes = 18, .most_spawns_minute = 17,
	},
	{
		.name = "stopped",
		.limits = {.min_procs = 8, .max_procs = 8, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 10000, TIMES},
		.per_second = 500, .serve_us = 10 * MS, .start_us = 5 * MS,
		.stop_every_us = 6 * SECOND, .stop_us = 3 * SECOND, .stop_count = 3,
		.most_wait_us = 1200 * MS, .most_processes = 10, .most_spawns_1000 = 0.2,
		.most_spawns_minute = 25,
	},
	{
		.name = "restarted",
		.limits = {.min_procs = 4, .max_procs = 8, .min_conns = 30, .max_conns = 50,
			.max_shutdown = 2, .max_life_conns = 10000, TIMES},
		.per_second = 100, .serve_us = SECOND, .start_us = 20 * MS,
		.restart_every_us = 5 * SECOND,
		.most_wait_us = 100 * MS, .most_processes = 18, .most_spawns_minute = 72,
	},
};

static bool claim(bool holds, const char *text)
{
	if (!holds)
		printf("    BROKEN: %s\n", text);
	return holds;
}

static bool is_within(const struct scenario *s, const struct sim_result *r, uint32_t services)
{
	double conns = (double)r->arrived / 1000, minutes = (double)r->virtual_us / 6e7;
	double spawns = (double)r->spawns / services - s->limits.min_procs - s->limits.max_procs;
	bool is_fine = true;

	is_fine &= claim(!r->broken, "min_procs, max_shutdown and all processes at any time");
	is_fine &= claim(r->arrived == r->served + r->lost, "every connection is served or lost");
	is_fine &= claim(!r->lost || s->may_lose, "no connection is lost");
	is_fine &= claim(!s->most_wait_us || r->longest_wait_us <= s->most_wait_us, "the longest wait");
	is_fine &= claim(r->most_processes <= s->most_processes, "the most processes");
	is_fine &= claim(spawns <= s->most_spawns_1000 * conns / services +
			s->most_spawns_minute * minutes, "the spawns");
	is_fine &= claim(r->restarts * s->restart_every_us * 3 >=
			(s->restart_every_us ? r->virtual_us * services : 0),
			"a third of the restarts is not refused");
	is_fine &= claim(!s->most_life || r->most_life <= s->most_life, "the longest life");
	is_fine &= claim(!s->least_life || r->least_life >= s->least_life, "the shortest life");
	return is_fine;
}

static bool run(const struct scenario *s, uint64_t connections, uint64_t seed)
{
	uint32_t services = (uint32_t)MAX(1u, MIN(connections / 25000, 100u));
	uint64_t began_ns = clock_mono_ns(), real_ns;
	struct sim_result r;

	sim_run(s, services, connections / services, seed, &r);
	real_ns = clock_mono_ns() - began_ns;
	printf("%-14s %9" PRIu64 " connections, %3u services, %6.0f s: longest wait %.2f ms, %" PRIu64
		" spawns, %u processes, %" PRIu64 " retired, %" PRIu64 " stolen, %" PRIu64
		" lost; %.0f ns each\n",
		s->name, r.arrived, services, (double)r.virtual_us / 1e6, (double)r.longest_wait_us / 1e3,
		r.spawns, r.most_processes, r.retired, r.stolen, r.lost,
		(double)real_ns / (double)r.arrived);
	if (r.most_life)
		printf("    lives of the spent: %" PRIu64 " to %" PRIu64 "\n", r.least_life, r.most_life);
	if (s->restart_every_us)
		printf("    %" PRIu64 " restarts\n", r.restarts);
	return is_within(s, &r, services);
}

int main(int argc, char **argv)
{
	uint64_t connections = argc > 1 ? strtoull(argv[1], NULL, 0) : CONNECTIONS;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	bool is_fine = true;

	for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
		if (argc < 3 || !strcmp(argv[2], scenarios[i].name))
			is_fine &= run(&scenarios[i], connections / ARRAY_LEN(scenarios), seed);
	}
	return is_fine ? 0 : 1;
}
