/* The options of TLS: what they mean together, and where what is wrong is told. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/diff.h"

#include <string.h>

#define PAIR "TLS_CERT=/etc/a.pem\nTLS_KEY=/etc/a.key\n"

static void a_tls_port_is_a_listener_that_is_marked(void **state)
{
	struct world *w = *state;
	const struct service_settings *svc = world_service(state, SERVICE PAIR "TLS_PORT=127.0.0.1:465,unix:/x\n");
	const struct settings_listener *list = settings_listeners(w->s, svc);

	assert_int_equal(svc->listeners.count, 4);
	assert_int_equal(list[0].tls, 0);
	assert_int_equal(list[1].tls, 0);
	assert_int_equal(list[2].tls, 1);
	assert_string_equal(settings_text(w->s, list[2].name), "127.0.0.1:465");
	assert_int_equal(list[3].tls, 1);
}

static void the_names_that_other_dispatchers_have_for_it_will_do(void **state)
{
	static const char *const names[] = {"ssl_ports", "TLS_PORTS", "ssl_port"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		const struct service_settings *svc;
		struct world *w = *state;
		char text[256];

		snprintf(text, sizeof(text), "%s[SERVICE=A]\nIMAGE=/bin/true\n%s=465\n", PAIR, names[i]);
		svc = world_service(state, text);
		assert_int_equal(settings_listeners(w->s, svc)[0].tls, 1);
	}
}

static void a_tls_port_alone_is_enough(void **state)
{
	world_service(state, "[SERVICE=A]\nIMAGE=/bin/true\nTLS_PORT=465\n" PAIR);
	assert_string_equal(world_refused(state, "[SERVICE=A]\nIMAGE=/bin/true\nTLS_PORT=0\n"),
		"E main.cnf:1: service a has no PORT; write PORT=number, or PORT=0 to disable it\n");
	assert_non_null(strstr(world_refused(state,
				       "[SERVICE=A]\nIMAGE=/bin/true\nPORT=0\nTLS_PORT=465\n" PAIR),
		"E main.cnf:3: PORT is 0, which disables the service, and TLS_PORT names ports"));
}

static void an_address_has_tls_or_not(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "TLS_PORT=127.0.0.1:7007\n" PAIR),
		"E main.cnf:4: 127.0.0.1:7007 is already listened on by main.cnf:2; one of the two must "
		"go\n");
}

static void a_tls_port_needs_a_certificate(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "TLS_PORT=465\n"),
		"E main.cnf:4: TLS_PORT needs a certificate; write TLS_CERT=file and TLS_KEY=file\n");
}

static void an_unmodified_server_has_no_tls_port(void **state)
{
	assert_non_null(strstr(world_refused(state,
				       "[SERVICE=A]\nADAPTER=server\nCOMMAND=/bin/true\nPORT=25\n"
				       "TLS_PORT=465\n" PAIR),
		"E main.cnf:5: an unmodified server (ADAPTER=server) cannot be given a TLS_PORT; let it "
		"speak TLS itself on a PORT, or use ADAPTER=inetd or native\n"));
}

static void each_certificate_needs_a_key(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "TLS_CERT=/a\nTLS_CERT=/b\nTLS_KEY=/c\n"),
		"E main.cnf:5: there are 2 TLS_CERT and 1 TLS_KEY; write one TLS_KEY for each TLS_CERT, in "
		"the same order (it may be the same file)\n");
	assert_non_null(strstr(world_refused(state, SERVICE "TLS_KEY=/c\n"), "E main.cnf:4: there are 0"));
}

static void pairs_keep_their_order_and_their_places(void **state)
{
	struct world *w = *state;
	const struct service_settings *svc = world_service(
		state, SERVICE "TLS_CERT=/a\nTLS_CERT=/b\nTLS_KEY=/c\nTLS_KEY=/d\n");
	const struct settings_said *certs = settings_list_data(w->s, svc->tls_certs);
	const struct settings_said *keys = settings_list_data(w->s, svc->tls_keys);

	assert_int_equal(svc->tls_certs.count, 2);
	assert_string_equal(settings_text(w->s, certs[1].text), "/b");
	assert_string_equal(settings_text(w->s, certs[1].where), "main.cnf:5");
	assert_string_equal(settings_text(w->s, keys[1].text), "/d");
	assert_string_equal(settings_text(w->s, keys[1].where), "main.cnf:7");
}

static void names_are_told_apart_from_what_is_none(void **state)
{
	struct world *w = *state;
	const struct service_settings *svc = world_service(
		state, SERVICE PAIR "TLS_SNI=Mail.Example.ORG /a\t/b\nTLS_SNI=*.example.org /c /d\n");
	const struct settings_sni *snis = settings_list_data(w->s, svc->tls_snis);
	static const char *const wrong[] = {"*", "*.", "a..b", ".a", "a.", "*.*.a", "a*.b", "a/b"};

	assert_int_equal(svc->tls_snis.count, 2);
	assert_string_equal(settings_text(w->s, snis[0].name), "mail.example.org");
	assert_string_equal(settings_text(w->s, snis[1].name), "*.example.org");
	assert_string_equal(settings_text(w->s, snis[1].key), "/d");
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[256];

		snprintf(text, sizeof(text), "%s%sTLS_SNI=%s /a /b\n", SERVICE, PAIR, wrong[i]);
		assert_non_null(strstr(world_refused(state, text), "main.cnf:6: TLS_SNI: "));
	}
	assert_non_null(strstr(world_refused(state, SERVICE PAIR "TLS_SNI=a /b\n"), "main.cnf:6: TLS_SNI=a"));
	assert_non_null(strstr(world_refused(state, SERVICE PAIR "TLS_SNI=a b c\n"), "no full path"));
	assert_non_null(strstr(world_refused(state, SERVICE "TLS_SNI=a /b /c\n"), "needs a TLS_CERT"));
}

static void who_asks_clients_must_know_authorities(void **state)
{
	struct world *w;

	assert_non_null(strstr(world_refused(state, SERVICE PAIR "TLS_CLIENT_AUTH=require\n"),
		"E main.cnf:6: TLS_CLIENT_AUTH needs TLS_CLIENT_CA=file"));
	w = world_load(state, SERVICE PAIR "TLS_CLIENT_CA=/ca.pem\n");
	assert_int_equal(w->result, 0);
	assert_non_null(strstr(w->told, "W main.cnf:6: TLS_CLIENT_CA is used by nobody"));
	assert_int_equal(world_service(state, SERVICE PAIR "TLS_CLIENT_CA=/c\nTLS_CLIENT_AUTH=Optional\n")
				 ->tls_client_auth,
		CLIENT_AUTH_OPTIONAL);
}

static void without_a_word_of_it_there_is_no_tls_but_its_defaults(void **state)
{
	struct world *w = *state;
	const struct service_settings *svc = world_service(state, SERVICE);

	assert_false(settings_has_tls(w->s, svc));
	assert_int_equal(svc->tls_min_version, TLS_VERSION_1_2);
	assert_int_equal(svc->tls_handshake_ms, 30000);
	assert_int_equal(svc->tls_ticket_ms, 12 * 3600000);
	assert_int_equal(svc->tls_ciphers.where, 0);
}

static void a_native_worker_gets_certificates_without_a_port_and_a_command_does_not(void **state)
{
	struct world *w = *state;

	world_load(state, PAIR SERVICE);
	assert_true(settings_has_tls(w->s, settings_service(w->s, 0)));
	world_load(state, PAIR "[SERVICE=A]\nPORT=7\nCOMMAND=/bin/cat\n");
	assert_false(settings_has_tls(w->s, settings_service(w->s, 0)));
	assert_null(strstr(w->told, "TLS_CERT"));
	world_load(state, "[SERVICE=A]\nPORT=7\nTLS_PORT=8\nCOMMAND=/bin/cat\n" PAIR);
	assert_true(settings_has_tls(w->s, settings_service(w->s, 0)));
	world_load(state, "[SERVICE=A]\nPORT=7\nCOMMAND=/bin/cat\n" PAIR);
	assert_non_null(strstr(w->told, "W main.cnf:4: TLS_CERT is used by nobody"));
}

static unsigned changes(void **state, const char *old, const char *next, const char *words)
{
	OWNS_MEM struct settings *was = world_settings(state, old), *is = world_settings(state, next);
	OWNS_MEM struct diff *d = diff_make(was, is);

	assert_int_equal(diff_check(d, d->bytes, was, is), 0);
	if (words)
		assert_string_equal(diff_text(d, diff_service(d, 0)->words), words);
	return diff_service(d, 0)->changes;
}

static void another_certificate_touches_no_worker(void **state)
{
	assert_int_equal(changes(state, SERVICE PAIR, SERVICE PAIR "TLS_SNI=a /b /c\n", "tls_sni changed"),
		SCHEMA_TLS);
	assert_int_equal(changes(state, SERVICE PAIR, SERVICE PAIR "TLS_TICKET_LIFETIME=1d\n",
				 "tls_ticket_lifetime 12h -> 1d"),
		SCHEMA_TLS);
	assert_int_equal(changes(state, PAIR SERVICE, "!\n" PAIR SERVICE, NULL), 0);
}

static void a_port_that_begins_to_speak_tls_replaces_the_workers(void **state)
{
	assert_int_equal(changes(state, SERVICE PAIR, SERVICE PAIR "TLS_PORT=465\n", "tls port 465 added") &
				 (SCHEMA_WORKERS | SCHEMA_LISTENERS),
		SCHEMA_LISTENERS);
	assert_true(changes(state, SERVICE PAIR "PORT=465\n", SERVICE PAIR "TLS_PORT=465\n",
			    "tls port 465 was plain") &
		    SCHEMA_WORKERS);
	assert_true(changes(state, SERVICE PAIR "TLS_PORT=465\n", SERVICE PAIR "PORT=465\n",
			    "port 465 was tls") &
		    SCHEMA_WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_tls_port_is_a_listener_that_is_marked),
		world_test(the_names_that_other_dispatchers_have_for_it_will_do),
		world_test(a_tls_port_alone_is_enough),
		world_test(an_address_has_tls_or_not),
		world_test(a_tls_port_needs_a_certificate),
		world_test(an_unmodified_server_has_no_tls_port),
		world_test(each_certificate_needs_a_key),
		world_test(pairs_keep_their_order_and_their_places),
		world_test(names_are_told_apart_from_what_is_none),
		world_test(who_asks_clients_must_know_authorities),
		world_test(without_a_word_of_it_there_is_no_tls_but_its_defaults),
		world_test(a_native_worker_gets_certificates_without_a_port_and_a_command_does_not),
		world_test(another_certificate_touches_no_worker),
		world_test(a_port_that_begins_to_speak_tls_replaces_the_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
