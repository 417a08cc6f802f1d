/* Collects what there is to say about a configuration and tells it in the order of the files. */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "config/tell.h"
#include "config/vec.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in a file. seq numbers the lines of all files in the order of reading; 0: no line. */
struct where {
	const char *file; /* lives as long as the source */
	uint32_t line, seq;
};

struct report {
	struct vec messages;
	unsigned errors;
	bool failed; /* no memory for a message */
};

void report_init(struct report *r);
void report_deinit(struct report *r);

/* Adds "file:line: text" once, however often it is added. where may be NULL. */
void report_add(struct report *r, enum load_severity severity, const struct where *where,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Tells everything: NOT ENFORCED first, then by place. */
void report_tell(const struct report *r, load_tell *tell, void *user);

/* Calls back for each text of one severity, in the order of report_tell. */
void report_each(const struct report *r, enum load_severity severity,
	void (*found)(void *user, const char *text), void *user);

/* "file:line", cut to fit. */
#define WHERE_BYTES 512
const char *where_format(const struct where *where, char ret_text[WHERE_BYTES]);

#define report_error(r, where, ...)   report_add(r, LOAD_ERROR, where, __VA_ARGS__)
#define report_warning(r, where, ...) report_add(r, LOAD_WARNING, where, __VA_ARGS__)

#endif
