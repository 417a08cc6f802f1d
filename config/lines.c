/* One physical line at a time, out of a stack of files. Whatever stands in a line wrongly is told
 * with its place and the line is left out; the reading goes on, so that all mistakes are told at
 * once. */
#include "config/lines.h"
#include "common/base.h"
#include "common/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define KEY_BYTES 40

void lines_init(struct lines *l, struct source *source, bool as_root, struct report *report)
{
	*l = (struct lines){.source = source,
		.report = report,
		.as_root = as_root,
		.records.elem = sizeof(struct line_record)};
}

void lines_deinit(struct lines *l)
{
	vec_free(&l->records);
}

const struct line_record *lines_record(const struct lines *l, const char *index)
{
	uint64_t i;

	return !parse_u64(index, &i) && i < l->records.count ? vec_at(&l->records, i) : NULL;
}

static struct line_frame *top(struct lines *l)
{
	return &l->stack[l->depth - 1];
}

/* FNV-1a: tells whether two loads saw the same texts; nobody relies on it against forgery. */
static void add_to_hash(struct source *src, const struct file *f)
{
	for (size_t at = 0; at <= f->len; at++)
		src->hash = (src->hash ^ (unsigned char)f->data[at]) * 0x100000001b3u;
}

static int push_file(struct lines *l, const char *path, const struct where *where)
{
	struct vec *files = &l->source->files;
	uint32_t trusted = files->count ? ((struct file *)vec_at(files, 0))->owner : UINT32_MAX;
	bool has_bom, moved = l->depth && top(l)->moved;
	struct file f, *slot;
	int r = file_read(path, l->as_root, trusted, l->report, where, &f);

	if (r)
		return r;
	add_to_hash(l->source, &f);
	slot = vec_push(files);
	if (!slot) {
		file_deinit(&f);
		return -ENOMEM;
	}
	*slot = f;
	has_bom = f.len >= 3 && !memcmp(f.data, "\xef\xbb\xbf", 3);
	l->stack[l->depth++] = (struct line_frame){.path = f.path,
		.next = f.data + (has_bom ? 3 : 0),
		.end = f.data + f.len,
		.device = f.device,
		.inode = f.inode,
		.moved = moved};
	return 0;
}

int lines_open_main(struct lines *l, const char *path)
{
	return push_file(l, path, NULL);
}

/* The path of an included file: IMTA_TABLE: and PMDF_TABLE: are the directory of the main file,
 * other names stand beside the file that includes them. */
static char *include_path(struct lines *l, const char *name)
{
	const struct file *first = vec_at(&l->source->files, 0);
	const char *colon = strchr(name, ':'), *beside = top(l)->path;
	OWNS_MEM char *dir = NULL;
	char *path;

	if (name[0] == '/')
		return strdup(name);
	if (colon &&
		(!strncasecmp(name, "IMTA_TABLE:", 11) || !strncasecmp(name, "PMDF_TABLE:", 11))) {
		beside = first->path;
		name = colon + 1;
	}
	if (!strchr(beside, '/'))
		return strdup(name);
	dir = source_directory(beside);
	return dir && asprintf(&path, "%s/%s", dir, name) >= 0 ? path : NULL;
}

static bool is_loop(struct lines *l, const struct where *where)
{
	const struct line_frame *f = top(l);

	for (unsigned i = 0; i + 1 < l->depth; i++) {
		if (l->stack[i].device != f->device || l->stack[i].inode != f->inode)
			continue;
		report_error(l->report, where, "%s includes itself; take this line out", f->path);
		return true;
	}
	return false;
}

static void include(struct lines *l, const char *name, const struct where *where)
{
	OWNS_MEM char *path = NULL;
	int r;

	if (!*name) {
		report_error(l->report, where, "no file is named behind <; write <file");
		return;
	}
	if (l->depth > SOURCE_INCLUDE_DEPTH || l->source->files.count >= SOURCE_FILES) {
		report_error(l->report, where,
			"includes go deeper than %u files or are more than %u in all; flatten them",
			SOURCE_INCLUDE_DEPTH, SOURCE_FILES);
		return;
	}
	path = include_path(l, name);
	r = path ? push_file(l, path, where) : -ENOMEM;
	if (r < 0)
		l->failure = r;
	else if (!r && is_loop(l, where))
		l->depth--;
}

static bool add_record(
	struct lines *l, const struct where *where, const char *key, const char *value)
{
	struct line_record *record = vec_push(&l->records);

	if (!record) {
		l->failure = -ENOMEM;
		return false;
	}
	*record = (struct line_record){.where = *where, .key = key, .value = value};
	return true;
}

static bool is_service_name(const char *name)
{
	if (!isalnum((unsigned char)*name) || strlen(name) > SOURCE_NAME_BYTES)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("_-.", *name))
			return false;
	return true;
}

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t");
	for (end = text + strlen(text); end > text && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	return text;
}

