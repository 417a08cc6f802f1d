/* The manual and the table of options agree. The page's path comes as MAN_PAGE. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/schema.h"

#include <string.h>

/* The page without the backslashes of its mark-up, every run of white space one blank. */
static char *read_page(void)
{
	FILE *file = fopen(getenv("MAN_PAGE"), "r");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool blank = false;
	int c;

	assert_non_null(file);
	while ((c = getc(file)) != EOF) {
		bool is_blank = c == ' ' || c == '\t' || c == '\n';

		if (c == '\\' || (blank && is_blank))
			continue;
		putc(is_blank ? ' ' : c, out);
		blank = is_blank;
	}
	fclose(file);
	fclose(out);
	return text;
}

/* "*NAME*, *ALIAS* (type, default X, with ADAPTER=inetd Y) doc" */
static void entry_of(const struct schema_option *o, char *entry, size_t size)
{
	FILE *out = fmemopen(entry, size, "w");

	fprintf(out, "*%s*", o->name);
	for (const char *alias = o->aliases; alias && *alias; alias += strspn(alias, " ")) {
		int len = (int)strcspn(alias, " ");

		fprintf(out, ", *%.*s*", len, alias);
		alias += len;
	}
	fprintf(out, " (%s", schema_type_name(o->type));
	if (o->initial)
		fprintf(out, ", default %s", o->initial);
	if (o->initial_inetd)
		fprintf(out, ", with ADAPTER=inetd %s", o->initial_inetd);
	fprintf(out, ") %s", o->doc);
	fclose(out);
}

static void every_option_is_in_the_manual_with_type_default_and_doc_line(void **state)
{
	OWNS_MEM char *page = read_page();
	char entry[1024];
	unsigned missing = 0;

	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *o = schema_at(i);

		if (o->type == SCHEMA_WITHOUT_MEANING)
			snprintf(entry, sizeof(entry), "%s", o->name);
		else
			entry_of(o, entry, sizeof(entry));
		if (strstr(page, entry))
			continue;
		print_error("not in the manual: %s\n", entry);
		missing++;
	}
	assert_int_equal(missing, 0);
}

static void every_option_in_the_manual_exists(void **state)
{
	OWNS_MEM char *page = read_page();

	for (char *at = strstr(page, " *"); at; at = strstr(at + 1, " *")) {
		char name[64];
		int len = (int)strspn(at + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

		if (len < 3 || strncmp(at + 2 + len, "* (", 3))
			continue;
		snprintf(name, sizeof(name), "%.*s", len, at + 2);
		if (!schema_find(name))
			fail_msg("%s is in the manual and nowhere else", name);
	}
}

/* What stands between the heading of a kind of change and the next one; NULL: there is none. */
static char *paragraph(const char *page, const char *heading, const char *next)
{
	const char *reload = strstr(page, "# RELOAD"), *from = strstr(reload, heading);
	const char *end = from ? strstr(from, next) : NULL;

	return end ? strndup(from + strlen(heading), (size_t)(end - from) - strlen(heading)) : NULL;
}

/* The first heading whose changes an option has is the one that it stands under. */
static void every_option_is_under_the_heading_of_what_its_change_takes(void **state)
{
	static const struct {
		unsigned changes;
		bool is_own;
		const char *heading, *next;
	} kinds[] = {{SCHEMA_WORKERS, false, "workers are replaced", "A new worker must"},
		{SCHEMA_LISTENERS, false, "Listeners are opened", "An address"},
		{SCHEMA_TLS, false, "get new certificates", "Listeners are"},
		{SCHEMA_TOLD, false, "that run are told", "The service's"},
		{SCHEMA_LIMITS | SCHEMA_BACKLOG | SCHEMA_SOCKETS, false, "At once, no worker", "At once"},
		{SCHEMA_ENABLED, false, "The whole service", "Where"},
		{SCHEMA_LOGS, false, "Where lines go", "The dispatcher"},
		{SCHEMA_RESTART, true, "Not while it runs", "Restart"},
		{SCHEMA_LIMITS | SCHEMA_LOGS | SCHEMA_CONTROL, true, "The dispatcher itself, at", "Not"}};
	OWNS_MEM char *page = read_page();

	for (unsigned i = 0; i < 2 * schema_count(); i++) {
		const struct schema_option *o = schema_at(i / 2);
		unsigned change = i % 2 ? o->own_change : o->change, n = 0;
		OWNS_MEM char *text = NULL;

		if (!change || !strncmp(o->name, "LIMIT_", 6))
			continue;
		while (n < ARRAY_LEN(kinds) &&
			(!(kinds[n].changes & change) || kinds[n].is_own != (i % 2 == 1)))
			n++;
		assert_true(n < ARRAY_LEN(kinds));
		text = paragraph(page, kinds[n].heading, kinds[n].next);
		if (!text || !strstr(text, o->name))
			fail_msg("%s does not stand under '%s'", o->name, kinds[n].heading);
	}
}

static void every_name_and_alias_is_unique(void **state)
{
	for (unsigned i = 0; i < schema_count(); i++) {
		OWNS_MEM char *aliases = strdup(schema_at(i)->aliases ? schema_at(i)->aliases : "");
		char *rest = aliases;

		assert_ptr_equal(schema_find(schema_at(i)->name), schema_at(i));
		for (char *word = strtok_r(aliases, " ", &rest); word;
			word = strtok_r(NULL, " ", &rest))
			assert_ptr_equal(schema_find(word), schema_at(i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_is_in_the_manual_with_type_default_and_doc_line),
		cmocka_unit_test(every_option_in_the_manual_exists),
		cmocka_unit_test(every_option_is_under_the_heading_of_what_its_change_takes),
		cmocka_unit_test(every_name_and_alias_is_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
