/* The text of a configuration: every option of every section with its place, includes resolved. */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "config/file.h"
#include "config/vec.h"

struct schema_option;

struct source_line {
	struct where where;
	const char *key;   /* as written */
	const char *value; /* without blanks around it */
	const struct schema_option
		*option; /* set by whoever knows the schema; NULL: not to be used */
};

struct source_section {
	const char *name; /* lower case; "" before the first section, NULL: its header is wrong */
	struct where where;
	struct vec lines; /* of struct source_line */
};

struct source {
	struct vec files; /* of struct file, the main file first */
	struct vec
		sections; /* of struct source_section; the first stands for "before any section" */
	uint64_t hash;    /* of all files' contents */
};

void source_deinit(struct source *src);

#define SOURCE_LINE_BYTES    4096 /* longest line */
#define SOURCE_NAME_BYTES    32   /* longest service name */
#define SOURCE_INCLUDE_DEPTH 8
#define SOURCE_FILES         256

/* The directory of a file as a new string; NULL: no memory. */
char *source_directory(const char *path);

#endif