/* The name of "[SERVICE=name]" in lower case; NULL: told. */
static const char *section_name(struct lines *l, char *line, const struct where *where)
{
	size_t len = strlen(line);
	char *equals = strchr(line, '='), *name;

	if (line[len - 1] != ']' || !equals) {
		report_error(l->report, where,
			"a line that begins with [ must be [SERVICE=name]; an address belongs "
			"behind PORT=");
		return NULL;
	}
	line[len - 1] = *equals = '\0';
	name = trim(equals + 1);
	if (strcasecmp(trim(line + 1), "SERVICE")) {
		report_error(l->report, where,
			"there is no section [%.40s=...]; only [SERVICE=name]", line + 1);
		return NULL;
	}
	if (!is_service_name(name)) {
		report_error(l->report, where,
			"\"%.40s\" cannot name a service: letters, digits, _ - and ., at most %u",
			name, SOURCE_NAME_BYTES);
		return NULL;
	}
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}

static void section(struct lines *l, char *line, const struct where *where)
{
	const char *name = section_name(l, line, where);

	if (add_record(l, where, LINES_SECTION_KEY, name))
		l->announce = LINES_HEADER;
	for (unsigned i = 0; i < l->depth; i++)
		l->stack[i].moved = i + 1 < l->depth;
}

static bool is_key(const char *key)
{
	if (!*key || strlen(key) > KEY_BYTES)
		return false;
	return !key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")];
}

/* "option=value". True: inih is to hear of it. */
static bool option(struct lines *l, char *line, const struct where *where)
{
	char *equals = strchr(line, '=');
	const char *key, *value;

	if (!equals) {
		report_error(l->report, where,
			"\"%.40s\" is neither option=value nor [SERVICE=name], <file or ! comment",
			line);
		return false;
	}
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	if (!is_key(key)) {
		report_error(
			l->report, where, "\"%.50s\" cannot be an option; write option=value", key);
		return false;
	}
	if (top(l)->moved) {
		report_error(l->report, where,
			"%s stands behind an include that opened another section; begin with "
			"[SERVICE=name]",
			key);
		return false;
	}
	return add_record(l, where, key, value);
}

/* What no line may hold but a comment. */
static bool is_sound(struct lines *l, const char *line, size_t len, const struct where *where)
{
	size_t tail = 0;

	if (len > SOURCE_LINE_BYTES) {
		report_error(l->report, where, "the line has %zu bytes; at most %u are allowed",
			len, SOURCE_LINE_BYTES);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] >= ' ' ? line[i] != 0x7f : line[i] == '\t')
			continue;
		report_error(l->report, where,
			"byte %zu is the control character 0x%02x; take it out", i + 1,
			(unsigned char)line[i]);
		return false;
	}
	while (tail < len && line[len - 1 - tail] == '\\')
		tail++;
	if (tail % 2)
		report_error(l->report, where,
			"a line is not continued by \\; it may be %u bytes long",
			SOURCE_LINE_BYTES);
	return tail % 2 == 0;
}

/* Takes one line (NUL-terminated in place). True: inih is to hear of the record last added. */
static bool take_line(struct lines *l, char *line, size_t len)
{
	struct where where = {top(l)->path, ++top(l)->line, ++l->seq};
	size_t blanks = strspn(line, " \t");

	if (len > blanks && line[len - 1] == '\r')
		line[--len] = '\0';
	if (len == blanks || strchr("!#;", line[blanks]))
		return false;
	if (!is_sound(l, line, len, &where))
		return false;
	line = trim(line);
	if (*line == '<')
		include(l, trim(line + 1), &where);
	else if (*line == '[')
		section(l, line, &where);
	else
		return option(l, line, &where);
	return false;
}

/* Goes on to the next record for inih; false: the end. */
static bool advance(struct lines *l)
{
	while (l->depth && !l->failure) {
		struct line_frame *f = top(l);
		char *line = f->next, *end;
		size_t len;

		if (line >= f->end) {
			l->depth--;
			continue;
		}
		end = memchr(line, '\n', (size_t)(f->end - line));
		len = (size_t)((end ? end : f->end) - line);
		line[len] = '\0';
		f->next = line + len + 1;
		if (take_line(l, line, len) || l->announce)
			return true;
	}
	return false;
}

char *lines_next(char *buf, int size, void *user)
{
	struct lines *l = user;
	const struct line_record *record;

	if (l->announce == LINES_NOTHING && !advance(l))
		return NULL;
	record = vec_at(&l->records, l->records.count - 1);
	if (l->announce == LINES_HEADER) {
		snprintf(buf, (size_t)size, "[%s]\n", lines_section_name(record));
		l->announce = LINES_OPTION;
		return buf;
	}
	snprintf(buf, (size_t)size, "%s=%zu\n", record->key, l->records.count - 1);
	l->announce = LINES_NOTHING;
	return buf;
}

const char *lines_section_name(const struct line_record *record)
{
	return record->value ? record->value : "?";
}
