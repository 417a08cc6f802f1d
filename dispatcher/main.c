/* The daemon's command line. The same image is executed again for every other process of the dispatcher
 * (acceptor, exec step, reader, thief, logger, heir), each a role that is no option for people. */
#include "common/base.h"
#include "config/verify.h"
#include "dispatcher/acceptor/acceptor.h"
#include "dispatcher/supervisor/logger.h"
#include "dispatcher/supervisor/execstep.h"
#include "dispatcher/supervisor/heir.h"
#include "dispatcher/supervisor/keycheck.h"
#include "dispatcher/supervisor/readstep.h"
#include "dispatcher/supervisor/recorder.h"
#include "dispatcher/supervisor/supervisor.h"
#include "dispatcher/supervisor/thief.h"
#include "dispatcher/supervisor/title.h"
#include "dispatcher/supervisor/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/prctl.h>

#define DEFAULT_CONFIG "/etc/dispatcher/dispatcher.cnf"
#define EXIT_USAGE 2
#define ROLE_OPTION "--role="

static const char help[] =
	"Usage: dispatcher [-t] [-c FILE]\n"
	"Accepts connections on the ports of every service in FILE and hands each to one of that\n"
	"service's worker processes. Stays in the foreground; SIGTERM drains and ends it.\n"
	"\n"
	"  -c FILE    configuration (default " DEFAULT_CONFIG ")\n"
	"  -t         check the configuration, print what is in force, and exit\n"
	"  --help     print this and exit\n"
	"  --version  print the version and exit\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 78 the configuration was refused.\n";

struct role {
	const char *name;
	int (*main)(int argc, char **argv);
	bool has_title; /* argv[0] alone shall show in ps; the role itself needs no arguments */
};

struct arguments {
	int count;
	char **texts;
};

static void become_keeper(void *user)
{
	const struct arguments *a = user;

	title_set(a->count, a->texts, "dispatcher: keeper");
}

static int be_acceptor(int argc, char **argv)
{
	struct arguments a = {argc, argv};

	return acceptor_main(become_keeper, &a);
}

static const struct role roles[] = {
	{"acceptor", be_acceptor, true},
	{"heir", heir_main, true},
	{"logger", logger_main, true},
	{"probe", upgrade_probe, false},
	{"reader", readstep_main, false},
	{"recorder", recorder_main, false},
	{"resume", upgrade_resume, false},
	{"spawn", execstep_main, false},
	{"thief", thief_main, false},
};

static const struct role *role_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	return NULL;
}

static int run_role(const struct role *role, int argc, char **argv)
{
	OWNS_MEM char *title = strdup(argv[0]);

	if (!role)
		return EXIT_USAGE;
	prctl(PR_SET_NAME, "dispatcher");
	if (role->has_title && title)
		title_set(argc, argv, title);
	return role->main(argc, argv);
}

static int run_supervisor(const char *path, int argc, char **argv)
{
	OWNS_MEM char *config = strdup(path);
	struct supervisor_options options = {.config = config};

	if (!config)
		return SUPERVISOR_FAILED;
	title_set(argc, argv, "dispatcher: supervisor");
	return supervisor_main(&options);
}

/* Whoever starts us with one of these closed shall not get a log line into a socket. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

struct command {
	const char *config;
	bool checks, helps, tells_version;
};

/* 0, or EXIT_USAGE. */
static int parse(struct command *c, int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "c:t", options, NULL)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		if (option == 'c')
			c->config = optarg;
		c->checks |= option == 't';
		c->helps |= option == 'h';
		c->tells_version |= option == 'V';
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "dispatcher: unexpected argument '%s'\n", argv[optind]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct command c = {.config = DEFAULT_CONFIG};

	if (argc > 1 && strncmp(argv[1], ROLE_OPTION, strlen(ROLE_OPTION)) == 0)
		return run_role(role_named(argv[1] + strlen(ROLE_OPTION)), argc, argv);
	open_standard_descriptors();
	if (parse(&c, argc, argv)) {
		fprintf(stderr, "Try 'dispatcher --help'.\n");
		return EXIT_USAGE;
	}
	if (c.helps)
		return printf("%s", help) < 0;
	if (c.tells_version)
		return printf("dispatcher %s\n", VERSION) < 0;
	if (c.checks)
		return verify_file(c.config, stdout, stderr, keycheck) ? SUPERVISOR_CONFIGURATION : 0;
	return run_supervisor(c.config, argc, argv);
}
