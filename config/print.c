/* What is in force, as lines that dispatcher.cnf would accept: reading them again gives the same
 * settings. One function per type, called through one table. */
#include "config/settings.h"
#include "config/format.h"
#include "config/schema.h"
#include "config/signals.h"
#include "common/base.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <strings.h>

struct printer {
	const struct settings *s;
	const struct service_settings *svc; /* NULL: the dispatcher itself */
	FILE *out;
};

typedef void print(const struct printer *p, const struct schema_option *o, const void *field);

static void print_u32(const struct printer *p, const struct schema_option *o, const void *field)
{
	char text[FORMAT_BYTES];

	fprintf(p->out, "%s=%s\n", o->name, format_number(o->type, *(const uint32_t *)field, text));
}

static void print_u64(const struct printer *p, const struct schema_option *o, const void *field)
{
	char text[FORMAT_BYTES];

	fprintf(p->out, "%s=%s\n", o->name, format_number(o->type, *(const uint64_t *)field, text));
}

static void print_bool(const struct printer *p, const struct schema_option *o, const void *field)
{
	fprintf(p->out, "%s=%d\n", o->name, *(const uint8_t *)field);
}

static void print_mask(const struct printer *p, const struct schema_option *o, const void *field)
{
	uint32_t mask = *(const uint32_t *)field;

	if (mask == UINT32_MAX)
		fprintf(p->out, "%s=-1\n", o->name);
	else
		fprintf(p->out, mask ? "%s=16%%%x\n" : "%s=%u\n", o->name, mask);
}

static void print_nice(const struct printer *p, const struct schema_option *o, const void *field)
{
	fprintf(p->out, "%s=%d\n", o->name, *(const int32_t *)field);
}

static void print_prefix_bits(
	const struct printer *p, const struct schema_option *o, const void *field)
{
	const uint32_t *bits = field;

	fprintf(p->out, "%s=%u/%u\n", o->name, bits[0], bits[1]);
}

static void print_text(const struct printer *p, const struct schema_option *o, const void *field)
{
	const char *text = settings_text(p->s, *(const uint32_t *)field);

	if (text)
		fprintf(p->out, "%s=%s\n", o->name, text);
}

static void print_rlimit(const struct printer *p, const struct schema_option *o, const void *field)
{
	const struct settings_rlimit *limit = field;
	uint64_t value = limit->value;
	char text[FORMAT_BYTES];

	if (!limit->set)
		return;
	if (o->type == SCHEMA_RLIMIT_TIME)
		value *= 1000;
	fprintf(p->out, "%s=%s\n", o->name,
		limit->value == SETTINGS_UNLIMITED ? "unlimited"
						   : format_number(o->type, value, text));
}

/* By its name, if it has one: that is what people write, too. */
static void print_id(const struct printer *p, const struct schema_option *o, const void *field)
{
	bool is_group = o->type == SCHEMA_GROUP || o->type == SCHEMA_RUN_GROUP;
	uint32_t id = *(const uint32_t *)field;
	const char *name = id == SETTINGS_NO_ID ? NULL : settings_name(p->s, id, is_group);

	if (name)
		fprintf(p->out, "%s=%s\n", o->name, name);
	else if (id != SETTINGS_NO_ID)
		fprintf(p->out, "%s=%u\n", o->name, id);
}

static void print_user(const struct printer *p, const struct schema_option *o, const void *field)
{
	const char *name = p->svc ? settings_text(p->s, p->svc->user_name) : NULL;

	if (name && *(const uint32_t *)field != SETTINGS_NO_ID)
		fprintf(p->out, "%s=%s\n", o->name, name);
	else
		print_id(p, o, field);
}

static void print_groups(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;
	const uint32_t *ids = settings_list_data(p->s, list);

	if (p->svc->uid == SETTINGS_NO_ID)
		return;
	fprintf(p->out, "%s=", o->name);
	for (uint32_t i = 0; i < list.count; i++)
		fprintf(p->out, "%s%u", i ? "," : "", ids[i]);
	fputc('\n', p->out);
}

static void print_texts(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;

	for (uint32_t i = 0; i < list.count; i++)
		fprintf(p->out, "%s=%s\n", o->name, settings_list_text(p->s, list, i));
}

static void print_sources(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;
	const struct settings_prefix *prefixes = settings_list_data(p->s, list);
	char text[ADDR_TEXT_BYTES];

	for (uint32_t i = 0; i < list.count; i++)
		fprintf(p->out, "%s=%s/%u\n", o->name, addr_format_ip(&prefixes[i].addr, text),
			prefixes[i].bits);
}

static void print_ports(const struct printer *p, const struct schema_option *o, const void *field)
{
	const struct settings_listener *list = settings_listeners(p->s, p->svc);
	bool tls = o->type == SCHEMA_TLS_PORTS;
	uint32_t any = 0;

	for (uint32_t i = 0; i < p->svc->listeners.count; i++) {
		if (list[i].leaving && !p->svc->leaving)
			continue;
		if (tls == (bool)list[i].tls)
			fprintf(p->out, "%s=%s\n", o->name, settings_text(p->s, list[i].name));
		any++;
	}
	if (!any && !tls)
		fprintf(p->out, "%s=0\n", o->name);
}

/* --- TLS --- */

static void print_said(const struct printer *p, const struct schema_option *o, const void *field)
{
	const struct settings_said *said = field;

	if (said->text)
		fprintf(p->out, "%s=%s\n", o->name, settings_text(p->s, said->text));
}

static void print_files(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;
	const struct settings_said *files = settings_list_data(p->s, list);

	for (uint32_t i = 0; i < list.count; i++)
		print_said(p, o, &files[i]);
}

