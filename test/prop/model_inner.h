/* What both halves of the naive model ask of a worker. */
#ifndef TEST_PROP_MODEL_INNER_H
#define TEST_PROP_MODEL_INNER_H

#include "test/prop/model.h"

#define MODEL_PROVEN_MS 10000

uint64_t model_after(uint64_t at_ms, uint64_t span_ms); /* span 0: never */
bool model_is_live(const struct model_worker *w);
bool model_is_stranded(const struct model *m, const struct model_worker *w);
bool model_has_room(const struct model *m, const struct model_worker *w);
uint32_t model_room_for_loot(const struct model *m, uint32_t slot, bool only_lively);
bool model_is_spent(const struct model *m, const struct model_worker *w);
void model_forget_heir(struct model *m, struct model_worker *w);
/* To be called after a change that may have made somebody unfit to leave. */
void model_drop_leavers(struct model *m);

#endif
