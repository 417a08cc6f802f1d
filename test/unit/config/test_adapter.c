/* What kind of program serves, and what must go with it. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/diff.h"
#include "config/signals.h"

#include <elf.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define PORT   "[SERVICE=A]\nPORT=7007\n"
#define SERVER PORT "ADAPTER=server\nCOMMAND=/bin/cat -u\n"

static void a_server_is_its_own_image_and_has_the_limits_of_a_native_worker(void **state)
{
	const struct service_settings *svc = world_service(state, SERVER);
	struct world *w = *state;

	assert_int_equal(svc->adapter, ADAPTER_SERVER);
	assert_int_equal(svc->adapter_method, METHOD_PRELOAD);
	assert_string_equal(settings_text(w->s, svc->image), "/bin/cat");
	assert_int_equal(svc->command.count, 2);
	assert_string_equal(settings_list_text(w->s, svc->command, 0), "/bin/cat");
	assert_string_equal(settings_list_text(w->s, svc->command, 1), "-u");
	assert_int_equal(svc->max_procs, 10);
	assert_int_equal(svc->max_life_conns, 10000);
	assert_int_equal(svc->stop_style, STOP_SILENT);
	assert_int_equal(svc->stop_signal, SIGTERM);
}

static void the_kind_can_be_named_where_it_was_clear(void **state)
{
	assert_int_equal(world_service(state, PORT "ADAPTER=Native\nIMAGE=/bin/true\n")->adapter,
		ADAPTER_NATIVE);
	assert_int_equal(
		world_service(state, "WORKER_DIR=/bin\n" PORT "IMAGE=/bin/true\n")->adapter,
		ADAPTER_NATIVE);
	assert_int_equal(world_load(state, PORT "ADAPTER=inetd\nCOMMAND=/bin/cat\n")->result, 0);
	assert_int_equal(settings_service(((struct world *)*state)->s, 0)->adapter, ADAPTER_INETD);
	assert_int_equal(settings_service(((struct world *)*state)->s, 0)->max_procs, 1);
	assert_non_null(strstr(world_refused(state, PORT "ADAPTER=proxy\nIMAGE=/bin/true\n"),
		"E main.cnf:3: ADAPTER=proxy is wrong; write one of: native inetd server\n"));
}

static void what_does_not_go_with_the_kind_is_refused_with_the_remedy(void **state)
{
	static const struct {
		const char *lines, *told;
	} cases[] = {
		{"ADAPTER=server\n", "E main.cnf:3: ADAPTER=server needs COMMAND="},
		{"ADAPTER=server\nCOMMAND=/bin/cat\nIMAGE=/bin/cat\n",
			"E main.cnf:5: ADAPTER=server runs COMMAND and has no IMAGE; take out"},
		{"ADAPTER=inetd\n", "E main.cnf:3: ADAPTER=inetd needs COMMAND="},
		{"ADAPTER=inetd\nCOMMAND=/bin/cat\nIMAGE=/bin/cat\n",
			"E main.cnf:5: ADAPTER=inetd runs COMMAND and has no IMAGE; take out"},
		{"ADAPTER=native\n", "E main.cnf:3: ADAPTER=native needs IMAGE="},
		{"ADAPTER=native\nIMAGE=/bin/cat\nCOMMAND=/bin/cat\n",
			"E main.cnf:5: ADAPTER=native has no COMMAND; take out"},
		{"ADAPTER=native\nIMAGE=dispatcher-exec\n",
			"E main.cnf:4: dispatcher-exec runs a COMMAND; write ADAPTER=inetd"},
		{"IMAGE=/bin/cat\nADAPTER_METHOD=preload\n",
			"E main.cnf:4: ADAPTER_METHOD goes with ADAPTER=server only; take out"},
		{"ADAPTER=server\nCOMMAND=/bin/cat\nTLS_PORT=993\n",
			"E main.cnf:5: an unmodified server"},
		{"ADAPTER=server\nCOMMAND=/bin/cat\nADAPTER_METHOD=ptrace\n",
			"E main.cnf:5: ADAPTER_METHOD=ptrace is wrong; write one of: preload "
			"notify"},
		{"ADAPTER=server\nCOMMAND=/bin/cat\nSTOP_STYLE=loud\n",
			"E main.cnf:5: STOP_STYLE=loud is wrong; write one of: silent eof"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		OWNS_MEM char *text = NULL;

		assert_true(asprintf(&text, PORT "%s", cases[i].lines) > 0);
		assert_non_null(strstr(world_refused(state, text), cases[i].told));
	}
}

static void unix_sockets_and_notify_do_not_go_together(void **state)
{
	assert_non_null(strstr(
		world_refused(state, SERVER "PORT=unix:/run/x\nADAPTER_METHOD=notify\n"),
		"E main.cnf:5: unix:/run/x: connections of unix sockets cannot be counted with "
		"ADAPTER_METHOD=notify; listen on an address, or"));
	assert_int_equal(
		world_service(state, SERVER "PORT=unix:/run/x\n")->adapter_method, METHOD_PRELOAD);
	assert_int_equal(world_service(state, SERVER "ADAPTER_METHOD=notify\n")->adapter_method,
		METHOD_NOTIFY);
}

static void servers_have_no_more_connections_than_marks(void **state)
{
	assert_non_null(strstr(world_refused(state, SERVER "MAX_PROCS=100\nMAX_CONNS=10000\n"),
		"E main.cnf:6: with ADAPTER=server there can be 1048576 connections"));
	world_service(state, SERVER "MAX_PROCS=100\nMAX_SHUTDOWN=9\nMAX_CONNS=5000\n");
	assert_int_equal(
		world_load(state, PORT "IMAGE=/bin/cat\nMAX_PROCS=100\nMAX_CONNS=10000\n")->result,
		0);
}

static void servers_have_no_more_addresses_than_bits(void **state)
{
	char text[4096] = SERVER;
	size_t len = strlen(text);

	for (int i = 0; i < 62; i++)
		len += (size_t)sprintf(text + len, "PORT=127.0.0.1:%d\n", 3000 + i);
	world_service(state, text);
	sprintf(text + len, "PORT=127.0.0.1:3063\n");
	assert_non_null(strstr(world_refused(state, text),
		"with ADAPTER=server there can be 64 addresses to listen on; here are 65"));
}

static void a_server_that_is_not_there_is_a_warning(void **state)
{
	struct world *w = world_load(state, PORT "ADAPTER=server\nCOMMAND=/no/such -x\n");

	assert_int_equal(w->result, 0);
	assert_string_equal(w->told, "W main.cnf:4: COMMAND: there is no program /no/such; the "
				     "service will not start\n");
}

static void a_queue_that_nobody_waits_in_is_a_warning(void **state)
{
	struct world *w = world_load(state, "QUEUE_SIZE=7\n" SERVICE "REFUSE_TEXT=no\n");

	assert_int_equal(w->result, 0);
	assert_null(strstr(w->told, "QUEUE_SIZE"));
	assert_non_null(strstr(w->told, "REFUSE_TEXT is used by nobody; write WHEN_FULL=refuse\n"));
	w = world_load(state, SERVICE "WHEN_FULL=refuse\nREFUSE_TEXT=no\n");
	assert_null(strstr(w->told, "used by nobody"));
}

static void the_queue_is_off_unless_it_is_asked_for(void **state)
{
	const struct service_settings *svc = world_service(state, SERVICE);
	struct world *w = *state;

	assert_int_equal(svc->when_full, FULL_WAIT);
	assert_int_equal(svc->queue_size, 64);
	assert_int_equal(svc->queue_ms, 30000);
	assert_int_equal(svc->refuse_text, 0);
	svc = world_service(state,
		"REFUSE_TEXT=421 4.3.2 too busy, try later\nWHEN_FULL=refuse\n" SERVICE
		"QUEUE_SIZE=7\nQUEUE_TIMEOUT=2s\n[SERVICE=B]\nREFUSE_TEXT=\nPORT=7008\n"
		"IMAGE=/bin/true\n");
	assert_int_equal(svc->when_full, FULL_REFUSE);
	assert_int_equal(svc->queue_size, 7);
	assert_int_equal(svc->queue_ms, 2000);
	assert_string_equal(settings_text(w->s, svc->refuse_text), "421 4.3.2 too busy, try later");
	assert_int_equal(settings_service(w->s, 1)->refuse_text, 0);
}

static void a_refusal_that_is_more_than_a_line_is_refused(void **state)
{
	char text[700] = SERVICE "WHEN_FULL=refuse\nREFUSE_TEXT=";
	size_t len = strlen(text);

	memset(text + len, 'x', 511);
	assert_non_null(strstr(world_refused(state, text), "REFUSE_TEXT is longer than 510 bytes"));
	text[len + 510] = '\0';
	world_service(state, text);
	assert_non_null(strstr(world_refused(state, SERVICE "REFUSE_TEXT=421\rx\n"),
		"E main.cnf:4: byte 16 is the control character 0x0d; take it out"));
}

static void signals_have_names_and_numbers(void **state)
{
	uint32_t number = 0;

	assert_int_equal(signal_parse("quit", &number), 0);
	assert_int_equal(number, SIGQUIT);
	assert_int_equal(signal_parse("SIGWINCH", &number), 0);
	assert_int_equal(number, SIGWINCH);
	assert_int_equal(signal_parse("40", &number), 0);
	assert_int_equal(number, 40);
	for (uint32_t i = 1; i < 64; i++)
		if (signal_name(i) && !signal_parse(signal_name(i), &number))
			assert_int_equal(number, i);
}

static void a_signal_that_ends_nobody_is_refused(void **state)
{
	static const char *const wrong[] = {
		"STOP", "SIGCONT", "chld", "0", "65", "", "SIG", "TERMX", "-1"};
	uint32_t number;

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
		assert_true(signal_parse(wrong[i], &number) < 0);
	assert_non_null(strstr(world_refused(state, SERVER "STOP_SIGNAL=STOP\n"),
		"E main.cnf:5: STOP_SIGNAL=STOP is wrong; write a signal that can end a program"));
}

/* What has no value of its own type in the general test. */
static void another_kind_or_method_shows_as_a_difference(void **state)
{
	static const char *const files[][2] = {
		{PORT "ADAPTER=inetd\nCOMMAND=/bin/cat -u\n", SERVER},
		{SERVER, SERVER "ADAPTER_METHOD=notify\n"}};
	static const char *const words[] = {
		"max_procs 1 -> 10", "adapter_method preload -> notify"};

	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		struct world *w = world_load(state, files[i][0]);
		OWNS_MEM struct settings *old = w->s;
		OWNS_MEM struct diff *d = NULL;

		w->s = NULL;
		w = world_load(state, files[i][1]);
		d = diff_make(old, w->s);
		assert_int_equal(diff_check(d, d->bytes, old, w->s), 0);
		assert_true(diff_service(d, 0)->changes & SCHEMA_WORKERS);
		assert_non_null(strstr(diff_text(d, diff_service(d, 0)->words), words[i]));
	}
}

