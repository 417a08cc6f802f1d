/* What is told, in which order, and that all of it is told at once. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <string.h>
#include <sys/stat.h>

static void twelve_mistakes_in_two_files_are_twelve_messages_in_order(void **state)
{
	world_write("inner.cnf", "PORT 25\n" /* 3 */
				 "[SERVICE=INNER]\n"
				 "PORT=70000\n" /* 4 */
				 "IMAGE=/bin/true\n"
				 "MAX_CONN=3\n" /* 5 */
				 "MIN_PROCS=4\n"
				 "MAX_PROCS=3\n");                     /* 6 */
	assert_string_equal(world_refused(state, "MAX_CONNS=many\n"    /* 1 */
						 "START_TIMEOUT=30x\n" /* 2 */
						 "<inner.cnf\n"
						 "[SERVICE=OUTER]\n"
						 "PORT=7007\n"
						 "USER=daemon\n"           /* 7 */
						 "COMMAND=/bin/sh -c 'x\n" /* 8 */
						 "[::1]:25=x\n"            /* 9 */
						 "[SERVICE=LAST]\n"        /* 10: no program */
						 "PORT=127.0.0.1:7007\n"   /* 11 */
						 "SSL_PORTS=465\n"),       /* 12 */
		"E main.cnf:1: MAX_CONNS=many is wrong; write a number\n"
		"E main.cnf:2: START_TIMEOUT=30x is wrong; write a time (such as 30s, 10m, 1h, "
		"1d)\n"
		"E inner.cnf:1: \"PORT 25\" is neither option=value nor [SERVICE=name], <file or ! "
		"comment\n"
		"E inner.cnf:3: PORT: 70000: ports go from 1 to 65535\n"
		"E inner.cnf:5: unknown option MAX_CONN; did you mean MAX_CONNS?\n"
		"E inner.cnf:7: MIN_PROCS=4 is above MAX_PROCS=3; lower the one or raise the "
		"other\n"
		"E main.cnf:6: USER=daemon is another user, which needs root; take the line out or "
		"start as root\n"
		"E main.cnf:7: COMMAND: a quote is not closed\n"
		"W main.cnf:7: COMMAND: there is no program /usr/bin/dispatcher-exec; the service "
		"will not start\n"
		"E main.cnf:8: a line that begins with [ must be [SERVICE=name]; an address "
		"belongs behind PORT=\n"
		"E main.cnf:9: service last has neither IMAGE nor COMMAND: nothing would serve its "
		"connections\n"
		"E main.cnf:10: 127.0.0.1:7007 is already listened on by main.cnf:5; one of the "
		"two must go\n"
		"E main.cnf:11: TLS_PORT needs a certificate; write TLS_CERT=file and TLS_KEY=file\n");
}

static void a_mistake_in_the_defaults_is_told_once_for_all_services(void **state)
{
	assert_string_equal(world_refused(state, "KILL_TIMEOUT=x\n" SERVICE
						 "[SERVICE=B]\nPORT=7008\nIMAGE=/bin/true\n"
						 "[SERVICE=C]\nPORT=7009\nIMAGE=/bin/true\n"),
		"E main.cnf:1: KILL_TIMEOUT=x is wrong; write a time (such as 30s, 10m, 1h, 1d)\n");
}

static void a_lost_access_control_is_told_first_and_kept(void **state)
{
	struct world *w;

	world_write("mappings",
		"! tables\n\nORIG_SEND_ACCESS\n  *  $N\nPORT_ACCESS\n  TCP|*|*|*|*  $N\n");
	w = world_load(state, "HISTORICAL_TIME=0\n" SERVICE "DNS_VERIFY_DOMAIN=rbl.example.com\n"
			      "DNS_VERIFY_DOMAIN=dul.example.com\nENABLE_RBL=1\n[SERVICE="
			      "DISPATCHER]\nENABLE_RBL=0\n");
	assert_int_equal(w->result, 0);
	assert_non_null(strstr(w->told, "N NOT ENFORCED: "));
	assert_non_null(strstr(w->told,
		"/mappings:5: the table PORT_ACCESS is not read: no client is refused by it\n"));
	assert_non_null(strstr(w->told,
		"N NOT ENFORCED: main.cnf:5: DNS_VERIFY_DOMAIN=rbl.example.com: clients are served "
		"without "
		"this look-up in a DNS list\n"
		"N NOT ENFORCED: main.cnf:6: DNS_VERIFY_DOMAIN=dul.example.com: clients are served "
		"without "
		"this look-up in a DNS list\n"
		"N NOT ENFORCED: main.cnf:7: ENABLE_RBL=1: clients are served without this look-up "
		"in a DNS list\n"
		"W main.cnf:1: HISTORICAL_TIME has no meaning here; the line is ignored\n"));
	assert_int_equal(w->s->not_enforced.count, 4);
	assert_int_equal(w->s->warnings.count, 1);
	assert_non_null(strstr(settings_list_text(w->s, w->s->not_enforced, 0), "PORT_ACCESS"));
}

static void a_mappings_file_without_port_access_is_nothing_to_tell(void **state)
{
	world_write("mappings", "ORIG_SEND_ACCESS\n  PORT_ACCESS $N\n\nPORT_ACCESS_X\n");
	world_service(state, SERVICE);
}

