/* What kind of program serves a service. Files without ADAPTER mean what they always meant: IMAGE
 * is a native worker, COMMAND is run by dispatcher-exec. An unmodified server must be asked for by
 * name, as the same command line could also be run for each connection. */
#include "config/build.h"
#include "common/adapter.h"
#include "common/base.h"
#include "config/program.h"

#include <string.h>

static bool is_exec(const char *path)
{
	const char *name = path + strlen(path);

	while (name > path && !strchr("/:", name[-1]))
		name--;
	return !strcmp(name, ADAPTER_EXEC);
}

enum settings_adapter adapter_of(const struct scope *s)
{
	const struct source_line *line = scope_line(s, "ADAPTER"), *image = scope_line(s, "IMAGE");
	unsigned adapter;

	if (line && !schema_word_index(schema_get("ADAPTER"), line->value, &adapter))
		return (enum settings_adapter)adapter;
	if (image ? is_exec(image->value) : scope_line(s, "COMMAND") != NULL)
		return ADAPTER_INETD;
	return ADAPTER_NATIVE;
}

static void check_without_adapter(struct build *b, const struct scope *s,
	const struct source_line *image, const struct source_line *command)
{
	if (!image && !command)
		report_error(b->report, &s->own->where,
			"service %s has neither IMAGE nor COMMAND: nothing would serve its "
			"connections",
			s->own->name ? s->own->name : "?");
	else if (image && command && !is_exec(image->value))
		report_error(b->report, &command->where,
			"COMMAND is run by %s only; take out this line or IMAGE=%.60s",
			ADAPTER_EXEC, image->value);
	else if (image && !command && is_exec(image->value))
		report_error(b->report, &image->where, "IMAGE=%s needs COMMAND=command line",
			ADAPTER_EXEC);
}

static void check_native(struct build *b, const struct source_line *adapter,
	const struct source_line *image, const struct source_line *command)
{
	if (!image)
		report_error(b->report, &adapter->where, "ADAPTER=native needs IMAGE=program");
	else if (is_exec(image->value))
		report_error(b->report, &image->where,
			"%s runs a COMMAND; write ADAPTER=inetd, or another IMAGE", ADAPTER_EXEC);
	if (command)
		report_error(b->report, &command->where,
			"ADAPTER=native has no COMMAND; take out the line, or write ADAPTER=inetd "
			"or "
			"server");
}

static void check_inetd(struct build *b, const struct source_line *adapter,
	const struct source_line *image, const struct source_line *command)
{
	if (!command)
		report_error(
			b->report, &adapter->where, "ADAPTER=inetd needs COMMAND=command line");
	if (image && !is_exec(image->value))
		report_error(b->report, &image->where,
			"ADAPTER=inetd runs COMMAND and has no IMAGE; take out the line");
}

static void check_server(struct build *b, const struct source_line *adapter,
	const struct source_line *image, const struct source_line *command)
{
	if (!command)
		report_error(b->report, &adapter->where,
			"ADAPTER=server needs COMMAND=the server's command line");
	if (image)
		report_error(b->report, &image->where,
			"ADAPTER=server runs COMMAND and has no IMAGE; take out the line");
}

void adapter_check_pair(struct build *b, const struct scope *s)
{
	const struct source_line *adapter = scope_line(s, "ADAPTER"),
				 *image = scope_line(s, "IMAGE"),
				 *command = scope_line(s, "COMMAND");

	if (!adapter)
		check_without_adapter(b, s, image, command);
	else if (adapter_of(s) == ADAPTER_NATIVE)
		check_native(b, adapter, image, command);
	else if (adapter_of(s) == ADAPTER_INETD)
		check_inetd(b, adapter, image, command);
	else
		check_server(b, adapter, image, command);
}

/* The kernel tells nothing of unix sockets that end, and who watches system calls counts no closes.
 */
static void check_listeners(
	struct build *b, const struct scope *s, const struct service_settings *svc)
{
	const struct settings_listener *list =
		(const struct settings_listener *)block_text_at(&b->block, svc->listeners.at);

	for (uint32_t i = 0; i < svc->listeners.count; i++) {
		if (list[i].addr.family != AF_UNIX || svc->adapter_method != METHOD_NOTIFY)
			continue;
		report_error(b->report, scope_where(s, "PORT"),
			"%s: connections of unix sockets cannot be counted with "
			"ADAPTER_METHOD=notify; listen on an address, or take a dynamically linked "
			"program (ADAPTER_METHOD=preload)",
			block_text_at(&b->block, list[i].name));
		return;
	}
}

/* A worker knows its listeners by the bits of one word. */
static void check_count(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	if (svc->listeners.count > ADAPTER_MAX_LISTENERS)
		report_error(b->report, scope_where(s, "PORT"),
			"with ADAPTER=server there can be %d addresses to listen on; here are %u: "
			"make two services of it",
			ADAPTER_MAX_LISTENERS, svc->listeners.count);
}

static void check_slots(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	uint32_t slots = settings_conn_slots(svc);

	if (slots > SETTINGS_SERVER_SLOTS)
		report_error(b->report, scope_where(s, "MAX_CONNS"),
			"with ADAPTER=server there can be %u connections, those of workers that "
			"drain with them; here it is %u: lower MAX_CONNS or MAX_PROCS",
			SETTINGS_SERVER_SLOTS, slots);
}

static void tell_objection(struct build *b, const struct where *where, const char *path,
	const struct program *program, const char *why)
{
	if (program_objection(program, METHOD_NOTIFY))
		report_warning(
			b->report, where, "COMMAND: %s %s; the service will not start", path, why);
	else if (program->has_more_rights && program->kind == PROGRAM_DYNAMIC)
		report_error(b->report, where,
			"%s %s; write ADAPTER_METHOD=notify, with which it may run without them, "
			"or "
			"name a copy of the program that has none",
			path, why);
	else
		report_error(b->report, where, "%s %s; write ADAPTER_METHOD=notify", path, why);
}

/* What ADAPTER_METHOD says if it can be, else what the program needs. A program that cannot be
 * looked at is preloaded: a missing one has its warning, and what cannot be read may still be run.
 */
static void choose_method(struct build *b, const struct scope *s, struct service_settings *svc)
{
	const char *path = svc->image ? block_text_at(&b->block, svc->image) : NULL, *why;
	bool said = svc->adapter_method != METHOD_NONE;
	struct program program;
	bool seen = path && !program_look(path, &program);

	if (seen && !said)
		svc->adapter_method = (uint8_t)program_method(&program);
	if (!svc->adapter_method)
		svc->adapter_method = METHOD_PRELOAD;
	why = seen ? program_objection(&program, svc->adapter_method) : NULL;
	if (why)
		tell_objection(b, scope_where(s, said ? "ADAPTER_METHOD" : "COMMAND"), path,
			&program, why);
}

void adapter_build(struct build *b, const struct scope *s, struct service_settings *svc)
{
	const struct source_line *method = scope_line(s, "ADAPTER_METHOD");

	if (svc->adapter != ADAPTER_SERVER) {
		if (method)
			report_error(b->report, &method->where,
				"ADAPTER_METHOD goes with ADAPTER=server only; take out the line");
		svc->adapter_method = METHOD_NONE;
		return;
	}
	choose_method(b, s, svc);
	check_listeners(b, s, svc);
	check_count(b, s, svc);
	check_slots(b, s, svc);
}
