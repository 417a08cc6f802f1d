/* What a connection costs the policy: pick, given, taken and done, with decisions pulled after each
 * fact as the acceptor does; 256 workers, some held connections each, one millisecond per 64
 * connections.
 *
 * cost [ROUNDS]; under `valgrind --tool=callgrind` with two numbers of rounds the difference is the
 * count of instructions. */
#include "dispatcher/policy/pool.h"

#include "common/base.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define WORKERS 256
#define OPEN    512 /* connections in service at a time */

static const struct pool_limits limits = {.min_procs = WORKERS,
	.max_procs = WORKERS,
	.min_conns = 30,
	.max_conns = 50,
	.max_shutdown = 2,
	.max_handoffs = 16,
	.max_life_conns = 100000000,
	.max_life_ms = 86400000,
	.max_idle_ms = 600000,
	.start_ms = 30000,
	.handoff_ms = 1000,
	.kill_ms = 10000,
	.burst = POOL_BURST};

static void pull(struct pool *p, uint64_t now_ms)
{
	struct pool_decision d;

	while (pool_next(p, now_ms, &d))
		ASSERT(d.verb == POOL_SPAWN);
}

static uint32_t serve(struct pool *p, uint64_t now_ms)
{
	uint32_t slot;

	ASSERT(pool_pick(p, 1, &slot));
	pool_given(p, slot, 1, now_ms);
	pull(p, now_ms);
	pool_taken(p, slot, 1, now_ms);
	pull(p, now_ms);
	return slot;
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000000, began_ns;
	struct pool *p = pool_init(malloc(pool_bytes(&limits)), &limits, 0);
	uint32_t open[OPEN];

	pull(p, 0);
	for (uint32_t i = 0; i < WORKERS; i++)
		pool_ready(p, i, 0);
	pull(p, 0);
	for (uint32_t i = 0; i < OPEN; i++)
		open[i] = serve(p, 0);
	began_ns = clock_mono_ns();
	for (uint64_t i = 0; i < rounds; i++) {
		uint32_t *which = &open[i * 97 % OPEN];

		pool_done(p, *which, 1, i / 64);
		pull(p, i / 64);
		*which = serve(p, i / 64);
	}
	printf("policy: %.1f ns per connection with %d workers\n",
		(double)(clock_mono_ns() - began_ns) / (double)rounds, WORKERS);
	free(p);
	return 0;
}