static void a_mappings_file_that_cannot_be_read_is_warned_of(void **state)
{
	struct world *w = *state;

	if (geteuid() == 0)
		skip(); /* root reads everything */
	world_write("mappings", "PORT_ACCESS\n");
	assert_int_equal(chmod("mappings", 0), 0);
	world_load(state, SERVICE);
	assert_non_null(strstr(w->told, "/mappings: cannot be read (Permission denied), so a table "
					"PORT_ACCESS in it would not be noticed\n"));
}

static void options_without_meaning_are_warned_of_and_ignored(void **state)
{
	struct world *w =
		world_load(state, "ASYNC_SWITCH=1\nBYTLM=200000\nUCX_HOLD=0\n[SERVICE=DISPATCHER]\n"
				  "use_nslog=1\n" SERVICE "IDENT=1\n");

	assert_int_equal(w->result, 0);
	assert_int_equal(w->s->warnings.count, 5);
	assert_non_null(
		strstr(w->told, "W main.cnf:9: IDENT has no meaning here; the line is ignored\n"));
}

static void a_genuine_legacy_file_loads_with_warnings_only(void **state)
{
	const struct service_settings *svc;
	struct world *w = world_load(state,
		"! VERSION=1.1\n! Global "
		"defaults\nMIN_PROCS=1\nMAX_PROCS=10\nMIN_CONNS=30\nMAX_CONNS=50\n"
		"MAX_SHUTDOWN=2\nMAX_LIFE_TIME=86400\nMAX_LIFE_CONNS=10000\nMAX_IDLE_TIME=600\n"
		"HISTORICAL_TIME=0\n!\n[SERVICE=SMTP]\nPORT=25\nIMAGE=IMTA_BIN:tcp_smtp_server\n"
		"LOGFILE=IMTA_LOG:tcp_smtp_server.log\n! "
		"INTERFACE_ADDRESS=\n!\n[SERVICE=SMTP_SUBMIT]\n"
		"PORT=587\nIMAGE=IMTA_BIN:tcp_smtp_server\nLOGFILE=IMTA_LOG:tcp_submit_server.log\n"
		"PARAMETER=CHANNEL=tcp_submit\n!\n[SERVICE=LMTPSS]\nPORT=225\nIMAGE=IMTA_BIN:tcp_"
		"lmtp_server\n"
		"LOGFILE=IMTA_LOG:tcp_lmtpss_server.log\nPARAMETER=CHANNEL=tcp_lmtpss\nSTACKSIZE="
		"2048000\n"
		"! INTERFACE_ADDRESS=\n");

	assert_int_equal(w->result, 0);
	assert_int_equal(w->s->services.count, 3);
	svc = settings_service(w->s, 2);
	assert_string_equal(settings_text(w->s, svc->name), "lmtpss");
	assert_int_equal(svc->stacksize, 2048000);
	assert_string_equal(settings_list_text(w->s, svc->parameters, 0), "CHANNEL=tcp_lmtpss");
	assert_string_equal(settings_text(w->s, svc->image), "/usr/bin/tcp_lmtp_server");
	assert_string_equal(settings_text(w->s, svc->logfile), "/run/test/tcp_lmtpss_server.log");
	assert_int_equal(svc->max_life_ms, 86400000);
}

static void the_shipped_example_needs_no_root_and_listens_on_loopback_only(void **state)
{
	struct world *w = world_load_file(state, getenv("EXAMPLE"));

	assert_int_equal(w->result, 0);
	assert_int_equal(w->s->services.count, 4);
	for (uint32_t i = 0; i < w->s->services.count; i++) {
		const struct service_settings *svc = settings_service(w->s, i);
		const struct settings_listener *l = settings_listeners(w->s, svc);

		assert_int_equal(svc->listeners.count, 1);
		assert_int_equal(l->addr.ip[0], 127);
		assert_true(l->addr.port > 1024);
	}
}

static void a_file_full_of_nonsense_is_not_told_line_by_line_for_ever(void **state)
{
	char *text = calloc(1, 20000 * 2 + 1), *line = text;
	unsigned lines = 0;

	for (unsigned i = 0; i < 20000; i++)
		line = stpcpy(line, "x\n");
	for (const char *c = world_refused(state, text); *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 1001);
	free(text);
}

static void the_hash_tells_whether_the_texts_are_the_same(void **state)
{
	struct world *w = *state;
	char first[SETTINGS_HASH_BYTES];

	world_write("inner.cnf", "MAX_CONNS=5\n");
	world_service(state, "<inner.cnf\n" SERVICE);
	strcpy(first, w->s->hash);
	world_service(state, "<inner.cnf\n" SERVICE);
	assert_string_equal(first, w->s->hash);
	world_write("inner.cnf", "MAX_CONNS=6\n");
	world_service(state, "<inner.cnf\n" SERVICE);
	assert_string_not_equal(first, w->s->hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(twelve_mistakes_in_two_files_are_twelve_messages_in_order),
		world_test(a_mistake_in_the_defaults_is_told_once_for_all_services),
		world_test(a_lost_access_control_is_told_first_and_kept),
		world_test(a_mappings_file_without_port_access_is_nothing_to_tell),
		world_test(a_mappings_file_that_cannot_be_read_is_warned_of),
		world_test(options_without_meaning_are_warned_of_and_ignored),
		world_test(a_genuine_legacy_file_loads_with_warnings_only),
		world_test(the_shipped_example_needs_no_root_and_listens_on_loopback_only),
		world_test(a_file_full_of_nonsense_is_not_told_line_by_line_for_ever),
		world_test(the_hash_tells_whether_the_texts_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
