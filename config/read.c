/* Files to options, over inih's stream parser. inih cuts long lines, section names and values
 * behind " ;", takes an indented line for a continuation and "[::1]:25" for a section, all of it
 * silently. So our own reader (lines.c) judges each line first and hands inih only what it cannot
 * misread: a short header, or "KEY=NUMBER", where the number is the index of the line's record.
 * After each header it slips in an option of its own, so that empty sections are seen too. */
#include "config/read.h"
#include "config/lines.h"
#include "common/base.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

static int open_section(struct source *src, const struct line_record *record)
{
	struct source_section *section = vec_push(&src->sections);

	if (!section)
		return -ENOMEM;
	section->name = record ? record->value : "";
	section->lines.elem = sizeof(struct source_line);
	if (record)
		section->where = record->where;
	return 0;
}

static int add_line(struct source *src, const struct line_record *record)
{
	struct source_section *section = vec_at(&src->sections, src->sections.count - 1);
	struct source_line *line = vec_push(&section->lines);

	if (!line)
		return -ENOMEM;
	*line = (struct source_line){
		.where = record->where, .key = record->key, .value = record->value};
	return 0;
}

static const char *current_name(const struct source *src)
{
	const struct source_section *section = vec_at(&src->sections, src->sections.count - 1);

	return section->name ? section->name : "?";
}

/* inih's handler: 1 is success. What it says must be what the reader meant. */
static int take_option(void *user, const char *section, const char *name, const char *value)
{
	struct lines *lines = user;
	const struct line_record *record = lines_record(lines, value);
	bool opens = record && !strcmp(record->key, LINES_SECTION_KEY);
	int r;

	if (!record || strcmp(name, record->key))
		return 0;
	if (strcmp(section, opens ? lines_section_name(record) : current_name(lines->source)))
		return 0;
	r = opens ? open_section(lines->source, record) : add_line(lines->source, record);
	if (r < 0)
		lines->failure = r;
	return r == 0;
}

int read_source(struct source *src, const char *path, bool as_root, struct report *report)
{
	struct lines lines;
	int r;

	*src = (struct source){.files.elem = sizeof(struct file),
		.sections.elem = sizeof(struct source_section),
		.hash = 0xcbf29ce484222325u};
	r = open_section(src, NULL);
	if (r < 0)
		return r;
	lines_init(&lines, src, as_root, report);
	r = lines_open_main(&lines, path);
	if (!r && ini_parse_stream(lines_next, &lines, take_option, &lines))
		r = -EBADMSG;
	if (lines.failure)
		r = lines.failure;
	lines_deinit(&lines);
	return r;
}
