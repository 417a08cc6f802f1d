/* The verbs and their options, each said once. */
#include "dispatcher/ctl/verbs.h"
#include "common/base.h"
#include "dispatcher/ctl/look.h"
#include "dispatcher/ctl/order.h"
#include "dispatcher/ctl/shutdown.h"

#include <string.h>

#define ENDING (COMMAND_WAIT | COMMAND_DRAIN | COMMAND_NOW)
#define MANY 1024

static const struct verb_option options[] = {
	{COMMAND_JSON, "json", false, "the document itself, for programs"},
	{COMMAND_WATCH, "watch", false, "again every second, until q or ^C"},
	{COMMAND_WAIT, "wait", false, "return when what leaves has left; tell how far it is"},
	{COMMAND_DRAIN, "drain", true, "after this time (30s, 5m) connections are cut"},
	{COMMAND_NOW, "now", false, "connections are cut at once"},
	{COMMAND_DRY_RUN, "dry-run", false, "say what would change, change nothing"},
	{COMMAND_TLS, "tls", false, "only certificates and keys"},
	{COMMAND_BY_SOURCE, "by-source", false, "how many connections each source has"},
	{COMMAND_FOR, "for", true, "for so long (10m, 1h, 7d); else until unblock"},
};

static const struct verb verbs[] = {
	{"status", NULL, NAMES_SERVICES, 0, 1, COMMAND_JSON | COMMAND_WATCH, look_status,
		"[SERVICE] [--json] [--watch]",
		"State, use and limits of all services, those in trouble first; of SERVICE every\n"
		"figure and every worker.\n"},
	{"connections", NULL, NAMES_TARGETS, 0, 1, COMMAND_JSON | COMMAND_BY_SOURCE, look_connections,
		"[SERVICE|WORKER] [--by-source] [--json]",
		"The open connections, the longest first, or how many each source has.\n"},
	{"config", NULL, NAMES_SERVICES, 0, 1, 0, look_config, "[SERVICE]",
		"The configuration in force, of everything or of SERVICE.\n"},
	{"check", NULL, NAMES_FILES, 1, 1, 0, look_check, "FILE",
		"Whether FILE would be accepted as configuration, and what would be in force\n"
		"then. Asks no dispatcher, changes nothing; dispatcher -t does the same.\n"},
	{"restart", NULL, NAMES_TARGETS, 0, MANY, ENDING, order_restart,
		"[SERVICE|WORKER...] [--wait] [--drain T] [--now]",
		"Replaces the workers of all open services, of these services, or these workers.\n"
		"An old worker takes nothing more once its replacement is ready, and finishes\n"
		"what it serves. \"restart acceptor\" (or dispatcher) replaces the process that\n"
		"accepts.\n"},
	{"shutdown", "stop", NAMES_SERVICES, 0, MANY, ENDING, shutdown_run,
		"[SERVICE...] [--wait] [--drain T] [--now]",
		"Closes services: nobody gets in any more, workers finish what they serve until\n"
		"SHUTDOWN_TIMEOUT or T. They stay closed until start, or until everything starts\n"
		"anew. Without a name it ends the dispatcher.\n"},
	{"start", NULL, NAMES_SERVICES, 1, MANY, 0, order_services, "SERVICE...",
		"Opens services that were shut down; one that backs off tries at once.\n"},
	{"enable", NULL, NAMES_SERVICES, 1, MANY, 0, order_services, "SERVICE...",
		"Opens services that were disabled, and remembers it.\n"},
	{"disable", NULL, NAMES_SERVICES, 1, MANY, ENDING, shutdown_run,
		"SERVICE... [--wait] [--drain T] [--now]",
		"Closes services, and remembers it until enable. Without --drain or --now\n"
		"clients are served for as long as they like.\n"},
	{"kill", NULL, NAMES_WORKERS, 1, MANY, 0, order_services, "WORKER...",
		"Keeps evidence of what the worker does in STATE_DIR, then kills it; the\n"
		"connections that it serves are lost.\n"},
	{"reload", NULL, NAMES_NONE, 0, 0, COMMAND_DRY_RUN | COMMAND_TLS, order_plain,
		"[--tls] [--dry-run]",
		"Reads the configuration, certificates and keys again and says what changes.\n"
		"Whatever is wrong with them leaves everything as it was. With --tls only the\n"
		"certificates and keys of the configuration in force are read: for the hook of\n"
		"whatever renews them.\n"},
	{"upgrade", NULL, NAMES_NONE, 0, 0, 0, order_plain, "",
		"Replaces the running dispatcher by the program that is installed now.\n"},
	{"reopen", NULL, NAMES_NONE, 0, 0, 0, order_plain, "",
		"Opens the log files again, after they were moved.\n"},
	{"block", NULL, NAMES_PREFIXES, 1, 1, COMMAND_FOR, order_block, "PREFIX [--for T]",
		"Connections from PREFIX (192.0.2.0/24, 2001:db8::/32, or one address) are closed\n"
		"at once; those that are open go on. Forgotten when the dispatcher ends.\n"},
	{"unblock", NULL, NAMES_PREFIXES, 1, 1, 0, order_block, "PREFIX",
		"Ends a block.\n"},
	{"version", NULL, NAMES_NONE, 0, 0, 0, look_version, "",
		"The versions of dispatcherctl and of the running dispatcher.\n"},
};

const struct verb *verbs_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].name, name) || (verbs[i].other && !strcmp(verbs[i].other, name)))
			return &verbs[i];
	return NULL;
}

const struct verb *verbs_at(size_t index)
{
	return index < ARRAY_LEN(verbs) ? &verbs[index] : NULL;
}

const struct verb_option *verbs_option(size_t index)
{
	return index < ARRAY_LEN(options) ? &options[index] : NULL;
}
