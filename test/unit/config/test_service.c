/* What a service runs, as whom, and limits that depend on each other. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define PORT "[SERVICE=A]\nPORT=7007\n"

static void an_image_without_a_slash_is_looked_up_in_worker_dir(void **state)
{
	const struct service_settings *svc = world_service(state, PORT "IMAGE=true\n");
	struct world *w = *state;

	assert_string_equal(settings_text(w->s, svc->image), "/usr/bin/true");
	svc = world_service(state, "WORKER_DIR=/bin\n" PORT "IMAGE=PMDF_EXE:true\n");
	assert_string_equal(settings_text(w->s, svc->image), "/bin/true");
	assert_int_equal(svc->adapter, ADAPTER_NATIVE);
}

static void a_missing_image_is_a_warning(void **state)
{
	struct world *w = world_load(state, PORT "IMAGE=/no/such -i\n");

	assert_int_equal(w->result, 0);
	assert_string_equal(w->told, "W main.cnf:3: IMAGE: there is no program /no/such -i; the "
				     "service will not start; IMAGE takes "
				     "no arguments, a command line is a COMMAND\n");
}

static void a_relative_image_is_refused(void **state)
{
	assert_string_equal(world_refused(state, PORT "IMAGE=bin/true\n"),
		"E main.cnf:3: IMAGE=bin/true is no full path; begin with / or one of IMTA_BIN: "
		"IMTA_LOG: "
		"IMTA_TABLE:\n");
}

static void a_command_is_split_and_run_by_dispatcher_exec(void **state)
{
	struct world *w = world_load(state, PORT "COMMAND=/bin/sh -c 'echo \"$1\"' \"a b\"\n");
	const struct service_settings *svc = settings_service(w->s, 0);

	assert_int_equal(svc->adapter, ADAPTER_INETD);
	assert_string_equal(settings_text(w->s, svc->image), "/usr/bin/dispatcher-exec");
	assert_int_equal(svc->command.count, 4);
	assert_string_equal(settings_list_text(w->s, svc->command, 0), "/bin/sh");
	assert_string_equal(settings_list_text(w->s, svc->command, 2), "echo \"$1\"");
	assert_string_equal(settings_list_text(w->s, svc->command, 3), "a b");
}

static void an_adapted_service_has_one_worker_and_no_life_limits_by_default(void **state)
{
	struct world *w =
		world_load(state, PORT "COMMAND=/bin/date\nIMAGE=IMTA_BIN:dispatcher-exec\n");
	const struct service_settings *svc = settings_service(w->s, 0);

	assert_int_equal(svc->min_procs, 1);
	assert_int_equal(svc->max_procs, 1);
	assert_int_equal(svc->max_life_conns, 0);
	assert_int_equal(svc->max_life_ms, 0);
	assert_int_equal(svc->max_idle_ms, 0);
	assert_int_equal(svc->backlog, 50);
}

static void image_and_command_must_fit_together(void **state)
{
	assert_string_equal(world_refused(state, PORT),
		"E main.cnf:1: service a has neither IMAGE nor "
		"COMMAND: nothing would serve its connections\n");
	assert_non_null(strstr(world_refused(state, PORT "IMAGE=/bin/true\nCOMMAND=/bin/date\n"),
		"E main.cnf:4: COMMAND is run by dispatcher-exec only; take out this line or "
		"IMAGE=/bin/true\n"));
	assert_non_null(strstr(world_refused(state, PORT "IMAGE=dispatcher-exec\n"),
		"E main.cnf:3: IMAGE=dispatcher-exec needs COMMAND=command line\n"));
	assert_string_equal(world_refused(state, PORT "IMAGE=\n"),
		"E main.cnf:3: IMAGE has no value; write the worker's program\n");
}

static void a_command_line_that_cannot_be_split_is_refused(void **state)
{
	assert_non_null(strstr(world_refused(state, PORT "COMMAND=/bin/sh -c 'x\n"),
		"E main.cnf:3: COMMAND: a quote is not closed\n"));
	assert_non_null(strstr(world_refused(state, PORT "COMMAND=\n"),
		"E main.cnf:3: COMMAND has no value; write a command line\n"));
	assert_non_null(strstr(world_refused(state, PORT "COMMAND=date\n"),
		"E main.cnf:3: COMMAND=date is no full path"));
}

static void signs_of_a_shell_are_warned_of(void **state)
{
	struct world *w = world_load(state, PORT "COMMAND=/bin/date | /bin/cat\n");

	assert_non_null(strstr(
		w->told, "W main.cnf:3: COMMAND: no shell runs this; | is handed over as a word."));
}

static void a_disabled_service_needs_neither_program_nor_port(void **state)
{
	world_service(state, "[SERVICE=A]\nENABLE=0\n");
	world_service(state, "[SERVICE=A]\nPORT=0\n");
}

static void what_turns_a_service_off_is_known_by_its_line(void **state)
{
	struct world *w = *state;
	const char *const texts[] = {"[SERVICE=A]\nPORT=0\n", SERVICE "ENABLE=0\n", SERVICE};
	const char *const lines[] = {"main.cnf:2", "main.cnf:4", NULL};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct service_settings *svc = world_service(state, texts[i]);
		const char *where = settings_text(w->s, svc->off_where);

		if (lines[i])
			assert_string_equal(where, lines[i]);
		else
			assert_null(where);
	}
}

static void a_limit_that_nobody_wrote_gives_way_to_one_that_somebody_wrote(void **state)
{
	const struct service_settings *svc =
		world_service(state, SERVICE "MAX_CONNS=4\nMIN_PROCS=20\n");

	assert_int_equal(svc->min_conns, 4);
	assert_int_equal(svc->max_procs, 20);
	svc = world_service(state, "MIN_CONNS=60\n" SERVICE);
	assert_int_equal(svc->max_conns, 60);
}

static void limits_that_contradict_each_other_are_told_at_the_later_line(void **state)
{
	assert_string_equal(world_refused(state, "MAX_PROCS=10\nMIN_CONNS=60\n" SERVICE
						 "MIN_PROCS=20\nMAX_CONNS=50\n"),
		"E main.cnf:6: MIN_PROCS=20 is above MAX_PROCS=10; lower the one or raise the "
		"other\n"
		"E main.cnf:7: MIN_CONNS=60 is above MAX_CONNS=50; lower the one or raise the "
		"other\n");
}

static void the_backlog_holds_at_least_5(void **state)
{
	assert_int_equal(world_service(state, SERVICE "MAX_PROCS=1\nMAX_CONNS=2\n")->backlog, 5);
	assert_int_equal(world_service(state, SERVICE "BACKLOG=1\n")->backlog, 1);
}

static void two_sections_of_one_name_are_refused(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "[SERVICE=a]\nMAX_PROCS=x\n"),
		"E main.cnf:4: service a has a section already, at main.cnf:1; make one of them\n"
		"E main.cnf:5: MAX_PROCS=x is wrong; write a number\n");
}

static void without_root_nobody_changes_users(void **state)
{
	const struct service_settings *svc =
		world_service(state, SERVICE "USER=1234\nGROUP=1234\n");

	assert_int_equal(svc->uid, SETTINGS_NO_ID);
	assert_int_equal(svc->gid, SETTINGS_NO_ID);
	assert_int_equal(svc->groups.count, 0);
	assert_string_equal(world_refused(state, SERVICE
				    "USER=nobody\nGROUP=daemon\nSUPPLEMENTARY_GROUPS=mail\n"),
		"E main.cnf:4: USER=nobody is another user, which needs root; take the line out or "
		"start as root\n");
	assert_string_equal(world_refused(state, SERVICE "GROUP=daemon\n"),
		"E main.cnf:4: GROUP=daemon is another group, which needs root; take the line out "
		"or start as root\n");
	assert_string_equal(world_refused(state, SERVICE "SUPPLEMENTARY_GROUPS=mail\n"),
		"E main.cnf:4: SUPPLEMENTARY_GROUPS needs root; take the line out or start as "
		"root\n");
}

/* Loads as root; a file of ours may then be somebody else's, which is warned of. */
static struct world *as_root(void **state, const char *text)
{
	struct world *w = *state;

