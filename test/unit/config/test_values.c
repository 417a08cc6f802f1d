/* Values of every type: what is stored, and what is said of a wrong one. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <string.h>
#include <sys/resource.h>

static void the_defaults_are_those_of_the_manual(void **state)
{
	const struct service_settings *svc = world_service(state, SERVICE);
	struct world *w = *state;

	assert_int_equal(svc->min_procs, 1);
	assert_int_equal(svc->max_procs, 10);
	assert_int_equal(svc->min_conns, 30);
	assert_int_equal(svc->max_conns, 50);
	assert_int_equal(svc->max_life_conns, 10000);
	assert_int_equal(svc->max_life_ms, 86400000);
	assert_int_equal(svc->max_idle_ms, 600000);
	assert_int_equal(svc->max_shutdown, 2);
	assert_int_equal(svc->start_ms, 30000);
	assert_int_equal(svc->handoff_ms, 1000);
	assert_int_equal(svc->drain_ms, 0);
	assert_int_equal(svc->shutdown_ms, 60000);
	assert_int_equal(svc->kill_ms, 10000);
	assert_int_equal(svc->backlog, 500);
	assert_int_equal(svc->source_prefix4, 32);
	assert_int_equal(svc->source_prefix6, 64);
	assert_int_equal(svc->umask, 022);
	assert_int_equal(svc->enabled, 1);
	assert_int_equal(svc->logfile, 0);
	assert_string_equal(settings_text(w->s, svc->working_directory), "/");
	assert_string_equal(settings_text(w->s, w->s->logfile), "stderr");
}

static void a_service_goes_before_the_defaults(void **state)
{
	const struct service_settings *svc = world_service(
		state, "MAX_CONNS=7\nMAX_IDLE_TIME=1h\n" SERVICE "MAX_CONNECTIONS=40\n");

	assert_int_equal(svc->max_conns, 40);
	assert_int_equal(svc->max_idle_ms, 3600000);
}

static void of_an_option_given_twice_the_last_counts_with_a_warning(void **state)
{
	struct world *w = world_load(state, SERVICE "MAX_CONNS=40\nmax_connections=41\n");

	assert_int_equal(settings_service(w->s, 0)->max_conns, 41);
	assert_string_equal(w->told, "W main.cnf:5: MAX_CONNS is given again, first at main.cnf:4; "
				     "the last one counts\n");
}

static void numbers_out_of_range_are_told_with_the_bound(void **state)
{
	assert_string_equal(
		world_refused(state, SERVICE "MAX_PROCS=0\nMAX_CONNS=65536\nMIN_PROCS=-1\n"
					     "MAX_SHUTDOWN=99999999999999999999\nKILL_TIMEOUT=0\n"
					     "MAX_HANDOFFS=x\nDRAIN_TIMEOUT=\n"),
		"E main.cnf:4: MAX_PROCS=0 is too low; write at least 1\n"
		"E main.cnf:5: MAX_CONNS=65536 is too high; write at most 65535\n"
		"E main.cnf:6: MIN_PROCS=-1 is wrong; write a number\n"
		"E main.cnf:7: MAX_SHUTDOWN=99999999999999999999 is too high; write at most 16384\n"
		"E main.cnf:8: KILL_TIMEOUT=0 is too low; write at least 1ms\n"
		"E main.cnf:9: MAX_HANDOFFS=x is wrong; write a number\n"
		"E main.cnf:10: DRAIN_TIMEOUT has no value; write a time (such as 30s, 10m, 1h, "
		"1d)\n");
}

static void the_largest_limits_keep_slots_countable(void **state)
{
	const struct service_settings *svc = world_service(
		state, SERVICE "MAX_PROCS=16384\nMAX_SHUTDOWN=16384\nMAX_CONNS=65535\n");

	assert_int_equal(settings_worker_slots(svc), 4 * 16384);
	assert_int_equal(settings_conn_slots(svc), INT32_MAX);
	svc = world_service(state, SERVICE "MAX_PROCS=100\nMAX_SHUTDOWN=3\nMAX_CONNS=50\n");
	assert_int_equal(settings_conn_slots(svc), 203 * 50);
}

static void slots_of_all_services_together_must_be_countable(void **state)
{
	const char *told = world_refused(state,
		"MAX_PROCS=16384\nMAX_SHUTDOWN=16384\nMAX_CONNS=65535\n" SERVICE
		"[SERVICE=B]\nPORT=7008\nIMAGE=/bin/true\n");

	assert_string_equal(told, "E main.cnf:7: with this service there could be 4294967294 "
				  "connections; lower MAX_CONNS or MAX_PROCS\n");
}

static void modes_masks_and_nice_values_are_stored(void **state)
{
	const struct service_settings *svc =
		world_service(state, SERVICE "SOCKET_MODE=0666\nUMASK=77\nNICE=5\nDEBUG=-"
					     "1\nSTACKSIZE=2M\nLOG_CONNECTIONS=yes\n");

	assert_int_equal(svc->socket_mode, 0666);
	assert_int_equal(svc->umask, 077);
	assert_int_equal(svc->nice, 5);
	assert_int_equal(svc->debug, UINT32_MAX);
	assert_int_equal(svc->stacksize, 2 << 20);
	assert_int_equal(svc->log_connections, 1);
}

static void wrong_values_of_other_types_are_told(void **state)
{
	assert_string_equal(world_refused(state, SERVICE
				    "SOCKET_MODE=0888\nUMASK=1777\nNICE=20\nNICE=-1\n"
				    "DEBUG=zz\nSTACKSIZE=2X\nLOG_CONNECTIONS=2\nSOURCE_PREFIX=24\n"
				    "SOURCE_PREFIX=0/64\nEXEMPT_SOURCES=10.0.0.0/33, there\n"
				    "ENVIRONMENT=9A=x\nPARAMETER==x\nWORKING_DIRECTORY=tmp\n"
				    "LOGFILE=smtp.log\nSTACKSIZE=100\n"),
		"E main.cnf:4: SOCKET_MODE=0888 is wrong; write an octal number\n"
		"E main.cnf:5: UMASK=1777 is too high; write at most 0777\n"
		"E main.cnf:6: NICE=20 is wrong; write a number from -20 to 19\n"
		"W main.cnf:7: NICE is given again, first at main.cnf:6; the last one counts\n"
		"E main.cnf:7: NICE=-1 needs root; write 0 to 19\n"
		"E main.cnf:8: DEBUG=zz is wrong; write -1 or a mask of 32 bits\n"
		"E main.cnf:9: STACKSIZE=2X is wrong; write a size (such as 512K, 64M, 2G)\n"
		"E main.cnf:10: LOG_CONNECTIONS=2 is wrong; write 1 or 0\n"
		"E main.cnf:11: SOURCE_PREFIX=24 is wrong; write bits of IPv4 (1 to 32), a slash, "
		"bits of "
		"IPv6 (1 to 128)\n"
		"W main.cnf:12: SOURCE_PREFIX is given again, first at main.cnf:11; the last one "
		"counts\n"
		"E main.cnf:12: SOURCE_PREFIX=0/64 is wrong; write bits of IPv4 (1 to 32), a "
		"slash, bits of "
		"IPv6 (1 to 128)\n"
		"E main.cnf:13: EXEMPT_SOURCES: 10.0.0.0/33 is no network; write 192.0.2.0/24 or "
		"2001:db8::/32\n"
		"E main.cnf:13: EXEMPT_SOURCES: there is no network; write 192.0.2.0/24 or "
		"2001:db8::/32\n"
		"E main.cnf:14: ENVIRONMENT=9A=x is wrong; write NAME=VALUE with a name of "
		"letters, digits and _\n"
		"E main.cnf:15: PARAMETER==x has no name; write NAME=VALUE\n"
		"E main.cnf:16: WORKING_DIRECTORY=tmp is no full path; begin with / or one of "
		"IMTA_BIN: "
		"IMTA_LOG: IMTA_TABLE:\n"
		"E main.cnf:17: LOGFILE=smtp.log is wrong; write stderr, syslog or a full path "
		"(such as "
		"IMTA_LOG:name)\n"
		"W main.cnf:18: STACKSIZE is given again, first at main.cnf:9; the last one "
		"counts\n"
		"E main.cnf:18: STACKSIZE is below 16384, which no thread can run on; raise it, or "
		"write 0\n");
}

static void rlimits_are_taken_as_they_are(void **state)
{
	const struct service_settings *svc =
		world_service(state, SERVICE "LIMIT_CORE=0\nLIMIT_AS=1G\nLIMIT_CPU=1500ms\nLIMIT_"
					     "NOFILE=1000\nLIMIT_DATA=Unlimited\n");

	assert_true(svc->limits[RLIMIT_CORE].set && svc->limits[RLIMIT_CORE].value == 0);
	assert_int_equal(svc->limits[RLIMIT_AS].value, 1 << 30);
	assert_int_equal(svc->limits[RLIMIT_CPU].value, 2);
	assert_int_equal(svc->limits[RLIMIT_NOFILE].value, 1000);
	assert_true(svc->limits[RLIMIT_DATA].value == SETTINGS_UNLIMITED);
	assert_false(svc->limits[RLIMIT_STACK].set);
}

static void a_descriptor_limit_must_hold_the_connections(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "MAX_CONNS=100\nLIMIT_NOFILE=100\n"),
		"E main.cnf:5: LIMIT_NOFILE=100 does not hold MAX_CONNS=100 and 32 more; raise it "
		"by 32\n");
}

static void a_list_of_a_service_replaces_the_default_list(void **state)
{
	const struct service_settings *svc = world_service(state,
		"ENVIRONMENT=A=1\nENVIRONMENT=B=2\nEXEMPT_SOURCES=127.0.0.0/8, ::1\n" SERVICE
		"ENVIRONMENT=C=3\nEXEMPT_SOURCES=\n");
	struct world *w = *state;

	assert_int_equal(svc->environment.count, 1);
	assert_string_equal(settings_list_text(w->s, svc->environment, 0), "C=3");
	assert_int_equal(svc->exempt_sources.count, 0);
}

static void networks_are_stored_masked(void **state)
{
	struct world *w = world_load(
		state, SERVICE "EXEMPT_SOURCES=10.1.2.3/8,::1\nEXEMPT_SOURCES=fe80::/10\n");
	const struct service_settings *svc = settings_service(w->s, 0);
	const struct settings_prefix *prefixes = settings_list_data(w->s, svc->exempt_sources);

	assert_int_equal(svc->exempt_sources.count, 3);
	assert_int_equal(prefixes[0].addr.ip[0], 10);
	assert_int_equal(prefixes[0].addr.ip[1], 0);
	assert_int_equal(prefixes[0].bits, 8);
	assert_int_equal(prefixes[1].bits, 128);
	assert_int_equal(prefixes[2].bits, 10);
	assert_string_equal(w->told, "W main.cnf:4: EXEMPT_SOURCES: 10.1.2.3/8 has bits behind its "
				     "prefix; taken as 10.0.0.0/8\n");
}

static void a_parameter_without_a_value_gets_an_empty_one(void **state)
{
	struct world *w = world_load(state, SERVICE "PARAMETER=VERBOSE\n");

	assert_string_equal(
		settings_list_text(w->s, settings_service(w->s, 0)->parameters, 0), "VERBOSE=");
	assert_string_equal(w->told, "W main.cnf:4: PARAMETER=VERBOSE has no =; the worker sees it "
				     "with an empty value\n");
}

static void a_log_file_may_name_the_host_and_a_logical_directory(void **state)
{
	const struct service_settings *svc = world_service(
		state, "LOG_DIR=/var/log/x\n" SERVICE "LOGFILENAME=IMTA_LOG:%s-%d-%s.log%\n");
	struct world *w = *state;

	assert_string_equal(
		settings_text(w->s, svc->logfile), "/var/log/x/example-%d-example.log%");
}

static void misspelt_options_are_told_with_the_nearest_name(void **state)
{
	assert_string_equal(
		world_refused(state, "MAXPROCS=3\nXYZZY=1\nMIN_CONN=2\nUSE_NSLOGS=1\n" SERVICE
				     "HOLD_WORKERS=hold\nIMGAE=x\n"),
		"E main.cnf:1: unknown option MAXPROCS; did you mean MAX_PROCS?\n"
		"E main.cnf:2: unknown option XYZZY; dispatcher.cnf(5) lists all\n"
		"E main.cnf:3: unknown option MIN_CONN; did you mean MIN_CONNS?\n"
		"E main.cnf:4: unknown option USE_NSLOGS; dispatcher.cnf(5) lists all\n"
		"E main.cnf:8: unknown option HOLD_WORKERS; dispatcher.cnf(5) lists all\n"
		"E main.cnf:9: unknown option IMGAE; did you mean IMAGE?\n");
}

static void an_option_in_the_wrong_place_is_told(void **state)
{
	assert_string_equal(
		world_refused(state,
			"PORT=25\n[SERVICE=DISPATCHER]\nMAX_PROCS=3\n" SERVICE "RUN_DIR=/run/x\n"),
		"E main.cnf:1: PORT must stand in the section of a service\n"
		"E main.cnf:3: MAX_PROCS is for services; the dispatcher itself does not use it\n"
		"E main.cnf:7: RUN_DIR must stand before the first section or in "
		"[SERVICE=DISPATCHER]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_defaults_are_those_of_the_manual),
		world_test(a_service_goes_before_the_defaults),
		world_test(of_an_option_given_twice_the_last_counts_with_a_warning),
		world_test(numbers_out_of_range_are_told_with_the_bound),
		world_test(the_largest_limits_keep_slots_countable),
		world_test(slots_of_all_services_together_must_be_countable),
		world_test(modes_masks_and_nice_values_are_stored),
		world_test(wrong_values_of_other_types_are_told),
		world_test(rlimits_are_taken_as_they_are),
		world_test(a_descriptor_limit_must_hold_the_connections),
		world_test(a_list_of_a_service_replaces_the_default_list),
		world_test(networks_are_stored_masked),
		world_test(a_parameter_without_a_value_gets_an_empty_one),
		world_test(a_log_file_may_name_the_host_and_a_logical_directory),
		world_test(misspelt_options_are_told_with_the_nearest_name),
		world_test(an_option_in_the_wrong_place_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
