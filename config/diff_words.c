/* What an operator is told of a difference: short, in the order of the manual, values where they can
 * be taken in at a glance. */
#include "config/diff_inner.h"
#include "common/base.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define SHOWN_BYTES 48 /* a longer value has merely "changed" */
#define BACKLOG_LEAST 5

void diff_words_begin(struct diff_maker *m)
{
	m->ports_said = false;
	m->text = NULL;
	m->out = open_memstream(&m->text, &m->size);
	m->block.failed = m->block.failed || !m->out;
}

uint32_t diff_words_end(struct diff_maker *m)
{
	uint32_t at = 0;

	if (m->out && !fclose(m->out) && m->size)
		at = block_text(&m->block, m->text);
	free(m->text);
	m->out = NULL;
	m->text = NULL;
	return at;
}

PRINTF_LIKE(2, 3)
static void say(struct diff_maker *m, const char *format, ...)
{
	va_list args;

	if (!m->out)
		return;
	if (ftell(m->out) > 0)
		fputs(", ", m->out);
	va_start(args, format);
	vfprintf(m->out, format, args);
	va_end(args);
}

/* --- values --- */

static const char *lower(const char *name, char *ret_text, size_t size)
{
	size_t i = 0;

	for (; name[i] && i + 1 < size; i++)
		ret_text[i] = (char)tolower((unsigned char)name[i]);
	ret_text[i] = '\0';
	return ret_text;
}

/* The value of a single short line "NAME=value\n", "none" of no line; NULL: not to be shown. */
static const char *short_value(const char *lines, char ret_text[SHOWN_BYTES])
{
	const char *value = strchr(lines, '='), *end = value ? strchr(value, '\n') : NULL;

	if (!*lines)
		return "none";
	if (!end || end[1] || end - value > SHOWN_BYTES)
		return NULL;
	snprintf(ret_text, SHOWN_BYTES, "%.*s", (int)(end - value - 1), value + 1);
	return *ret_text ? ret_text : "none";
}

static bool is_shown(enum schema_type type)
{
	return type != SCHEMA_IMAGE && type != SCHEMA_COMMAND && type != SCHEMA_VARIABLES &&
	       type != SCHEMA_PAIRS && type != SCHEMA_FILES && type != SCHEMA_SNI;
}

static void say_value(struct diff_maker *m, const struct schema_option *option, const char *before,
	const char *after)
{
	char name[64], old_text[SHOWN_BYTES], next_text[SHOWN_BYTES];
	const char *old_value = short_value(before, old_text);
	const char *next_value = short_value(after, next_text);

	lower(option->name, name, sizeof(name));
	if (is_shown(option->type) && old_value && next_value)
		say(m, "%s %s -> %s", name, old_value, next_value);
	else
		say(m, "%s changed", name);
}

/* --- listeners --- */

static bool is_everywhere(const struct settings_listener *l)
{
	static const uint8_t none[sizeof(l->addr.ip)];

	return l->addr.family != AF_UNIX && !memcmp(l->addr.ip, none, sizeof(none));
}

static void say_listener(struct diff_maker *m, const struct settings *s,
	const struct settings_listener *l, const char *what)
{
	const char *tls = l->tls ? "tls " : "";

	if (is_everywhere(l))
		say(m, "%sport %u%s", tls, l->addr.port, what);
	else
		say(m, "%sport %s%s", tls, settings_text(s, l->name), what);
}

static const struct diff_listener *pair_at(const struct diff_maker *m, uint32_t index)
{
	return (const struct diff_listener *)(m->block.memory + m->listeners.at) + index;
}

static const struct settings_listener *listener_of(
	const struct diff_maker *m, const struct diff_listener *pair)
{
	if (pair->next != DIFF_NONE)
		return &settings_listeners(m->next, m->is)[pair->next];
	return &settings_listeners(m->old, m->was)[pair->old];
}

/* A bare port number is a listener of each family: said once. */
static bool is_said(const struct diff_maker *m, uint32_t index)
{
	const struct diff_listener *pair = pair_at(m, index), *other;
	const struct settings_listener *l = listener_of(m, pair), *before;

	for (uint32_t i = 0; i < index && is_everywhere(l); i++) {
		other = pair_at(m, i);
		before = listener_of(m, other);
		if (is_everywhere(before) && before->addr.port == l->addr.port && before->tls == l->tls &&
			(other->old == DIFF_NONE) == (pair->old == DIFF_NONE) &&
			(other->next == DIFF_NONE) == (pair->next == DIFF_NONE))
			return true;
	}
	return false;
}

/* An address that stays begins to speak TLS, or ceases to. */
static bool is_turned(const struct diff_maker *m, const struct diff_listener *pair)
{
	return m->was && m->is && pair->old != DIFF_NONE && pair->next != DIFF_NONE &&
	       settings_listeners(m->old, m->was)[pair->old].tls !=
		       settings_listeners(m->next, m->is)[pair->next].tls;
}

