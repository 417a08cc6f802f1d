/* Options whose lines make a list. An empty value makes an empty list, so that a service can do
 * without a default list. */
#include "config/build.h"
#include "common/base.h"
#include "common/parse.h"

#include <ctype.h>
#include <string.h>

typedef int add(struct build *b, const struct schema_option *option, const struct source_line *line,
	struct vec *elements);

char *list_next(char **rest)
{
	char *word = *rest + strspn(*rest, " \t,"), *end = word + strcspn(word, " \t,");

	if (!*word)
		return NULL;
	*rest = end + (*end != '\0');
	*end = '\0';
	return word;
}

static int add_text(struct build *b, struct vec *elements, const char *text)
{
	uint32_t *slot = text ? vec_push(elements) : NULL;

	if (!slot)
		b->block.failed = true;
	else
		*slot = block_text(&b->block, text);
	return 0;
}

static int add_pair(struct build *b, const struct schema_option *o, const struct source_line *line,
	struct vec *elements)
{
	const char *equals = strchr(line->value, '=');
	OWNS_MEM char *text = NULL;

	if (equals == line->value) {
		report_error(b->report, &line->where, "%s=%.60s has no name; write NAME=VALUE",
			o->name, line->value);
		return BUILD_WRONG;
	}
	if (equals)
		return add_text(b, elements, line->value);
	report_warning(b->report, &line->where,
		"%s=%.60s has no =; the worker sees it with an empty value", o->name, line->value);
	if (asprintf(&text, "%s=", line->value) < 0)
		text = NULL;
	return add_text(b, elements, text);
}

static int add_variable(struct build *b, const struct schema_option *o,
	const struct source_line *line, struct vec *elements)
{
	const char *c = line->value;

	if (isalpha((unsigned char)*c) || *c == '_')
		while (isalnum((unsigned char)*c) || *c == '_')
			c++;
	if (*c == '=' && c > line->value)
		return add_text(b, elements, line->value);
	report_error(b->report, &line->where,
		"%s=%.60s is wrong; write NAME=VALUE with a name of letters, digits and _", o->name,
		line->value);
	return BUILD_WRONG;
}

/* Reads "ADDRESS" or "ADDRESS/BITS", in place. */
static bool read_prefix(char *word, struct settings_prefix *ret_prefix)
{
	char *slash = strchr(word, '/');
	struct settings_prefix prefix = {0};
	uint64_t bits;
	unsigned most;

	if (slash)
		*slash = '\0';
	if (addr_parse_ip(word, &prefix.addr) < 0)
		return false;
	most = prefix.addr.family == AF_INET ? 32 : 128;
	bits = most;
	if (slash && (parse_u64(slash + 1, &bits) || bits > most))
		return false;
	prefix.bits = (uint32_t)bits;
	*ret_prefix = prefix;
	return true;
}

static int add_source(
	struct build *b, const struct source_line *line, char *word, struct vec *elements)
{
	OWNS_MEM char *written = strdup(word);
	struct settings_prefix prefix, *slot;
	struct addr masked;
	char text[ADDR_TEXT_BYTES];

	if (!read_prefix(word, &prefix)) {
		report_error(b->report, &line->where,
			"EXEMPT_SOURCES: %.60s is no network; write 192.0.2.0/24 or 2001:db8::/32",
			written ? written : word);
		return BUILD_WRONG;
	}
	masked = prefix.addr;
	addr_mask(&masked, prefix.bits);
	if (!addr_equal(&masked, &prefix.addr))
		report_warning(b->report, &line->where,
			"EXEMPT_SOURCES: %.60s has bits behind its prefix; taken as %s/%u",
			written ? written : word, addr_format_ip(&masked, text), prefix.bits);
	slot = vec_push(elements);
	if (!slot) {
		b->block.failed = true;
		return BUILD_WRONG;
	}
	*slot = (struct settings_prefix){.addr = masked, .bits = prefix.bits};
	return 0;
}

static int add_sources(struct build *b, const struct schema_option *o,
	const struct source_line *line, struct vec *elements)
{
	OWNS_MEM char *copy = block_copy(&b->block, line->value);
	char *rest = copy, *word;
	int r = 0;

	while (copy && (word = list_next(&rest)))
		r |= add_source(b, line, word, elements);
	return r;
}

static const struct {
	add *add;
	size_t elem;
} lists[SCHEMA_TYPES] = {
	[SCHEMA_PAIRS] = {add_pair, sizeof(uint32_t)},
	[SCHEMA_VARIABLES] = {add_variable, sizeof(uint32_t)},
	[SCHEMA_SOURCES] = {add_sources, sizeof(struct settings_prefix)},
	[SCHEMA_FILES] = {tls_add_file, sizeof(struct settings_said)},
	[SCHEMA_SNI] = {tls_add_sni, sizeof(struct settings_sni)},
	[SCHEMA_PROTOCOLS] = {tls_add_protocols, sizeof(uint32_t)},
};

bool value_is_list(enum schema_type type)
{
	return lists[type].add;
}

int value_store_list(struct build *b, const struct schema_option *option,
	const struct source_section *section, struct settings_list *field)
{
	struct vec elements = {.elem = lists[option->type].elem};
	const struct source_line *line;
	size_t index = 0;
	int r = 0;

	while ((line = section_next(section, option, &index)))
		if (*line->value)
			r |= lists[option->type].add(b, option, line, &elements);
	*field = block_list(&b->block, &elements);
	vec_free(&elements);
	return r;
}