/* /bin/cat as ./cat, with a mode, and perhaps as if it were linked statically. */
static void copy_cat(unsigned mode, bool is_static)
{
	static char bytes[1 << 20];
	OWNS_FILE FILE *in = fopen("/bin/cat", "re"), *out = fopen("cat", "we");
	size_t len = fread(bytes, 1, sizeof(bytes), in);
	const ElfW(Ehdr) *head = (const void *)bytes;
	ElfW(Phdr) *segments = (void *)(bytes + head->e_phoff);

	for (unsigned i = 0; is_static && i < head->e_phnum; i++)
		if (segments[i].p_type == PT_INTERP)
			segments[i].p_type = PT_NULL;
	assert_int_equal(fwrite(bytes, 1, len, out), len);
	assert_int_equal(fchmod(fileno(out), mode), 0);
}

/* Loads a server that is ./cat, with more lines. */
static struct world *load_cat(void **state, const char *more)
{
	char text[300];

	snprintf(text, sizeof(text), PORT "ADAPTER=server\nCOMMAND=%s/cat\n%s",
		((struct world *)*state)->dir, more);
	return world_load(state, text);
}

static void the_method_is_what_the_program_needs(void **state)
{
	struct world *w;

	copy_cat(0755, true);
	w = load_cat(state, "");
	assert_string_equal(w->told, "");
	assert_int_equal(settings_service(w->s, 0)->adapter_method, METHOD_NOTIFY);
	copy_cat(0755, false);
	w = load_cat(state, "ADAPTER_METHOD=notify\n");
	assert_string_equal(w->told, "");
	assert_int_equal(settings_service(w->s, 0)->adapter_method, METHOD_NOTIFY);
}

