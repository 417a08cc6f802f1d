/* The table of the verbs: what usage, help, completion and the man page are held against. */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include "dispatcher/ctl/command.h"

#include <stddef.h>

/* What the arguments of a verb are; of this completion knows the words. */
enum verb_names { NAMES_NONE, NAMES_SERVICES, NAMES_TARGETS, NAMES_WORKERS, NAMES_FILES, NAMES_PREFIXES };

struct verb {
	const char *name, *other; /* other: the same by another name, or NULL */
	enum verb_names names;
	unsigned least, most; /* arguments */
	unsigned takes;	      /* options */
	int (*run)(const struct command *c); /* returns an enum request_status */
	const char *synopsis;		     /* behind the name */
	const char *help;		     /* whole lines */
};

struct verb_option {
	unsigned option;
	const char *name; /* without its dashes */
	bool has_value;
	const char *help; /* a line */
};

const struct verb *verbs_find(const char *name);	/* NULL: there is none */
const struct verb *verbs_at(size_t index);		/* NULL behind the last */
const struct verb_option *verbs_option(size_t index);	/* NULL behind the last */

#endif
