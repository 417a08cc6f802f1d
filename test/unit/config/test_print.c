/* What is printed is what is in force: read again, it prints the same. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <errno.h>
#include <string.h>

static char *printed(const struct settings *s, const char *service)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(settings_print(s, service, out), 0);
	fclose(out);
	return text;
}

static const char everything[] =
	"MIN_PROCS=2\nENVIRONMENT=A=1 \"2\"\nDEBUG=16%30\n"
	"[SERVICE=FULL]\nPORT=7007, "
	"127.0.0.1:smtp\nPORT=[::1]:9,unix:/run/x\nBACKLOG=77\nSOCKET_MODE=0600\n"
	"SOCKET_USER=1234\nSOCKET_GROUP=mail\nIMAGE=/bin/true\nPARAMETER=A=b = c\nPARAMETER=D=\n"
	"LOGFILE=IMTA_LOG:%s.log\nSTACKSIZE=64K\nWORKING_DIRECTORY=/"
	"tmp\nUMASK=0\nNICE=7\nLIMIT_CPU=90s\n"
	"LIMIT_AS=3G\nLIMIT_CORE=0\nLIMIT_NOFILE=unlimited\nEXEMPT_SOURCES=10.0.0.0/8,2001:db8::/"
	"32\n"
	"SOURCE_PREFIX=24/"
	"56\nMAX_CONNS_PER_SOURCE=9\nHANDOFF_TIMEOUT=250ms\nLOG_CONNECTIONS=1\nENABLE=0\n"
	"[SERVICE=EXEC]\nPORT=0\nCOMMAND=/bin/sh -c 'a \"b\" \\c' \"\" "
	"it\\'s\nCONNECTION_TIMEOUT=90\n"
	"[SERVICE=SERVER]\nPORT=7011\nADAPTER=server\nCOMMAND=/bin/cat 'a b'\nADAPTER_METHOD=notify\n"
	"STOP_STYLE=eof\nSTOP_SIGNAL=34\nWHEN_FULL=refuse\nQUEUE_SIZE=3\nQUEUE_TIMEOUT=1500ms\n"
	"REFUSE_TEXT=421 4.3.2 = busy\n"
	"[SERVICE=DISPATCHER]\nRUN_DIR=/srv/d\nADMIN_GROUP=mail\nSHUTDOWN_TIMEOUT=0\n";

static void what_is_printed_reads_back_as_the_same(void **state)
{
	struct world *w = world_load(state, everything);
	char *first, *second;

	assert_int_equal(w->result, 0);
	first = printed(w->s, NULL);
	w = world_load(state, first);
	assert_int_equal(w->result, 0);
	second = printed(w->s, NULL);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

static void under_root_too_what_is_printed_reads_back_as_the_same(void **state)
{
	struct world *w = *state;
	char *first, *second;

	w->host.is_root = true;
	world_load(state,
		SERVICE "USER=mail\nGROUP=daemon\nSUPPLEMENTARY_GROUPS=nogroup 4711\n"
			"[SERVICE=B]\nPORT=7008\nIMAGE=/bin/true\nSUPPLEMENTARY_GROUPS=\n");
	assert_int_equal(w->result, 0);
	first = printed(w->s, NULL);
	assert_non_null(strstr(first, "\nUSER=mail\n"));
	assert_non_null(strstr(first, "\nUSER=nobody\n"));
	world_load(state, first);
	assert_int_equal(w->result, 0);
	second = printed(w->s, NULL);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

static void users_and_groups_are_printed_by_their_names_if_they_have_any(void **state)
{
	struct world *w = *state;
	char *text;

	w->host.is_root = true;
	world_load(state, SERVICE "USER=nobody\nGROUP=mail\n[SERVICE=B]\nPORT=7008\nIMAGE=/bin/true\n"
				  "USER=nobody\nGROUP=47110815\n"
				  "[SERVICE=DISPATCHER]\nADMIN_GROUP=mail\nUSER=daemon\n");
	assert_int_equal(w->result, 0);
	text = printed(w->s, NULL);
	assert_non_null(strstr(text, "\nADMIN_GROUP=mail\n"));
	assert_non_null(strstr(text, "\nUSER=daemon\n"));
	assert_non_null(strstr(text, "\nGROUP=mail\n"));
	assert_non_null(strstr(text, "\nGROUP=47110815\n"));
	free(text);
}

static void one_service_is_printed_by_its_name_in_any_case(void **state)
{
	struct world *w = world_load(state, everything);
	char *text = printed(w->s, "Exec");

	assert_int_equal(strncmp(text, "[SERVICE=exec]\n", 15), 0);
	assert_null(strstr(text + 1, "[SERVICE"));
	assert_non_null(strstr(text, "\nCOMMAND=/bin/sh -c \"a \\\"b\\\" \\\\c\" \"\" \"it's\"\n"));
	assert_non_null(strstr(text, "\nCONNECTION_TIMEOUT=90s\n"));
	assert_non_null(strstr(text, "\nPORT=0\n"));
	free(text);
	text = printed(w->s, "DISPATCHER");
	assert_int_equal(strncmp(text, "[SERVICE=DISPATCHER]\n", 21), 0);
	assert_non_null(strstr(text, "\nSHUTDOWN_TIMEOUT=0\n"));
	free(text);
}

static void an_unknown_service_is_not_printed(void **state)
{
	struct world *w = world_load(state, everything);
	FILE *out = fopen("/dev/null", "w");

	assert_int_equal(settings_print(w->s, "nobody", out), -ENOENT);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(what_is_printed_reads_back_as_the_same),
		world_test(under_root_too_what_is_printed_reads_back_as_the_same),
		world_test(users_and_groups_are_printed_by_their_names_if_they_have_any),
		world_test(one_service_is_printed_by_its_name_in_any_case),
		world_test(an_unknown_service_is_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
