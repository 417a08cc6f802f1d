/* What changes from one settings block to the next: which services, which of their listeners, what it
 * takes to bring each change about, and the words for whoever asked. Pure. The result is flat and
 * pointer-free as a settings block, since the child that reads the files makes it. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config/schema.h"
#include "config/settings.h"

#define DIFF_MAGIC 0x44535044u
#define DIFF_NONE UINT32_MAX

enum diff_kind { DIFF_SAME, DIFF_CHANGED, DIFF_NEW, DIFF_GONE };

/* One address of a service, in the old block or in the new one or (it stays open) in both. */
struct diff_listener {
	uint32_t old, next; /* index in the service's listeners; DIFF_NONE: added; removed */
};

struct diff_service {
	uint32_t kind;	    /* enum diff_kind */
	uint32_t old, next; /* index in the blocks; DIFF_NONE: DIFF_NEW; DIFF_GONE */
	uint32_t changes;   /* of enum schema_change; 0 unless DIFF_CHANGED */
	uint32_t was_enabled, is_enabled;
	struct settings_list listeners; /* of struct diff_listener: all of the new block in its order,
					 * then those that are gone; matched by address */
	uint32_t name, words; /* texts: "smtp"; "max_procs 20 -> 40" ("": DIFF_SAME) */
};

struct diff {
	uint32_t magic;
	uint32_t bytes;		     /* of the whole block */
	uint32_t changes;	     /* of the dispatcher's own options: enum schema_change */
	uint32_t words;		     /* text: of these; "": none */
	struct settings_list services; /* of struct diff_service: all of the new block in its order, then
					* those that are gone */
	struct settings_list refusals; /* of texts: what cannot be brought about while the dispatcher
					* runs, each with its remedy; any: nothing must be changed */
};

/* Both blocks are whole (settings_check). The result is the caller's (free); NULL: no memory. */
struct diff *diff_make(const struct settings *old, const struct settings *next);

/* Checks that a result that came from elsewhere is whole and speaks of just these two blocks: every
 * service and every listener of both stands in it once. 0 or -EBADMSG. */
int diff_check(const void *block, size_t bytes, const struct settings *old,
	const struct settings *next);

const struct diff_service *diff_service(const struct diff *d, uint32_t index);
const struct diff_listener *diff_listeners(const struct diff *d, const struct diff_service *svc);
const char *diff_text(const struct diff *d, uint32_t at); /* "" for 0 */
const char *diff_refusal(const struct diff *d, uint32_t index);

/* One line for each service that differs and one for the dispatcher itself: "smtp: max_procs 20 -> 40,
 * no worker is touched"; without any, "nothing changes". workers: how many a service has now, by its
 * index in the old block; NULL: not known, then "its workers". */
void diff_print(const struct diff *d, const uint32_t *workers, FILE *out);

#endif
