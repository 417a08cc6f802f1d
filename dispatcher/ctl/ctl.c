/* From the command line to the verb: options, arguments, the control socket. */
#include "dispatcher/ctl/ctl.h"
#include "common/base.h"
#include "common/parse.h"
#include "config/host.h"
#include "dispatcher/ctl/complete.h"
#include "dispatcher/ctl/help.h"
#include "dispatcher/ctl/request.h"
#include "dispatcher/ctl/verbs.h"

#include <getopt.h>
#include <string.h>

#define MOST_OPTIONS 16
#define FIRST_OPTION 256 /* of the table, behind all letters */

struct line {
	struct command command;
	bool wants_help, wants_version;
};

static int usage(const struct command *c, const char *what, const char *word)
{
	fprintf(c->err, "dispatcherctl: %s%s%s\n", what, word ? ": " : "", word ? word : "");
	help_print(c->verb, c->err);
	return REQUEST_USAGE;
}

static void list_options(struct option ret_options[MOST_OPTIONS])
{
	const struct option first[] = {{"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}};
	const struct verb_option *o;
	size_t count = ARRAY_LEN(first);

	memset(ret_options, 0, MOST_OPTIONS * sizeof(*ret_options));
	memcpy(ret_options, first, sizeof(first));
	for (size_t i = 0; (o = verbs_option(i)) && count + 1 < MOST_OPTIONS; i++)
		ret_options[count++] = (struct option){o->name,
			o->has_value ? required_argument : no_argument, NULL, FIRST_OPTION + (int)i};
}

/* False when the value is none. */
static bool table_option(struct command *c, const struct verb_option *o, const char *value)
{
	uint64_t ms = 0;

	c->options |= o->option;
	if (o->has_value && parse_time(value, &ms))
		return false;
	if (o->option == COMMAND_DRAIN)
		c->drain_ms = ms;
	if (o->option == COMMAND_FOR)
		c->for_ms = ms;
	return true;
}

static bool option(struct line *l, int letter, const char *value)
{
	struct command *c = &l->command;
	const struct verb_option *o = letter >= FIRST_OPTION ? verbs_option((size_t)letter - FIRST_OPTION) :
		NULL;

	switch (letter) {
	case 's':
		return snprintf(c->socket, sizeof(c->socket), "%s", value) < PATH_MAX;
	case 'h':
		l->wants_help = true;
		return true;
	case 'V':
		l->wants_version = true;
		return true;
	default:
		return o && table_option(c, o, value);
	}
}

static int check(const struct command *c)
{
	const struct verb *v = c->verb;

	if (c->arg_count > v->most)
		return usage(c, "too many arguments", c->args[v->most]);
	if (c->arg_count < v->least)
		return usage(c, "an argument is missing", v->name);
	if (c->options & ~v->takes)
		return usage(c, "this verb does not take that option", v->name);
	if (c->options & COMMAND_DRAIN && c->options & COMMAND_NOW)
		return usage(c, "--drain and --now contradict each other", NULL);
	return 0;
}

/* 0 or REQUEST_USAGE. */
static int parse(struct line *l, int argc, char **argv)
{
	struct command *c = &l->command;
	struct option options[MOST_OPTIONS];
	int letter;

	list_options(options);
	optind = 0; /* the library may have parsed another command line in this process */
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "s:hV", options, NULL)) != -1)
		if (!option(l, letter, optarg))
			return usage(c, "unknown option, or its value is missing or wrong",
				argv[optind - 1]);
	if (optind < argc)
		c->verb = verbs_find(argv[optind]);
	if (l->wants_help || l->wants_version)
		return 0;
	if (!c->verb)
		return usage(c, optind < argc ? "unknown verb" : "a verb is missing", argv[optind]);
	c->args = argv + optind + 1;
	c->arg_count = (unsigned)(argc - optind - 1);
	return check(c);
}

/* The default of CONTROL_SOCKET. An administrator without root asks the system's dispatcher unless
 * there is one of the user's own. */
static void default_socket(char ret_path[PATH_MAX])
{
	static const char system_wide[] = "/run/dispatcher/control";
	struct host host;

	host_facts(&host);
	if (snprintf(ret_path, PATH_MAX, "%s/control", host.run_dir) >= PATH_MAX ||
		(access(ret_path, F_OK) && !access(system_wide, F_OK)))
		strcpy(ret_path, system_wide);
}

int ctl_run(int argc, char **argv, unsigned silence_ms, FILE *out, FILE *err)
{
	struct line l = {.command = {.silence_ms = silence_ms, .out = out, .err = err}};
	struct command *c = &l.command;
	int status;

	default_socket(c->socket);
	if (argc > 1 && !strcmp(argv[1], "--complete"))
		return complete_run(c, argc - 2, argv + 2);
	status = parse(&l, argc, argv);
	if (status)
		return status;
	if (l.wants_help)
		help_print(c->verb, out);
	else if (l.wants_version)
		fprintf(out, "dispatcherctl " VERSION "\n");
	else
		status = c->verb->run(c);
	return status;
}
