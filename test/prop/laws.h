/* What must hold of a pool in every world, apart from any decision of the model. */
#ifndef TEST_PROP_LAWS_H
#define TEST_PROP_LAWS_H

#include "dispatcher/policy/pool.h"
#include "test/prop/model.h"

#include "common/base.h"

/* One world. */
struct world {
	uint64_t seed, random;
	unsigned step;
	struct pool *pool;
	struct model model;
	uint32_t waiting, open; /* clients: outside, and in workers */
	uint64_t arrived, done, lost;
	bool has_adopted;
	uint64_t checks;
};

#define LIVE                                                                                       \
	(BIT(POOL_STARTING) | BIT(POOL_SERVING) | BIT(POOL_SUSPECT) | BIT(POOL_RETIRING) |         \
		BIT(POOL_KILLED))

#define LAW(w, claim)                                                                              \
	do {                                                                                       \
		if (!(claim))                                                                      \
			laws_broken(w, #claim, __LINE__);                                          \
	} while (0)

_Noreturn void laws_broken(const struct world *w, const char *claim, int line);

/* Real pool and model are of one opinion, and neither is in a state that must not be. */
void laws_check(const struct world *w);

/* What a decision of the pool needs, whatever the model thinks; the model has not made it yet. */
void laws_check_decision(const struct world *w, const struct pool_decision *d);

#endif
