/* The verbs are a table: what each is called, which options and how many arguments it takes, how its
 * answer is shown. */
#include "dispatcher/ctl/ctl.h"
#include "common/base.h"
#include "config/host.h"
#include "dispatcher/ctl/request.h"
#include "dispatcher/ctl/show.h"
#include "dispatcher/ctl/text.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

enum flag { JSON = BIT(0), NOW = BIT(1) };

struct command {
	const struct verb *verb;
	const char *socket;
	unsigned flags;
	bool wants_help, wants_version;
	char **args;
	unsigned arg_count;
	unsigned silence_ms;
	FILE *out, *err;
};

struct verb {
	const char *name;
	unsigned takes; /* flags */
	unsigned most_args;
	int (*show)(const struct command *c, const struct reply *reply);
	const char *synopsis, *help;
};

static int show_text(const struct command *c, const struct reply *reply)
{
	text_print(c->out, reply->body);
	return REQUEST_OK;
}

static int show_version(const struct command *c, const struct reply *reply)
{
	fputs("running dispatcher ", c->out);
	return show_text(c, reply);
}

/* --json passes the document through untouched; what is no JSON is shown to nobody as a status. */
static int show_document(const struct command *c, const struct reply *reply)
{
	json_t *document = json_loadb(reply->body, reply->body_len, 0, NULL);

	if (!document) {
		fprintf(c->err, "dispatcherctl: the dispatcher's answer is no JSON\n");
		return REQUEST_REFUSED;
	}
	if (c->flags & JSON)
		fwrite(reply->body, 1, reply->body_len, c->out);
	else if (!strcmp(c->verb->name, "status"))
		show_status(document, c->arg_count > 0, c->out);
	else
		show_connections(document, c->out);
	json_decref(document);
	return REQUEST_OK;
}

static const struct verb verbs[] = {
	{"status", JSON, 1, show_document, "status [SERVICE] [--json]",
		"State, use and limits of all services, those in trouble first; of SERVICE every figure\n"
		"and every worker.\n"},
	{"connections", JSON, 1, show_document, "connections [SERVICE] [--json]",
		"The open connections, the longest first.\n"},
	{"config", 0, 1, show_text, "config [SERVICE]",
		"The configuration in force, of everything or of SERVICE.\n"},
	{"shutdown", NOW, 0, show_text, "shutdown [--now]",
		"Ends the dispatcher: it stops to accept, and its workers finish what they serve until\n"
		"SHUTDOWN_TIMEOUT; with --now they are killed at once.\n"},
	{"version", 0, 0, show_version, "version",
		"The versions of dispatcherctl and of the running dispatcher.\n"},
};

static const char options_text[] =
	"  -s, --socket=PATH  control socket (/run/dispatcher/control; without root\n"
	"                     $XDG_RUNTIME_DIR/dispatcher/control or /tmp/dispatcher-UID/control)\n"
	"      --json         the document itself, for programs\n"
	"  -h, --help         this, or the help of a verb\n"
	"  -V, --version      version of dispatcherctl\n"
	"Exit status: 0 done, 1 refused, 2 wrong usage, 3 no dispatcher runs there.\n";

static const struct option options[] = {
	{"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"now", no_argument, NULL, 'n'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static void print_help(const struct verb *verb, FILE *out)
{
	if (verb) {
		fprintf(out, "usage: dispatcherctl [-s PATH] %s\n%s", verb->synopsis, verb->help);
		return;
	}
	fputs("usage: dispatcherctl [-s PATH] VERB ...\n", out);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(out, "  %s\n", verbs[i].synopsis);
	fputs(options_text, out);
}

static int usage(const struct command *c, const char *what, const char *word)
{
	fprintf(c->err, "dispatcherctl: %s%s%s\n", what, word ? ": " : "", word ? word : "");
	print_help(c->verb, c->err);
	return REQUEST_USAGE;
}

static bool option(struct command *c, int letter, const char *value)
{
	switch (letter) {
	case 's':	c->socket = value; return true;
	case 'j':	c->flags |= JSON; return true;
	case 'n':	c->flags |= NOW; return true;
	case 'h':	c->wants_help = true; return true;
	case 'V':	c->wants_version = true; return true;
	default:	return false;
	}
}

/* 0 or REQUEST_USAGE. */
static int parse(struct command *c, int argc, char **argv)
{
	int letter;

	optind = 0; /* the library may have parsed another command line in this process */
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "s:hV", options, NULL)) != -1)
		if (!option(c, letter, optarg))
			return usage(c, "unknown option, or its value is missing", argv[optind - 1]);
	for (size_t i = 0; optind < argc && i < ARRAY_LEN(verbs); i++)
		if (!strcmp(argv[optind], verbs[i].name))
			c->verb = &verbs[i];
	if (c->wants_help || c->wants_version)
		return 0;
	if (!c->verb)
		return usage(c, optind < argc ? "unknown verb" : "a verb is missing", argv[optind]);
	c->args = argv + optind + 1;
	c->arg_count = (unsigned)(argc - optind - 1);
	if (c->arg_count > c->verb->most_args)
		return usage(c, "too many arguments", c->args[c->verb->most_args]);
	if (c->flags & ~c->verb->takes)
		return usage(c, "this verb does not take that option", c->verb->name);
	return 0;
}

/* The default of CONTROL_SOCKET. An administrator without root asks the system's dispatcher unless
 * there is one of the user's own. */
static const char *default_socket(char ret_path[PATH_MAX])
{
	static const char system_wide[] = "/run/dispatcher/control";
	struct host host;

	host_facts(&host);
	if (snprintf(ret_path, PATH_MAX, "%s/control", host.run_dir) >= PATH_MAX)
		return system_wide;
	return access(ret_path, F_OK) && !access(system_wide, F_OK) ? system_wide : ret_path;
}

static int ask(struct command *c)
{
	char path[PATH_MAX];
	json_t *request = request_new(c->verb->name, c->arg_count ? c->args[0] : NULL);
	struct reply reply;
	int status;

	if (c->flags & NOW)
		json_object_set_new(request, "now", json_true());
	if (c->verb->show == show_version)
		fprintf(c->out, "dispatcherctl " VERSION "\n");
	status = request_ask(c->socket ? c->socket : default_socket(path), request, c->silence_ms, &reply);
	json_decref(request);
	if (status == REQUEST_OK) {
		status = c->verb->show(c, &reply);
	} else {
		fputs("dispatcherctl: ", c->err);
		text_print(c->err, reply.error ? reply.error : "refused");
		fputc('\n', c->err);
	}
	reply_deinit(&reply);
	return status;
}

int ctl_run(int argc, char **argv, unsigned silence_ms, FILE *out, FILE *err)
{
	struct command c = {.silence_ms = silence_ms, .out = out, .err = err};
	int status = parse(&c, argc, argv);

	if (status)
		return status;
	if (c.wants_help)
		print_help(c.verb, out);
	else if (c.wants_version)
		fprintf(out, "dispatcherctl " VERSION "\n");
	else
		status = ask(&c);
	return status;
}
