/* What the workers of each service need for TLS: the bundle that dispatcher-keys has left, and the keys of
 * session tickets. Held by name, as services move in the tables; nothing here knows workers. */
#ifndef SUPERVISOR_SECRETS_H
#define SUPERVISOR_SECRETS_H

#include "dispatcher/supervisor/keyring.h"
#include "dispatcher/supervisor/tickets.h"

#include <jansson.h>

struct secrets;

/* A service's. Serial numbers are never used twice: whoever has been given these knows by them whether
 * they are still the same. */
struct secrets_entry {
	struct keyring_service keys; /* name, bundle and certificates */
	struct tickets tickets;
	uint64_t lifetime_ms; /* of a generation of tickets */
	uint64_t bundle_serial, tickets_serial; /* 0: there is none */
};

int secrets_new(struct secrets **ret_secrets);
struct secrets *secrets_free(struct secrets *s); /* closes everything; returns NULL */

/* What will be in force with these settings: owns the ring whatever it returns. 0 or -errno. Only
 * secrets_upcoming() shows it until it is committed. */
int secrets_prepare_consume(struct secrets *s, struct keyring *ring, const struct settings *settings);
void secrets_discard(struct secrets *s);
/* What was prepared is in force. Of the others those are kept whose services are in the tables; running
 * tickets go on. */
void secrets_commit(struct secrets *s, const struct settings *tables);

/* What a worker of the service is to be given: descriptors (borrowed, -1: none) and their serials. */
struct secrets_gift {
	int bundle_fd, tickets_fd;
	uint64_t bundle_serial, tickets_serial;
};

/* upcoming: with the bundle that was prepared, if there is one. */
struct secrets_gift secrets_gift(const struct secrets *s, const char *service, bool upcoming);

/* NULL: the service has none. Not for long: a commit frees them. */
const struct secrets_entry *secrets_find(const struct secrets *s, const char *service);
bool secrets_is_in_force(const struct secrets *s, const char *service, uint64_t digest);

/* What was prepared is not what is in force: names of the services, "" when nothing differs. free() */
char *secrets_changes(const struct secrets *s);

/* Rotates the tickets that are due. When the next are, monotonic; UINT64_MAX: never. */
uint64_t secrets_rotate(struct secrets *s, uint64_t now_ms);

/* In the order of the file; NULL: no more. */
const struct secrets_entry *secrets_at(const struct secrets *s, uint32_t index);

/* Over an exec, and back. */
void secrets_save(const struct secrets *s, json_t *root);
int secrets_restore(struct secrets *s, json_t *root);

#endif
