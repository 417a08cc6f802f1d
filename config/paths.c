/* Paths with logical names, and the program that a service runs. Programs are only looked at, never
 * insisted on: a service whose program is missing fails by itself, and the others start. */
#include "config/build.h"
#include "common/base.h"
#include "common/parse.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* The directory that a logical name (len letters) stands for; NULL: none. */
static const char *logical(struct build *b, const char *name, size_t len)
{
	const struct {
		const char *name, *dir;
	} names[] = {{"IMTA_BIN", b->worker_dir}, {"PMDF_EXE", b->worker_dir},
		{"IMTA_LOG", b->log_dir}, {"PMDF_LOG", b->log_dir}, {"IMTA_TABLE", b->config_dir},
		{"PMDF_TABLE", b->config_dir}};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i].name) == len && !strncasecmp(names[i].name, name, len))
			return names[i].dir;
	return NULL;
}

static char *joined(struct build *b, const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) >= 0)
		return path;
	b->block.failed = true;
	return NULL;
}

char *path_resolve(struct build *b, const struct schema_option *option, const struct where *where,
	const char *value)
{
	const char *colon = strchr(value, ':');
	const char *dir = colon ? logical(b, value, (size_t)(colon - value)) : NULL;
	char *path = NULL;

	if (dir)
		path = joined(b, dir, colon + 1);
	else if (value[0] == '/')
		path = block_copy(&b->block, value);
	else
		report_error(b->report, where,
			"%s=%.60s is no full path; begin with / or one of IMTA_BIN: IMTA_LOG: "
			"IMTA_TABLE:",
			option->name, value);
	if (path && strlen(path) >= PATH_MAX) {
		report_error(
			b->report, where, "%s is longer than %u bytes", option->name, PATH_MAX - 1);
		free(path);
		path = NULL;
	}
	return path;
}

/* Warns when there is no such program. */
static void look_at(
	struct build *b, const struct where *where, const char *option, const char *path)
{
	struct stat st;

	if (!stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
		return;
	report_warning(b->report, where, "%s: there is no program %s; the service will not start%s",
		option, path,
		strchr(path, ' ') ? "; IMAGE takes no arguments, a command line is a COMMAND" : "");
}

static char *image_path(struct build *b, const struct source_line *image)
{
	const struct schema_option *option = schema_get("IMAGE");

	if (!image)
		return joined(b, b->worker_dir, ADAPTER_EXEC);
	if (!*image->value) {
		report_error(
			b->report, &image->where, "IMAGE has no value; write the worker's program");
		return NULL;
	}
	if (!strpbrk(image->value, "/:"))
		return joined(b, b->worker_dir, image->value);
	return path_resolve(b, option, &image->where, image->value);
}

/* A shell's signs are words like any other here, which is seldom what was meant. */
static void warn_of_shell(struct build *b, const struct source_line *line, const char *word)
{
	static const char *const signs[] = {
		"|", "<", ">", ">>", "&", "&&", "||", ";", "2>&1", "2>"};

	for (unsigned i = 0; i < ARRAY_LEN(signs); i++)
		if (!strcmp(word, signs[i]))
			report_warning(b->report, &line->where,
				"COMMAND: no shell runs this; %s is handed over as a word. "
				"Write /bin/sh -c '...' for a shell",
				word);
}

static uint32_t program_word(struct build *b, const struct source_line *line, const char *word)
{
	OWNS_MEM char *path = path_resolve(b, schema_get("COMMAND"), &line->where, word);

	if (!path)
		return 0;
	look_at(b, &line->where, "COMMAND", path);
	return block_text(&b->block, path);
}

static void store_words(struct build *b, const struct source_line *line, const char *words,
	unsigned count, struct service_settings *svc)
{
	struct vec elements = {.elem = sizeof(uint32_t)};

	for (unsigned i = 0; i < count; i++, words += strlen(words) + 1) {
		uint32_t at = i ? block_text(&b->block, words) : program_word(b, line, words);
		uint32_t *slot = vec_push(&elements);

		if (!slot)
			b->block.failed = true;
		else
			*slot = at;
		warn_of_shell(b, line, words);
	}
	svc->command = block_list(&b->block, &elements);
	vec_free(&elements);
}

static void build_command(
	struct build *b, const struct source_line *line, struct service_settings *svc)
{
	size_t size = strlen(line->value) + 1;
	OWNS_MEM char *words = malloc(size);
	unsigned count = 0;

	if (!words) {
		b->block.failed = true;
		return;
	}
	switch (parse_words(line->value, words, size, &count)) {
	case PARSE_OPEN_QUOTE:
		report_error(b->report, &line->where, "COMMAND: a quote is not closed");
		return;
	case PARSE_OPEN_ESCAPE:
		report_error(b->report, &line->where, "COMMAND: nothing stands behind the last \\");
		return;
	}
	if (!count)
		report_error(b->report, &line->where, "COMMAND has no value; write a command line");
	else
		store_words(b, line, words, count, svc);
}

/* What the worker's process runs; 0: nobody says, or wrongly. */
static uint32_t image_of(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	const struct source_line *image = scope_line(s, "IMAGE");
	OWNS_MEM char *path = NULL;

	if (svc->adapter == ADAPTER_SERVER)
		return svc->command.count ? *(const uint32_t *)block_text_at(&b->block, svc->command.at)
					  : 0;
	if (!image && (svc->adapter == ADAPTER_NATIVE || !scope_line(s, "COMMAND")))
		return 0;
	path = image_path(b, image);
	if (!path)
		return 0;
	look_at(b, scope_where(s, image ? "IMAGE" : "COMMAND"), image ? "IMAGE" : "COMMAND", path);
	return block_text(&b->block, path);
}

void image_build(struct build *b, const struct scope *s, struct service_settings *svc)
{
	const struct source_line *command = scope_line(s, "COMMAND");

	svc->adapter = (uint8_t)adapter_of(s);
	if (svc->enabled)
		adapter_check_pair(b, s);
	if (command)
		build_command(b, command, svc);
	svc->image = image_of(b, s, svc);
}