static void a_method_that_the_program_cannot_have_is_refused(void **state)
{
	struct world *w;

	copy_cat(0755, true);
	w = load_cat(state, "ADAPTER_METHOD=preload\n");
	assert_int_not_equal(w->result, 0);
	assert_non_null(strstr(w->told, "E main.cnf:5: "));
	assert_non_null(strstr(w->told, "is linked statically"));
	assert_non_null(strstr(w->told, "; write ADAPTER_METHOD=notify\n"));
}

static void a_program_with_more_rights_needs_a_decision(void **state)
{
	struct world *w;

	copy_cat(04755, false);
	w = load_cat(state, "");
	assert_int_not_equal(w->result, 0);
	assert_non_null(strstr(w->told, "E main.cnf:4: "));
	assert_non_null(strstr(w->told, "has set-user-ID"));
	assert_non_null(
		strstr(w->told, "write ADAPTER_METHOD=notify, with which it may run without"));
	w = load_cat(state, "ADAPTER_METHOD=notify\n");
	assert_string_equal(w->told, "");
}

static void what_is_no_program_is_a_warning(void **state)
{
	struct world *w;

	world_write("cat", "hello\n");
	assert_int_equal(chmod("cat", 0755), 0);
	w = load_cat(state, "");
	assert_int_equal(w->result, 0);
	assert_non_null(strstr(w->told, "W main.cnf:4: COMMAND: "));
	assert_non_null(strstr(w->told, "is neither a program of this machine"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_server_is_its_own_image_and_has_the_limits_of_a_native_worker),
		world_test(the_kind_can_be_named_where_it_was_clear),
		world_test(what_does_not_go_with_the_kind_is_refused_with_the_remedy),
		world_test(unix_sockets_and_notify_do_not_go_together),
		world_test(servers_have_no_more_connections_than_marks),
		world_test(servers_have_no_more_addresses_than_bits),
		world_test(a_server_that_is_not_there_is_a_warning),
		world_test(the_method_is_what_the_program_needs),
		world_test(a_method_that_the_program_cannot_have_is_refused),
		world_test(a_program_with_more_rights_needs_a_decision),
		world_test(what_is_no_program_is_a_warning),
		world_test(a_queue_that_nobody_waits_in_is_a_warning),
		world_test(the_queue_is_off_unless_it_is_asked_for),
		world_test(a_refusal_that_is_more_than_a_line_is_refused),
		cmocka_unit_test(signals_have_names_and_numbers),
		world_test(a_signal_that_ends_nobody_is_refused),
		world_test(another_kind_or_method_shows_as_a_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
