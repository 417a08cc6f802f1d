/* Another configuration, as one transaction: all of it is in force, or nothing has changed. */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include "dispatcher/link.h"

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct reload;
struct sv;

int reload_new(struct sv *sv, struct reload **ret_reload);
struct reload *reload_free(struct reload *r);

/* LINK_RELOAD, begun as an operation (ops.h). */
void reload_order(struct sv *sv, const struct link_record *order);

/* Other tables are being got ready: nobody may open, close or rename services now. */
bool reload_is_preparing(const struct reload *r);

/* Everything ends: what is under way is given up. */
void reload_abandon(struct reload *r);

/* Over an exec: how the last one ended. None is under way. */
void reload_save(const struct reload *r, json_t *root);
void reload_restore(struct reload *r, const json_t *root);

/* Tells the acceptor when the settings in force were read, and how the last reload ended. */
void reload_announce(struct reload *r);

#endif
