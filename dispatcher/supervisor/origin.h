/* The files that the settings in force were read from: whether they are on disk as they were then. */
#ifndef SUPERVISOR_ORIGIN_H
#define SUPERVISOR_ORIGIN_H

#include <jansson.h>
#include <stdbool.h>

struct origin;
struct settings;
struct uv_loop_s;

typedef void origin_fn(void *user);

/* Looks every two seconds and calls when the answer has changed. 0 or -errno. */
int origin_new(struct uv_loop_s *loop, origin_fn *call, void *user, struct origin **ret_origin);
struct origin *origin_free(struct origin *o); /* NULL is fine; returns NULL */

/* These have been read last; they are copied. 0 or -ENOMEM: as before. */
int origin_set(struct origin *o, const struct settings *s);
bool origin_changed(const struct origin *o); /* as last looked */

/* Over an exec. */
void origin_save(const struct origin *o, json_t *root);
void origin_restore(struct origin *o, const json_t *root);

#endif
