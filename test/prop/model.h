/* A pool as one would write it without a thought of speed: no sums, no buckets, no marks; every answer
 * is found by walking over all workers. The property test holds the real pool against it. */
#ifndef TEST_PROP_MODEL_H
#define TEST_PROP_MODEL_H

#include "dispatcher/policy/pool.h"

#define MODEL_SLOTS 32
#define MODEL_OFFERS 64
#define MODEL_NOBODY UINT32_MAX

enum model_stage { MODEL_FRESH, MODEL_NEAR, MODEL_LIMIT };

struct model_worker {
	enum pool_state state;
	enum pool_reason reason, owed;
	bool owed_kill, leaving, replaced, robbing, hasty, proven, failed, termed, could_take;
	uint32_t load, unread, peak, heir, heir_of;
	uint64_t life, created_ms, ready_ms, idle_ms, retired_ms, termed_ms, ask_ms, alive_ms, suspect_ms;
	enum pool_reason stale;
	uint64_t stale_ms, drain_ms;
	uint64_t offered_ms[MODEL_OFFERS]; /* of each unread offer, the oldest first */
	int64_t used; /* the higher, the later it was used */
	uint32_t used_load;
};

struct model {
	struct pool_limits limits;
	uint32_t slots, waiting;
	struct model_worker worker[MODEL_SLOTS];
	bool closed, only_lively;
	uint64_t close_ms, backoff_until_ms, backoff_ms;
	int64_t last_use, first_use;
	uint64_t now_ms, start_took_ms;
};

void model_init(struct model *m, const struct pool_limits *limits);

/* Facts, as in pool.h. */
void model_adopted(struct model *m, uint32_t slot, enum pool_state state, enum pool_reason reason,
	uint64_t life, uint32_t load, uint32_t unread, uint64_t created_ms);
void model_retired_since(struct model *m, uint32_t slot, uint64_t retired_ms);
void model_stale(struct model *m, uint32_t slot, enum pool_reason reason, uint64_t drain_ms,
	uint64_t since_ms);
void model_ready(struct model *m, uint32_t slot);
void model_given(struct model *m, uint32_t slot, uint32_t count);
void model_taken(struct model *m, uint32_t slot, uint32_t count);
void model_done(struct model *m, uint32_t slot, uint32_t count);
void model_robbed(struct model *m, uint32_t slot, uint32_t count);
void model_silent(struct model *m, uint32_t slot);
void model_answered(struct model *m, uint32_t slot);
void model_lied(struct model *m, uint32_t slot);
void model_hung(struct model *m, uint32_t slot);
void model_exited(struct model *m, uint32_t slot);
void model_released(struct model *m, uint32_t slot);
void model_spawn_failed(struct model *m, uint32_t slot);
void model_close(struct model *m, uint64_t deadline_ms);
void model_reopened(struct model *m);
void model_try_now(struct model *m);

/* Questions and decisions. */
uint32_t model_pick(const struct model *m, uint32_t waiting, uint32_t *ret_slot);
bool model_next(struct model *m, struct pool_decision *ret);
uint32_t model_count(const struct model *m, enum pool_state state);
bool model_takes(const struct model *m, const struct model_worker *w); /* SERVING, not suspicious */
bool model_is_ordered(const struct model_worker *w); /* stale, and not for its memory */
uint32_t model_room_of(const struct model *m, uint32_t slot);
enum model_stage model_stage(const struct model *m, const struct model_worker *w);

#endif
