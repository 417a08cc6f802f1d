/* What stays in the tables although the file has it no more. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/tables.h"

#include <errno.h>
#include <string.h>

#define SMTP "[SERVICE=smtp]\nPORT=127.0.0.1:7025,127.0.0.1:7026\nIMAGE=/bin/true\n"
#define POP3 "[SERVICE=pop3]\nPORT=127.0.0.1:7110\nIMAGE=/bin/true\n"

/* Many options, so that a text of the old block that is forgotten shows. */
#define RICH \
	"[SERVICE=rich]\nPORT=127.0.0.1:7200,unix:/tmp/rich\nCOMMAND=/bin/cat -n x\n" \
	"PARAMETER=A=1\nPARAMETER=B=2\nENVIRONMENT=C=3\nLOGFILE=/tmp/rich.log\nMAX_PROCS=7\n" \
	"TLS_PORT=127.0.0.1:7201\nTLS_CERT=/a\nTLS_KEY=/b\nTLS_SNI=x /c /d\nTLS_ALPN=e\n" \
	"TLS_CLIENT_CA=/f\nTLS_CLIENT_AUTH=require\nTLS_CIPHERSUITES=g\n" \
	"WORKING_DIRECTORY=/tmp\nMAX_CONNS_PER_SOURCE=5\nEXEMPT_SOURCES=10.0.0.0/8,::1\n"

static struct settings *make(const struct settings *file, const struct settings *before, bool keep_all)
{
	bool keep[8];
	struct settings *made;

	for (int i = 0; i < 8; i++)
		keep[i] = keep_all;
	made = tables_make(file, before, keep);
	assert_non_null(made);
	assert_int_equal(settings_check(made, made->bytes), 0);
	return made;
}

static char *printed(const struct settings *s, const char *service)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(settings_print(s, service, out), 0);
	fclose(out);
	return text;
}

static void the_same_file_makes_the_same_tables(void **state)
{
	struct settings *file = world_settings(state, RICH SMTP), *made = make(file, file, true);
	char *one = printed(file, NULL), *other = printed(made, NULL);

	assert_string_equal(one, other);
	assert_int_equal(made->services.count, 2);
	free(one);
	free(other);
	free(file);
	free(made);
}

static void a_service_that_is_gone_stays_whole_while_it_is_kept(void **state)
{
	struct settings *before = world_settings(state, RICH SMTP), *file = world_settings(state, POP3);
	struct settings *made = make(file, before, true);
	const struct service_settings *rich = settings_service(made, 1);
	char *one = printed(before, "rich"), *other;

	assert_int_equal(made->services.count, 3);
	assert_int_equal(tables_find(made, "pop3"), 0);
	assert_int_equal(tables_find(made, "rich"), 1);
	assert_true(rich->leaving);
	assert_false(rich->enabled);
	assert_int_equal(settings_print(made, "rich", stderr), -ENOENT);
	((struct service_settings *)rich)->enabled = 1;
	((struct service_settings *)rich)->leaving = 0;
	for (uint32_t i = 0; i < rich->listeners.count; i++)
		((struct settings_listener *)settings_listeners(made, rich))[i].leaving = 0;
	other = printed(made, "rich"); /* but for what says that it leaves, it is the same */
	assert_string_equal(one, other);
	free(one);
	free(other);
	free(before);
	free(file);
	free(made);
}

static void a_service_that_is_gone_and_not_kept_is_gone(void **state)
{
	struct settings *before = world_settings(state, RICH SMTP), *file = world_settings(state, POP3);
	struct settings *made = make(file, before, false);

	assert_int_equal(made->services.count, 1);
	assert_int_equal(tables_find(made, "smtp"), UINT32_MAX);
	free(before);
	free(file);
	free(made);
}

static void a_service_that_comes_back_is_leaving_no_more(void **state)
{
	struct settings *before = world_settings(state, SMTP POP3), *file = world_settings(state, POP3);
	struct settings *without = make(file, before, true), *again = make(before, without, true);

	assert_int_equal(without->services.count, 2);
	assert_int_equal(again->services.count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_false(settings_service(again, i)->leaving);
		assert_true(settings_service(again, i)->enabled);
	}
	assert_false(settings_listeners(again, settings_service(again, 0))[1].leaving);
	free(before);
	free(file);
	free(without);
	free(again);
}

static void assert_listener(const struct settings *s, uint32_t index, const char *name, bool leaving)
{
	const struct settings_listener *l = &settings_listeners(s, settings_service(s, 0))[index];

	assert_string_equal(settings_text(s, l->name), name);
	assert_int_equal(l->leaving, leaving);
}

static void a_listener_keeps_its_index_whatever_comes_and_goes(void **state)
{
	struct settings *a = world_settings(state,
		"[SERVICE=s]\nPORT=127.0.0.1:71,127.0.0.1:72\nIMAGE=/bin/true\n");
	struct settings *b = world_settings(state,
		"[SERVICE=s]\nPORT=127.0.0.1:73,127.0.0.1:72\nIMAGE=/bin/true\n");
	struct settings *ab = make(b, a, false), *aba = make(a, ab, false);
	char *text;

	assert_int_equal(settings_service(ab, 0)->listeners.count, 3);
	assert_listener(ab, 0, "127.0.0.1:71", true);
	assert_listener(ab, 1, "127.0.0.1:72", false);
	assert_listener(ab, 2, "127.0.0.1:73", false);
	text = printed(ab, NULL);
	assert_null(strstr(text, "127.0.0.1:71"));
	free(text);
	assert_int_equal(settings_service(aba, 0)->listeners.count, 3);
	assert_listener(aba, 0, "127.0.0.1:71", false);
	assert_listener(aba, 1, "127.0.0.1:72", false);
	assert_listener(aba, 2, "127.0.0.1:73", true);
	free(a);
	free(b);
	free(ab);
	free(aba);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_same_file_makes_the_same_tables),
		world_test(a_service_that_is_gone_stays_whole_while_it_is_kept),
		world_test(a_service_that_is_gone_and_not_kept_is_gone),
		world_test(a_service_that_comes_back_is_leaving_no_more),
		world_test(a_listener_keeps_its_index_whatever_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
