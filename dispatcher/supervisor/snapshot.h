/* The supervisor's state as one JSON document in sealed memory, for the image that takes the place of
 * this one. A field is a number, a flag, a text or, when its name ends in _fd, a descriptor. Whoever reads
 * takes what it knows, defaults what is absent, and ignores the rest: so each image reads the state of the
 * one before and of the one behind it. */
#ifndef SUPERVISOR_SNAPSHOT_H
#define SUPERVISOR_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A descriptor of sealed memory, or -errno. */
int snapshot_write(const json_t *root);
int snapshot_read(int fd, json_t **ret_root); /* 0, or -EBADMSG */

void snapshot_put(json_t *o, const char *key, uint64_t number);
void snapshot_put_text(json_t *o, const char *key, const char *text); /* left out: NULL, or no UTF-8 */
void snapshot_put_fd(json_t *o, const char *key, int fd);	      /* -1: left out */
json_t *snapshot_add(json_t *o, const char *key); /* one more object in the list of that name */

uint64_t snapshot_number(const json_t *o, const char *key, uint64_t otherwise);
const char *snapshot_text(const json_t *o, const char *key); /* NULL: absent */
int snapshot_fd(json_t *o, const char *key); /* the caller's from now on; -1: absent, or taken already */

/* The first descriptor that is not open, by its name; NULL: all are. */
const char *snapshot_missing(const json_t *root);
void snapshot_pass(const json_t *root, bool passes); /* all its descriptors over an exec, or not */
void snapshot_close_rest(json_t *root); /* those that nobody has taken */

#endif
