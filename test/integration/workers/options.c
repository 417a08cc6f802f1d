/* Prints the table of options as JSON, so that the tests make their files from it: an option that is
 * added later is tried without being named in them. */
#include "common/base.h"
#include "config/schema.h"

#include <inttypes.h>

static const char *const types[SCHEMA_TYPES] = {
	[SCHEMA_NUMBER] = "number",
	[SCHEMA_COUNT] = "number",
	[SCHEMA_TIME] = "time",
	[SCHEMA_SIZE] = "size",
	[SCHEMA_BOOL] = "bool",
	[SCHEMA_MASK] = "mask",
	[SCHEMA_MODE] = "mode",
	[SCHEMA_NICE] = "nice",
	[SCHEMA_PREFIX_BITS] = "prefix_bits",
	[SCHEMA_PATH] = "path",
	[SCHEMA_LOGFILE] = "logfile",
	[SCHEMA_SAID] = "said",
	[SCHEMA_FILE] = "file",
	[SCHEMA_USER] = "user",
	[SCHEMA_GROUP] = "group",
	[SCHEMA_WORD] = "word",
	[SCHEMA_SIGNAL] = "signal",
	[SCHEMA_TEXT] = "text",
	[SCHEMA_RLIMIT_COUNT] = "rlimit_number",
	[SCHEMA_RLIMIT_SIZE] = "rlimit_size",
	[SCHEMA_RLIMIT_TIME] = "rlimit_time",
	[SCHEMA_PAIRS] = "pairs",
	[SCHEMA_VARIABLES] = "variables",
	[SCHEMA_SOURCES] = "sources",
	[SCHEMA_FILES] = "files",
	[SCHEMA_SNI] = "sni",
	[SCHEMA_PROTOCOLS] = "protocols",
	[SCHEMA_PORTS] = "ports",
	[SCHEMA_ADDRESSES] = "addresses",
	[SCHEMA_IMAGE] = "image",
	[SCHEMA_COMMAND] = "command",
	[SCHEMA_RUN_USER] = "run_user",
	[SCHEMA_RUN_GROUP] = "run_group",
	[SCHEMA_RUN_GROUPS] = "run_groups",
	[SCHEMA_TLS_PORTS] = "tls_ports",
	[SCHEMA_NOT_ENFORCED] = "not_enforced",
	[SCHEMA_WITHOUT_MEANING] = "without_meaning",
};

static const char *truth(unsigned bits)
{
	return bits ? "true" : "false";
}

static void print_option(const struct schema_option *o)
{
	printf("{\"name\": \"%s\", \"type\": \"%s\", \"min\": %" PRIu64 ", \"max\": %" PRIu64,
		o->name, types[o->type], o->min, o->max);
	printf(", \"in_service\": %s, \"default\": %s", truth(o->scope & SCHEMA_IN_SERVICE),
		truth(o->scope & SCHEMA_TOP_SERVICES));
	printf(", \"own\": %s, \"own_restart\": %s", truth(o->scope & SCHEMA_IN_DISPATCHER),
		truth(o->own_change & SCHEMA_RESTART));
	printf(", \"replaces_workers\": %s, \"words\": \"%s\"}", truth(o->change & SCHEMA_WORKERS),
		o->words ? o->words : "");
}

int main(void)
{
	for (unsigned i = 0; i < schema_count(); i++) {
		fputs(i ? ",\n" : "[", stdout);
		print_option(schema_at(i));
	}
	puts("]");
	return 0;
}
