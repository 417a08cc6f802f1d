/* The line reader under inih: judges every physical line and follows includes. */
#ifndef CONFIG_LINES_H
#define CONFIG_LINES_H

#include "config/source.h"

/* No option can be written so: a section begins here. */
#define LINES_SECTION_KEY "-section-"

/* What a line says; inih carries only its index. */
struct line_record {
	struct where where;
	const char *key;
	const char *value; /* of LINES_SECTION_KEY: the name, NULL when the header is wrong */
};

/* A file that is being read. */
struct line_frame {
	const char *path;
	char *next, *end;
	uint32_t line;
	uint64_t device, inode;
	bool moved; /* an include has opened a section; another line would fall into it */
};

struct lines {
	struct source *source;
	struct report *report;
	bool as_root;
	int failure; /* -errno that ends the reading */
	uint32_t seq;
	unsigned depth; /* frames in use */
	struct line_frame stack[SOURCE_INCLUDE_DEPTH + 1];
	struct vec records;
	/* The record last added opened a section: inih hears its header and then of the record. */
	enum { LINES_NOTHING, LINES_HEADER, LINES_OPTION } announce;
};

void lines_init(struct lines *l, struct source *source, bool as_root, struct report *report);
void lines_deinit(struct lines *l);

/* 0, 1 (told) or -errno. */
int lines_open_main(struct lines *l, const char *path);

/* inih's reader: writes the next line into buf. NULL: the end. */
char *lines_next(char *buf, int size, void *user);

/* The record that an index names; NULL: none. */
const struct line_record *lines_record(const struct lines *l, const char *index);

/* What inih is told of a section's name. */
const char *lines_section_name(const struct line_record *record);

#endif