	w->host.is_root = true;
	w->host.uid = w->host.gid = 0;
	return world_load(state, text);
}

static void under_root_a_service_without_a_user_is_nobody(void **state)
{
	struct world *w = as_root(state, SERVICE);
	const struct service_settings *svc = settings_service(w->s, 0);

	assert_int_equal(svc->uid, getpwnam("nobody")->pw_uid);
	assert_int_equal(svc->gid, getpwnam("nobody")->pw_gid);
	assert_non_null(strstr(w->told,
		"W main.cnf:1: service a has no USER and runs as nobody; write USER=name\n"));
}

static void under_root_user_and_groups_are_resolved(void **state)
{
	struct world *w = as_root(
		state, SERVICE "USER=root\nGROUP=mail\nSUPPLEMENTARY_GROUPS=daemon, 4711\n");
	const struct service_settings *svc = settings_service(w->s, 0);
	const uint32_t *groups = settings_list_data(w->s, svc->groups);

	assert_int_equal(svc->uid, 0);
	assert_int_equal(svc->gid, getgrnam("mail")->gr_gid);
	assert_int_equal(svc->groups.count, 2);
	assert_int_equal(groups[0], getgrnam("daemon")->gr_gid);
	assert_int_equal(groups[1], 4711);
	assert_string_equal(settings_text(w->s, svc->user_name), "root");
}

