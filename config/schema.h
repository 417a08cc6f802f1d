/* THE table of options: key, type, scope, range, default, doc line, and where the value lands. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_type {
	/* one value */
	SCHEMA_NUMBER,       /* uint32_t */
	SCHEMA_COUNT,        /* uint64_t */
	SCHEMA_TIME,         /* uint64_t milliseconds */
	SCHEMA_SIZE,         /* uint64_t bytes */
	SCHEMA_BOOL,         /* uint8_t */
	SCHEMA_MASK,         /* uint32_t; -1 = all bits */
	SCHEMA_MODE,         /* uint32_t, octal */
	SCHEMA_NICE,         /* int32_t */
	SCHEMA_PREFIX_BITS,  /* "32/64": two uint32_t */
	SCHEMA_PATH,         /* text: absolute path; logical names are known */
	SCHEMA_LOGFILE,      /* text: stderr, syslog or a path */
	SCHEMA_SAID,         /* struct settings_said: a text that OpenSSL reads */
	SCHEMA_FILE,         /* struct settings_said: a path */
	SCHEMA_USER,         /* uint32_t */
	SCHEMA_GROUP,        /* uint32_t */
	SCHEMA_WORD,         /* uint8_t: one of words, the first is min, the last max; less: not said */
	SCHEMA_SIGNAL,       /* uint32_t */
	SCHEMA_TEXT,         /* text, 0 = empty */
	SCHEMA_RLIMIT_COUNT, /* struct settings_rlimit */
	SCHEMA_RLIMIT_SIZE,
	SCHEMA_RLIMIT_TIME, /* seconds */
	/* lists; a section's own list replaces the default one */
	SCHEMA_PAIRS,     /* texts NAME=VALUE, one a line */
	SCHEMA_VARIABLES, /* texts NAME=VALUE with the name of an environment variable */
	SCHEMA_SOURCES,   /* struct settings_prefix */
	SCHEMA_FILES,     /* struct settings_said: paths, one a line */
	SCHEMA_SNI,       /* struct settings_sni, one a line */
	SCHEMA_PROTOCOLS, /* texts */
	/* those that make sense only together: listeners.c, account.c, paths.c */
	SCHEMA_PORTS,
	SCHEMA_TLS_PORTS,
	SCHEMA_ADDRESSES,
	SCHEMA_IMAGE,
	SCHEMA_COMMAND,
	SCHEMA_RUN_USER,
	SCHEMA_RUN_GROUP,
	SCHEMA_RUN_GROUPS,
	/* known by name only */
	SCHEMA_NOT_ENFORCED,    /* an access control that is not carried out */
	SCHEMA_WITHOUT_MEANING, /* a warning */
	SCHEMA_TYPES
};

/* Where an option may stand, and of whom it then speaks. */
enum schema_scope {
	SCHEMA_TOP_DISPATCHER = 1, /* before the first section: of the dispatcher itself */
	SCHEMA_IN_DISPATCHER = 2,  /* in [SERVICE=DISPATCHER] */
	SCHEMA_TOP_SERVICES = 4,   /* before the first section: a default of every service */
	SCHEMA_IN_SERVICE = 8,
};

/* What it takes until a changed value is in force. */
enum schema_change {
	SCHEMA_BY_OTHERS = 0,	/* nothing: it shows in other options' values */
	SCHEMA_LIMITS = 1,	/* numbers that supervisor and acceptor go by: theirs at once */
	SCHEMA_TOLD = 2,	/* numbers that living workers must hear of too (MSG_LIMITS) */
	SCHEMA_WORKERS = 4,	/* only a new process has it: the workers are to be replaced */
	SCHEMA_LISTENERS = 8,	/* listeners come or go */
	SCHEMA_BACKLOG = 16,	/* listen(2) again on the same sockets */
	SCHEMA_SOCKETS = 32,	/* owner and mode of unix sockets that stay */
	SCHEMA_LOGS = 64,	/* another log file for whatever is written from now on */
	SCHEMA_ENABLED = 128,	/* the whole service opens or closes */
	SCHEMA_CONTROL = 256,	/* who may use the control socket */
	SCHEMA_RESTART = 512,	/* cannot change while the dispatcher runs */
	SCHEMA_TLS = 1024,	/* living workers get new certificates or ticket keys */
};

struct schema_option {
	const char *name;
	const char *aliases; /* space-separated, or NULL */
	enum schema_type type;
	unsigned scope;            /* of enum schema_scope */
	uint32_t service_at;       /* offset in struct service_settings, 0 = nowhere */
	uint32_t dispatcher_at;    /* offset in struct settings, 0 = nowhere */
	unsigned change;           /* enum schema_change: what a service needs when it changes */
	unsigned own_change;       /* the same of the dispatcher itself */
	uint64_t min, max;         /* inclusive, in the unit of the stored value; max 0: any */
	const char *initial;       /* default as text, NULL: derived or none; says the doc line */
	const char *initial_inetd; /* default with ADAPTER=inetd, when it differs */
	const char *words;         /* of SCHEMA_WORD: space-separated */
	const char *doc;
};

/* All options, in the order of the manual; index < schema_count(). */
const struct schema_option *schema_at(unsigned index);
unsigned schema_count(void);

/* By name or alias, in any case; NULL: none. */
const struct schema_option *schema_find(const char *key);

/* The option of a name that is known to exist. */
const struct schema_option *schema_get(const char *name);

/* The known name nearest to a misspelt one; NULL: none is near. */
const char *schema_suggest(const char *key);

/* Whether several lines of the option make a list, rather than the last one counting. */
bool schema_is_list(enum schema_type type);

/* Which of the option's words it is, in any case: min is the first. 0 or -EINVAL. */
int schema_word_index(const struct schema_option *option, const char *word, unsigned *ret_index);
/* The word of a value and its length; NULL: not said. */
const char *schema_word_at(const struct schema_option *option, unsigned index, int *ret_len);

/* "time", "number", ... as the manual says it. */
const char *schema_type_name(enum schema_type type);

#endif
