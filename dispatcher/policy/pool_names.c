/* The words that status, logs and tests use for states and reasons. */
#include "dispatcher/policy/pool.h"

#include "common/base.h"

static const char *const states[POOL_STATES] = {
	[POOL_FREE] = "free",
	[POOL_STARTING] = "starting",
	[POOL_SERVING] = "serving",
	[POOL_SUSPECT] = "suspect",
	[POOL_RETIRING] = "retiring",
	[POOL_KILLED] = "killed",
	[POOL_EXITED] = "exited",
};

static const char *const reasons[POOL_REASONS] = {
	[POOL_NO_REASON] = "none",
	[POOL_SPENT] = "spent",
	[POOL_OLD] = "old",
	[POOL_IDLE] = "idle",
	[POOL_CLOSED] = "closed",
	[POOL_FALSE_REPORT] = "false-report",
	[POOL_NOT_READY] = "not-ready",
	[POOL_HUNG] = "hung",
	[POOL_DRAINED] = "drain-timeout",
	[POOL_ORDERED] = "ordered",
	[POOL_SURPLUS] = "surplus",
	[POOL_RESTARTED] = "restarted",
	[POOL_CHANGED] = "changed",
	[POOL_MEMORY] = "memory",
};

const char *pool_state_name(enum pool_state state)
{
	ASSERT(state < POOL_STATES);
	return states[state];
}

const char *pool_reason_name(enum pool_reason reason)
{
	ASSERT(reason < POOL_REASONS);
	return reasons[reason];
}