static void groups_are_those_of_the_user_unless_said(void **state)
{
	struct world *w = as_root(state, SERVICE "USER=nobody\n");
	const struct service_settings *svc = settings_service(w->s, 0);

	assert_int_equal(*(const uint32_t *)settings_list_data(w->s, svc->groups), svc->gid);
	w = as_root(state, SERVICE "USER=nobody\nSUPPLEMENTARY_GROUPS=\n");
	assert_int_equal(settings_service(w->s, 0)->groups.count, 0);
}

static void a_program_that_the_user_cannot_get_at_is_warned_of(void **state)
{
	struct world *w = *state;
	char lines[256], wanted[256];

	world_write("program", "#!/bin/sh\n");
	assert_int_equal(chmod("program", 0755), 0);
	snprintf(lines, sizeof(lines), PORT "USER=nobody\nIMAGE=%s/program\n", w->dir);
	snprintf(wanted, sizeof(wanted),
		"W main.cnf:4: user nobody cannot get at %s/program: the mode of %s forbids it; "
		"chmod o+x "
		"it, or move the program\n",
		w->dir, w->dir);
	assert_int_equal(chmod(w->dir, 0700), 0);
	assert_non_null(strstr(as_root(state, lines)->told, wanted));
	assert_int_equal(chmod(w->dir, 0711), 0);
	assert_null(strstr(as_root(state, lines)->told, "cannot get at"));
}

static void unknown_users_and_groups_are_told(void **state)
{
	struct world *w = as_root(
		state, SERVICE "USER=nosuchuser\nSOCKET_USER=x!\nSOCKET_GROUP=nosuchgroup\n");

	assert_non_null(strstr(w->told,
		"E main.cnf:4: USER=nosuchuser: there is no such user; see getent passwd\n"));
	assert_non_null(strstr(w->told,
		"E main.cnf:5: SOCKET_USER=x!: there is no such user; see getent passwd\n"));
	assert_non_null(strstr(w->told, "E main.cnf:6: SOCKET_GROUP=nosuchgroup: there is no such "
					"group; see getent group\n"));
	w = as_root(state, SERVICE "USER=54321\n");
	assert_non_null(strstr(w->told, "E main.cnf:4: user 54321 is in no user database, so its "
					"group is unknown; write GROUP=name\n"));
}

static void a_service_may_not_run_as_the_acceptor(void **state)
{
	struct world *w = as_root(state, "[SERVICE=DISPATCHER]\nUSER=mail\n" SERVICE "USER=mail\n");

	assert_non_null(strstr(w->told, "E main.cnf:6: USER=mail is who the acceptor runs as"));
}

static void the_acceptors_user_is_never_taken_from_the_defaults(void **state)
{
	const struct passwd *own = getpwnam("dispatcher");
	struct world *w = as_root(state, "USER=mail\n" SERVICE);

	assert_int_equal(w->s->uid, own ? own->pw_uid : getpwnam("daemon")->pw_uid);
	w = as_root(state, "[SERVICE=DISPATCHER]\nUSER=mail\nGROUP=daemon\n" SERVICE);
	assert_int_equal(w->s->uid, getpwnam("mail")->pw_uid);
	assert_int_equal(w->s->gid, getgrnam("daemon")->gr_gid);
}

