/* Listening sockets that this process has not made itself: lent by whoever started it, or left by a
 * dispatcher whose supervisor was killed. Who opens a listener looks here before it binds. */
#ifndef SUPERVISOR_ADOPTED_H
#define SUPERVISOR_ADOPTED_H

#include "common/addr.h"

#include <jansson.h>
#include <stdbool.h>

#define ADOPTED_NAME_BYTES 256

struct adopted;
struct settings;

enum adopted_origin {
	ADOPTED_LENT, /* who lent it keeps it: it is never filtered, and its path never removed */
	ADOPTED_LEFT, /* ours, as if we had bound it */
};

struct adopted *adopted_new(void); /* NULL: no memory */
struct adopted *adopted_free(struct adopted *a);

/* Owns fd, and makes it non-blocking and close-on-exec. What turns out to be no listener is kept
 * until adopted_match, to be told. name: "" or how whoever lent it calls it. 0 or -ENOMEM. */
int adopted_add_consume(struct adopted *a, int fd, enum adopted_origin origin, const char *name);

/* Adds what whoever started us lends (inherited.h), before any other descriptor is opened, and forgets
 * the environment that told of it: after an exec of this process the numbers would mean something
 * else. 0, INHERITED_WRONG or -ENOMEM. */
int adopted_inherit(struct adopted *a);

/* Decides which is for which configured listener: by address, else by the name of the service, or
 * of service and port as "smtp-587". Logs each; closes those that are for nobody. */
void adopted_match(struct adopted *a, const struct settings *s);

/* The socket for a configured listener, the caller's; -1: none. Lent ones stay to be had again. */
int adopted_take(struct adopted *a, const struct addr *addr, const char *path,
	enum adopted_origin *ret_origin);

/* Whether a socket that was found for another listener takes the clients of this address, too: an
 * IPv6 wildcard that IPv4 clients reach. */
bool adopted_covers(const struct adopted *a, const struct addr *addr);

/* Over an exec, and back: those that are lent. */
void adopted_save(const struct adopted *a, json_t *root);
int adopted_restore(struct adopted *a, json_t *root); /* 0 or -ENOMEM; then adopted_match */

/* Closes those of this origin that nobody has taken. */
void adopted_drop(struct adopted *a, enum adopted_origin origin);

#endif
