/* Which line of which section counts: a section's own lines go before the defaults, and of several
 * lines of a single-valued option the last one counts. */
#include "config/build.h"
#include "common/base.h"
#include "common/parse.h"

#include <string.h>
#include <strings.h>

const struct source_line *section_next(
	const struct source_section *section, const struct schema_option *option, size_t *index)
{
	while (*index < section->lines.count) {
		const struct source_line *line = vec_at(&section->lines, (*index)++);

		if (line->option == option)
			return line;
	}
	return NULL;
}

static const struct source_line *section_last(
	const struct source_section *section, const struct schema_option *option)
{
	const struct source_line *line, *last = NULL;
	size_t index = 0;

	while (section && (line = section_next(section, option, &index)))
		last = line;
	return last;
}

const struct source_section *scope_section(
	const struct scope *s, const struct schema_option *option)
{
	if (section_last(s->own, option))
		return s->own;
	return option->scope & s->top && section_last(s->defaults, option) ? s->defaults : NULL;
}

const struct source_line *scope_line(const struct scope *s, const char *name)
{
	const struct schema_option *option = schema_get(name);

	return section_last(scope_section(s, option), option);
}

const struct where *scope_where(const struct scope *s, const char *name)
{
	const struct source_line *line = scope_line(s, name);

	return line ? &line->where : &s->own->where;
}

static void tell_unknown(struct report *report, const struct source_line *line)
{
	const char *near = schema_suggest(line->key);

	if (!strcasecmp(line->key, "SERVICE")) {
		report_error(report, &line->where,
			"SERVICE=%.40s opens no section; write [SERVICE=%.40s]", line->value,
			line->value);
		return;
	}
	report_error(report, &line->where, "unknown option %s%s%s%s", line->key,
		near ? "; did you mean " : "; dispatcher.cnf(5) lists all", near ? near : "",
		near ? "?" : "");
}

/* False: the option cannot stand in this section (told). */
static bool is_in_place(struct report *report, const struct source_section *section,
	const struct source_line *line, const struct schema_option *option)
{
	bool is_top = section->name && !*section->name;
	bool is_dispatcher = section->name && !strcmp(section->name, "dispatcher");

	if (is_top && !(option->scope & (SCHEMA_TOP_DISPATCHER | SCHEMA_TOP_SERVICES)))
		report_error(report, &line->where, "%s must stand in the section of a service",
			option->name);
	else if (is_dispatcher && !(option->scope & SCHEMA_IN_DISPATCHER))
		report_error(report, &line->where,
			"%s is for services; the dispatcher itself does not use it", option->name);
	else if (!is_top && !is_dispatcher && !(option->scope & SCHEMA_IN_SERVICE))
		report_error(report, &line->where, "%s must stand %sin [SERVICE=DISPATCHER]",
			option->name,
			option->scope & SCHEMA_TOP_DISPATCHER ? "before the first section or "
							      : "");
	else
		return true;
	return false;
}

static void tell_not_enforced(
	struct report *report, const struct source_line *line, const struct schema_option *option)
{
	bool on;

	if (!strcmp(option->name, "ENABLE_RBL") && !parse_bool(line->value, &on) && !on)
		return;
	report_add(report, LOAD_NOT_ENFORCED, &line->where,
		"%s=%.100s: clients are served without this look-up in a DNS list", option->name,
		line->value);
}

static void warn_of_repetition(
	struct report *report, const struct source_section *section, const struct source_line *line)
{
	size_t index = 0;
	const struct source_line *first;
	char place[WHERE_BYTES];

	if (schema_is_list(line->option->type))
		return;
	first = section_next(section, line->option, &index);
	if (first && first != line)
		report_warning(report, &line->where,
			"%s is given again, first at %s; the last one counts", line->option->name,
			where_format(&first->where, place));
}

static void classify(
	struct report *report, const struct source_section *section, struct source_line *line)
{
	const struct schema_option *option = schema_find(line->key);

	if (!option) {
		tell_unknown(report, line);
		return;
	}
	if (!is_in_place(report, section, line, option))
		return;
	switch (option->type) {
	case SCHEMA_NOT_ENFORCED:
		tell_not_enforced(report, line, option);
		break;
	case SCHEMA_WITHOUT_MEANING:
		report_warning(report, &line->where, "%s has no meaning here; the line is ignored",
			option->name);
		break;
	default:
		line->option = option;
		warn_of_repetition(report, section, line);
	}
}

void build_classify(struct source *source, struct report *report)
{
	for (size_t i = 0; i < source->sections.count; i++) {
		struct source_section *section = vec_at(&source->sections, i);

		for (size_t n = 0; n < section->lines.count; n++)
			classify(report, section, vec_at(&section->lines, n));
	}
}