static void the_acceptor_never_runs_as_root(void **state)
{
	struct world *w = as_root(state, "[SERVICE=DISPATCHER]\nUSER=root\n" SERVICE);

	assert_non_null(strstr(w->told, "E main.cnf:2: the acceptor faces the network and must not "
					"run as root; write another USER\n"));
}

static void the_dispatchers_directories_follow_from_run_dir(void **state)
{
	struct world *w = *state;

	world_service(state, "RUN_DIR=/srv/d\n" SERVICE);
	assert_string_equal(settings_text(w->s, w->s->run_dir), "/srv/d");
	assert_string_equal(settings_text(w->s, w->s->state_dir), "/srv/d/state");
	assert_string_equal(settings_text(w->s, w->s->control_socket), "/srv/d/control");
	assert_string_equal(settings_text(w->s, w->s->log_dir), "/srv/d");
	world_service(state, SERVICE);
	assert_string_equal(settings_text(w->s, w->s->run_dir), "/run/test");
}

static void options_of_the_dispatcher_itself_may_stand_in_two_places(void **state)
{
	struct world *w = *state;

	world_service(state, "RUN_DIR=/a\nDEBUG=4\nKILL_TIMEOUT=3s\nLOGFILE=syslog\n" SERVICE
			     "[SERVICE=DISPATCHER]\nRUN_DIR=/"
			     "b\nDEBUG=-1\nADMIN_GROUP=daemon\nLOGFILE=/var/log/d\n");
	assert_string_equal(settings_text(w->s, w->s->run_dir), "/b");
	assert_int_equal(w->s->debug, UINT32_MAX);
	assert_int_equal(settings_service(w->s, 0)->debug, 4);
	assert_int_equal(w->s->kill_ms, 3000);
	assert_int_equal(w->s->admin_gid, getgrnam("daemon")->gr_gid);
	assert_string_equal(settings_text(w->s, w->s->logfile), "/var/log/d");
	assert_string_equal(settings_text(w->s, settings_service(w->s, 0)->logfile), "syslog");
}

static void a_control_socket_whose_path_is_too_long_is_told(void **state)
{
	char text[512] = "RUN_DIR=/";

	memset(text + strlen(text), 'x', 120);
	strcat(text, "\n" SERVICE);
	assert_string_equal(world_refused(state, text),
		"E main.cnf:1: the path of the control socket has more "
		"than 107 bytes; shorten RUN_DIR\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(an_image_without_a_slash_is_looked_up_in_worker_dir),
		world_test(a_missing_image_is_a_warning),
		world_test(a_relative_image_is_refused),
		world_test(a_command_is_split_and_run_by_dispatcher_exec),
		world_test(an_adapted_service_has_one_worker_and_no_life_limits_by_default),
		world_test(image_and_command_must_fit_together),
		world_test(a_command_line_that_cannot_be_split_is_refused),
		world_test(signs_of_a_shell_are_warned_of),
		world_test(a_disabled_service_needs_neither_program_nor_port),
		world_test(what_turns_a_service_off_is_known_by_its_line),
		world_test(a_limit_that_nobody_wrote_gives_way_to_one_that_somebody_wrote),
		world_test(limits_that_contradict_each_other_are_told_at_the_later_line),
		world_test(the_backlog_holds_at_least_5),
		world_test(two_sections_of_one_name_are_refused),
		world_test(without_root_nobody_changes_users),
		world_test(under_root_a_service_without_a_user_is_nobody),
		world_test(under_root_user_and_groups_are_resolved),
		world_test(groups_are_those_of_the_user_unless_said),
		world_test(a_program_that_the_user_cannot_get_at_is_warned_of),
		world_test(unknown_users_and_groups_are_told),
		world_test(a_service_may_not_run_as_the_acceptor),
		world_test(the_acceptors_user_is_never_taken_from_the_defaults),
		world_test(the_acceptor_never_runs_as_root),
		world_test(the_dispatchers_directories_follow_from_run_dir),
		world_test(options_of_the_dispatcher_itself_may_stand_in_two_places),
		world_test(a_control_socket_whose_path_is_too_long_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
