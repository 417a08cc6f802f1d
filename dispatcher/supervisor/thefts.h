/* Thefts under way and their results: one thief process per robbed worker, never waited for. */
#ifndef SUPERVISOR_THEFTS_H
#define SUPERVISOR_THEFTS_H

#include "dispatcher/link.h"

#include <jansson.h>
#include <stdbool.h>

struct children;
struct outlet;
struct reader_result;
struct thefts;
struct uv_loop_s;
struct workers;

struct thefts_world {
	struct uv_loop_s *loop;
	const struct reader_result *config;
	struct children *children;
	struct workers *workers;
	struct outlet *outlet;
	const uint64_t *nofile; /* RLIMIT_NOFILE of a thief: bounds the descriptors in flight */
	int log;	 /* where its complaints go */
};

int thefts_new(const struct thefts_world *world, struct thefts **ret_thefts);
struct thefts *thefts_free(struct thefts *all); /* thieves under way are left to end by themselves */

/* Orders of the acceptor: LINK_STEAL and LINK_STOLEN_SEEN; what makes no sense is ignored. */
void thefts_steal(struct thefts *all, const struct link_record *order);
void thefts_seen(struct thefts *all, uint32_t service, uint32_t slot);

/* The services have other numbers: map has for each new one the old, LEDGER_NONE where there was none. */
void thefts_adopt(struct thefts *all, const uint32_t *map, uint32_t services);

/* Over an exec, when none is under way: what has ended and was not seen, and back. 0 or -ENOMEM. */
bool thefts_under_way(const struct thefts *all);
void thefts_save(const struct thefts *all, json_t *root);
int thefts_restore(struct thefts *all, json_t *root);

/* Tells the acceptor everything again. */
void thefts_announce(struct thefts *all);

#endif