static void print_snis(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;
	const struct settings_sni *snis = settings_list_data(p->s, list);

	for (uint32_t i = 0; i < list.count; i++)
		fprintf(p->out, "%s=%s %s %s\n", o->name, settings_text(p->s, snis[i].name),
			settings_text(p->s, snis[i].cert), settings_text(p->s, snis[i].key));
}

/* A word so quoted that the splitter gives it back. */
static void print_word(FILE *out, const char *word)
{
	if (*word && !strpbrk(word, " \t'\"\\")) {
		fputs(word, out);
		return;
	}
	fputc('"', out);
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			fputc('\\', out);
		fputc(*word, out);
	}
	fputc('"', out);
}

static void print_command(const struct printer *p, const struct schema_option *o, const void *field)
{
	struct settings_list list = *(const struct settings_list *)field;

	if (!list.count)
		return;
	fprintf(p->out, "%s=", o->name);
	for (uint32_t i = 0; i < list.count; i++) {
		if (i)
			fputc(' ', p->out);
		print_word(p->out, settings_list_text(p->s, list, i));
	}
	fputc('\n', p->out);
}

/* A server's image is the first word of its command. */
static void print_image(const struct printer *p, const struct schema_option *o, const void *field)
{
	if (p->svc->adapter != ADAPTER_SERVER)
		print_text(p, o, field);
}

static void print_chosen(const struct printer *p, const struct schema_option *o, const void *field)
{
	int len;
	const char *word = schema_word_at(o, *(const uint8_t *)field, &len);

	if (word)
		fprintf(p->out, "%s=%.*s\n", o->name, len, word);
}

static void print_signal(const struct printer *p, const struct schema_option *o, const void *field)
{
	uint32_t number = *(const uint32_t *)field;
	const char *name = signal_name(number);

	if (name)
		fprintf(p->out, "%s=%s\n", o->name, name);
	else
		fprintf(p->out, "%s=%u\n", o->name, number);
}

static print *const prints[SCHEMA_TYPES] = {
	[SCHEMA_NUMBER] = print_u32,
	[SCHEMA_COUNT] = print_u64,
	[SCHEMA_TIME] = print_u64,
	[SCHEMA_SIZE] = print_u64,
	[SCHEMA_BOOL] = print_bool,
	[SCHEMA_MASK] = print_mask,
	[SCHEMA_MODE] = print_u32,
	[SCHEMA_NICE] = print_nice,
	[SCHEMA_PREFIX_BITS] = print_prefix_bits,
	[SCHEMA_PATH] = print_text,
	[SCHEMA_LOGFILE] = print_text,
	[SCHEMA_SAID] = print_said,
	[SCHEMA_FILE] = print_said,
	[SCHEMA_USER] = print_id,
	[SCHEMA_GROUP] = print_id,
	[SCHEMA_WORD] = print_chosen,
	[SCHEMA_SIGNAL] = print_signal,
	[SCHEMA_TEXT] = print_text,
	[SCHEMA_RLIMIT_COUNT] = print_rlimit,
	[SCHEMA_RLIMIT_SIZE] = print_rlimit,
	[SCHEMA_RLIMIT_TIME] = print_rlimit,
	[SCHEMA_PAIRS] = print_texts,
	[SCHEMA_VARIABLES] = print_texts,
	[SCHEMA_SOURCES] = print_sources,
	[SCHEMA_FILES] = print_files,
	[SCHEMA_SNI] = print_snis,
	[SCHEMA_PROTOCOLS] = print_texts,
	[SCHEMA_PORTS] = print_ports,
	[SCHEMA_TLS_PORTS] = print_ports,
	[SCHEMA_IMAGE] = print_image,
	[SCHEMA_COMMAND] = print_command,
	[SCHEMA_RUN_USER] = print_user,
	[SCHEMA_RUN_GROUP] = print_id,
	[SCHEMA_RUN_GROUPS] = print_groups,
};

static void print_option(const struct printer *p, const struct schema_option *o)
{
	const void *base = p->svc ? (const void *)p->svc : (const void *)p->s;
	uint32_t at = p->svc ? o->service_at : o->dispatcher_at;

	if (at && prints[o->type])
		prints[o->type](p, o, (const char *)base + at);
}

void settings_print_option(const struct settings *s, const struct service_settings *svc,
	const struct schema_option *option, FILE *out)
{
	struct printer p = {.s = s, .svc = svc, .out = out};

	print_option(&p, option);
}

static void print_section(const struct printer *p)
{
	fprintf(p->out, "[SERVICE=%s]\n",
		p->svc ? settings_text(p->s, p->svc->name) : "DISPATCHER");
	for (unsigned i = 0; i < schema_count(); i++)
		print_option(p, schema_at(i));
}

static int print_all(const struct settings *s, const char *service, bool leaving, FILE *out)
{
	struct printer p = {.s = s, .out = out};
	int r = service ? -ENOENT : 0;

	if (!service || !strcasecmp(service, "dispatcher")) {
		print_section(&p);
		r = 0;
	}
	for (uint32_t i = 0; i < s->services.count; i++) {
		p.svc = settings_service(s, i);
		if (p.svc->leaving && !leaving)
			continue;
		if (service && strcasecmp(service, settings_text(s, p.svc->name)))
			continue;
		if (!service)
			fputc('\n', out);
		print_section(&p);
		r = 0;
	}
	return r;
}

int settings_print(const struct settings *s, const char *service, FILE *out)
{
	return print_all(s, service, false, out);
}

void settings_print_tables(const struct settings *s, FILE *out)
{
	print_all(s, NULL, true, out);
}