/* Those that came or went; of a new service and of one that is gone these are all. */
static void say_listeners(struct diff_maker *m, const char *added, const char *removed)
{
	for (uint32_t i = 0; !m->block.failed && i < m->listeners.count; i++) {
		const struct diff_listener *pair = pair_at(m, i);

		if (is_said(m, i))
			continue;
		if (pair->old == DIFF_NONE)
			say_listener(m, m->next, listener_of(m, pair), added);
		else if (pair->next == DIFF_NONE)
			say_listener(m, m->old, listener_of(m, pair), removed);
		else if (is_turned(m, pair))
			say_listener(m, m->next, listener_of(m, pair),
				listener_of(m, pair)->tls ? " was plain" : " was tls");
	}
}

/* PORT and TLS_PORT are told together. */
static void say_ports_once(struct diff_maker *m)
{
	long before = m->out ? ftell(m->out) : 0;

	if (m->ports_said)
		return;
	m->ports_said = true;
	say_listeners(m, " added", " removed");
	if (m->out && ftell(m->out) == before)
		say(m, "ports in another order");
}

/* --- what is said --- */

/* A backlog that nobody has written follows the limits, which are told themselves. */
static bool follows_limits(const struct service_settings *svc)
{
	return svc->backlog == MAX(svc->max_procs * svc->max_conns, (uint32_t)BACKLOG_LEAST);
}

static void refuse(struct diff_maker *m, const char *format, ...) PRINTF_LIKE(2, 3);

static void refuse(struct diff_maker *m, const char *format, ...)
{
	uint32_t *slot = vec_push(&m->refusals);
	OWNS_MEM char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (slot && text)
		*slot = block_text(&m->block, text);
	else
		m->block.failed = true;
}

static void refuse_option(struct diff_maker *m, const struct schema_option *option)
{
	refuse(m,
		"%s%s cannot change while the dispatcher runs; restart the dispatcher, or write what "
		"it was",
		option->name, option->service_at ? " of [SERVICE=DISPATCHER]" : "");
}

void diff_say_option(struct diff_maker *m, const struct schema_option *option, const char *before,
	const char *after)
{
	if (!m->was && option->own_change & SCHEMA_RESTART)
		refuse_option(m, option);
	if (m->was && (option->type == SCHEMA_PORTS || option->type == SCHEMA_TLS_PORTS))
		say_ports_once(m);
	else if (m->was && option->change == SCHEMA_ENABLED)
		say(m, "%s", m->is->enabled ? "enabled" : "disabled");
	else if (!m->was || option->change != SCHEMA_BACKLOG || !follows_limits(m->was) ||
		 !follows_limits(m->is))
		say_value(m, option, before, after);
}

void diff_say_whole(struct diff_maker *m)
{
	say(m, "%s", m->is ? "new" : "gone");
	say_listeners(m, "", "");
}

void diff_refuse_address(struct diff_maker *m, const struct service_settings *wants,
	const struct settings_listener *wanted, const struct service_settings *holds,
	const struct settings_listener *open)
{
	refuse(m,
		"%s: %s of service %s overlaps %s, which service %s has in the configuration in force; reload "
		"once with the one taken out, then again with the other put in",
		settings_text(m->next, wanted->where), settings_text(m->next, wanted->name),
		settings_text(m->next, wants->name), settings_text(m->old, open->name),
		settings_text(m->old, holds->name));
}

/* --- the whole --- */

static void print_workers(const struct diff_service *svc, const uint32_t *workers, const char *what,
	FILE *out)
{
	uint32_t count = workers ? workers[svc->old] : 0;

	if (!workers)
		fprintf(out, ", its workers %s", what);
	else if (count)
		fprintf(out, ", %u worker%s %s", count, count == 1 ? "" : "s", what);
	else
		fprintf(out, ", it has no worker now");
}

static void print_service(const struct diff *d, const struct diff_service *svc,
	const uint32_t *workers, FILE *out)
{
	fprintf(out, "%s: %s", diff_text(d, svc->name), diff_text(d, svc->words));
	if (svc->was_enabled && !svc->is_enabled)
		print_workers(svc, workers, "will retire", out);
	else if (!svc->is_enabled)
		fputs(", not enabled", out);
	else if (svc->was_enabled && svc->changes & SCHEMA_WORKERS)
		print_workers(svc, workers, "will be replaced", out);
	else if (svc->was_enabled)
		fputs(", no worker is touched", out);
	fputc('\n', out);
}

void diff_print(const struct diff *d, const uint32_t *workers, FILE *out)
{
	bool any = d->words;

	if (any)
		fprintf(out, "dispatcher: %s\n", diff_text(d, d->words));
	for (uint32_t i = 0; i < d->services.count; i++) {
		const struct diff_service *svc = diff_service(d, i);

		if (svc->kind == DIFF_SAME)
			continue;
		print_service(d, svc, workers, out);
		any = true;
	}
	if (!any)
		fputs("nothing changes\n", out);
}
