/* What changes from one file to another, and what it takes. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/diff.h"

#include <errno.h>
#include <string.h>

#define SMTP "[SERVICE=smtp]\nPORT=127.0.0.1:7025\nIMAGE=/bin/true\n"
#define POP3 "[SERVICE=pop3]\nPORT=7110\nIMAGE=/bin/true\n"

struct pair {
	struct settings *old, *next;
	struct diff *diff;
};

static struct pair compare(void **state, const char *old, const char *next)
{
	struct pair p = {.old = world_settings(state, old), .next = world_settings(state, next)};

	p.diff = diff_make(p.old, p.next);
	assert_non_null(p.diff);
	assert_int_equal(diff_check(p.diff, p.diff->bytes, p.old, p.next), 0);
	return p;
}

static void end(struct pair *p)
{
	free(p->old);
	free(p->next);
	free(p->diff);
}

static void check_words(
	void **state, const char *old, const char *next, const uint32_t *workers, const char *words)
{
	struct pair p = compare(state, old, next);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	diff_print(p.diff, workers, out);
	fclose(out);
	assert_string_equal(text, words);
	free(text);
	end(&p);
}

static void the_same_file_with_other_comments_and_order_changes_nothing(void **state)
{
	struct pair p = compare(state, SMTP POP3, "! hello\nMIN_PROCS=1\n\n" POP3 "#\n" SMTP);

	assert_int_equal(p.diff->services.count, 2);
	assert_int_equal(diff_service(p.diff, 0)->kind, DIFF_SAME);
	assert_int_equal(diff_service(p.diff, 0)->old, 1);
	assert_int_equal(diff_service(p.diff, 1)->kind, DIFF_SAME);
	assert_int_equal(diff_service(p.diff, 1)->old, 0);
	assert_int_equal(p.diff->changes, 0);
	end(&p);
	check_words(state, SMTP, "! other\n" SMTP, NULL, "nothing changes\n");
}

static void each_service_is_told_in_a_line_of_its_own(void **state)
{
	check_words(state, SMTP "MAX_PROCS=20\n" POP3 "[SERVICE=old]\nPORT=7007\nIMAGE=/bin/true\n",
		SMTP "MAX_PROCS=40\n[SERVICE=pop3]\nPORT=7110\nIMAGE=/bin/false\n"
		     "[SERVICE=imap]\nPORT=7143\nIMAGE=/bin/true\n",
		(uint32_t[]){20, 4, 1},
		"smtp: max_procs 20 -> 40, no worker is touched\n"
		"pop3: image changed, 4 workers will be replaced\n"
		"imap: new, port 7143\n"
		"old: gone, port 7007, 1 worker will retire\n");
}

static void without_a_count_it_speaks_of_its_workers(void **state)
{
	check_words(state, SMTP, SMTP "UMASK=077\nNICE=3\n", NULL,
		"smtp: umask 022 -> 077, nice 0 -> 3, its workers will be replaced\n");
}

static void ports_that_come_and_go_are_told_by_address(void **state)
{
	check_words(state, SMTP "PORT=7026\n", SMTP "PORT=7027,unix:/run/x\n", NULL,
		"smtp: port 7027 added, port unix:/run/x added, port 7026 removed, no worker is "
		"touched\n");
}

static void a_port_that_is_added_to_an_unmodified_server_replaces_its_workers(void **state)
{
	const char server[] = "[SERVICE=smtp]\nADAPTER=server\nCOMMAND=/bin/true\nPORT=7025\n";
	char more[sizeof(server) + 16];

	snprintf(more, sizeof(more), "%sPORT=7026\n", server);
	check_words(state, server, more, NULL,
		"smtp: port 7026 added, its workers will be replaced\n");
	check_words(state, more, server, NULL, "smtp: port 7026 removed, no worker is touched\n");
}

static void disabling_and_enabling_are_told(void **state)
{
	check_words(state, SMTP, SMTP "ENABLE=0\n", NULL,
		"smtp: disabled, its workers will retire\n");
	check_words(state, SMTP "ENABLE=0\n", SMTP, NULL, "smtp: enabled\n");
	check_words(state, SMTP "ENABLE=0\n", SMTP "ENABLE=0\nMIN_PROCS=2\n", NULL,
		"smtp: min_procs 1 -> 2, not enabled\n");
}

static void listeners_are_matched_by_address(void **state)
{
	struct pair p = compare(state, SMTP "PORT=127.0.0.1:1,127.0.0.1:2,unix:/a\n",
		"[SERVICE=smtp]\nIMAGE=/bin/true\n"
		"PORT=unix:/a,127.0.0.1:3,127.0.0.1:2\n");
	const struct diff_service *svc = diff_service(p.diff, 0);
	const struct diff_listener expected[] = {
		{3, 0}, {DIFF_NONE, 1}, {2, 2}, {0, DIFF_NONE}, {1, DIFF_NONE}};

	assert_int_equal(svc->kind, DIFF_CHANGED);
	assert_int_equal(svc->changes, SCHEMA_LISTENERS | SCHEMA_TOLD);
	assert_int_equal(svc->listeners.count, ARRAY_LEN(expected));
	assert_memory_equal(diff_listeners(p.diff, svc), expected, sizeof(expected));
	end(&p);
}

static void an_address_that_another_one_holds_is_refused_with_both_named(void **state)
{
	struct pair p = compare(state, SMTP POP3, "[SERVICE=smtp]\nPORT=7025\nIMAGE=/bin/true\n");

	assert_int_equal(p.diff->refusals.count, 1);
	assert_string_equal(diff_refusal(p.diff, 0),
		"main.cnf:2: 0.0.0.0:7025 of service smtp overlaps 127.0.0.1:7025, which service smtp "
		"has in the configuration in force; reload once with the one taken out, then again with "
		"the other put in");
	end(&p);
	p = compare(state, SMTP POP3, SMTP "PORT=127.0.0.1:7110\n");
	assert_int_equal(p.diff->refusals.count, 1);
	end(&p);
}

static void what_a_disabled_service_names_can_be_had(void **state)
{
	struct pair p = compare(state, SMTP POP3 "ENABLE=0\n", SMTP "PORT=7110\n");

	assert_int_equal(p.diff->refusals.count, 0);
	end(&p);
	p = compare(state, SMTP POP3, SMTP "ENABLE=0\n" POP3 "PORT=127.0.0.1:7025\n");
	assert_int_equal(p.diff->refusals.count, 1);
	end(&p);
}

static void what_cannot_change_while_it_runs_is_refused_with_the_remedy(void **state)
{
	struct pair p = compare(state, SMTP, "RUN_DIR=/run/other\n" SMTP);

	assert_int_equal(p.diff->refusals.count, 3); /* its state and control socket lie in it */
	assert_string_equal(diff_refusal(p.diff, 0),
		"RUN_DIR cannot change while the dispatcher runs; restart the dispatcher, or write "
		"what it was");
	end(&p);
}

/* --- the table --- */

/* Two values of an option that differ in the settings. */
static const char *sample(const struct schema_option *o, bool second)
{
	static const struct {
		enum schema_type type;
		const char *values[2];
	} samples[] = {{SCHEMA_NUMBER, {"20", "21"}}, {SCHEMA_COUNT, {"20", "21"}},
		{SCHEMA_TIME, {"20s", "21s"}}, {SCHEMA_SIZE, {"1M", "2M"}},
		{SCHEMA_BOOL, {"0", "1"}}, {SCHEMA_MASK, {"0", "-1"}},
		{SCHEMA_MODE, {"0600", "0640"}}, {SCHEMA_NICE, {"3", "4"}},
		{SCHEMA_PREFIX_BITS, {"24/64", "24/56"}}, {SCHEMA_PATH, {"/usr", "/tmp"}},
		{SCHEMA_LOGFILE, {"stderr", "/tmp/log"}}, {SCHEMA_USER, {"mail", "games"}},
		{SCHEMA_GROUP, {"mail", "games"}}, {SCHEMA_RLIMIT_COUNT, {"99", "unlimited"}},
		{SCHEMA_RLIMIT_SIZE, {"1G", "2G"}}, {SCHEMA_RLIMIT_TIME, {"20s", "21s"}},
		{SCHEMA_PAIRS, {"A=1", "A=2"}}, {SCHEMA_VARIABLES, {"A=1", "A=2"}},
		{SCHEMA_SOURCES, {"10.0.0.0/8", "10.0.0.0/9"}},
		{SCHEMA_PORTS, {"7001", "7002"}}, {SCHEMA_ADDRESSES, {"127.0.0.1", "::1"}},
		{SCHEMA_IMAGE, {"/bin/true", "/bin/false"}},
		{SCHEMA_COMMAND, {"/bin/true a", "/bin/true b"}},
		{SCHEMA_RUN_USER, {"mail", "games"}}, {SCHEMA_RUN_GROUP, {"mail", "games"}},
		{SCHEMA_RUN_GROUPS, {"mail", "games,mail"}}, {SCHEMA_SIGNAL, {"QUIT", "INT"}},
		{SCHEMA_TEXT, {"busy", "away"}}, {SCHEMA_SAID, {"A:B", "C"}}, {SCHEMA_FILE, {"/a", "/b"}},
		{SCHEMA_PROTOCOLS, {"a", "b"}}};

	if (o->type == SCHEMA_WORD && !strstr(o->name, "ADAPTER") && !strstr(o->name, "CLIENT"))
		return second ? strchr(o->words, ' ') + 1 : o->initial;
	for (unsigned i = 0; i < ARRAY_LEN(samples); i++)
		if (samples[i].type == o->type)
			return samples[i].values[second];
	return NULL;
}

/* A file in which just this option has its first or second value. */
static char *file_with(const struct schema_option *o, bool in_service, bool second)
{
	const char *command = o->type == SCHEMA_COMMAND ? "" : "IMAGE=/bin/true\n";
	const char *port = o->type == SCHEMA_PORTS ? "" : "PORT=7000\n";
	char line[128], *text = NULL;

	snprintf(line, sizeof(line), "%s=%s\n", o->name, sample(o, second));
	if (o->type == SCHEMA_IMAGE)
		command = "";
	assert_true(asprintf(&text,
			    "[SERVICE=DISPATCHER]\n%s[SERVICE=a]\nUSER=nobody\nSOCKET_MODE=0660\n%s%s%s",
			    in_service ? "" : line, port, command, in_service ? line : "") > 0);
	return text;
}

static void check_option(void **state, const struct schema_option *o, bool in_service)
{
	OWNS_MEM char *first = file_with(o, in_service, false);
	OWNS_MEM char *second = file_with(o, in_service, true);
	struct pair p = compare(state, first, second);
	const struct diff_service *svc = diff_service(p.diff, 0);
	const char *words = diff_text(p.diff, in_service ? svc->words : p.diff->words);
	unsigned change = in_service ? o->change : o->own_change;

	if (o->type == SCHEMA_ADDRESSES)
		change = schema_get("PORT")->change;
	if (!*words || ((in_service ? svc->changes : p.diff->changes) & change) != change)
		fail_msg("%s does not show: '%s'", o->name, words);
	if (change & SCHEMA_RESTART)
		assert_true(p.diff->refusals.count > 0);
	end(&p);
	p = compare(state, first, first);
	assert_int_equal(diff_service(p.diff, 0)->kind, DIFF_SAME);
	assert_int_equal(p.diff->words, 0);
	end(&p);
}

static void whichever_option_changes_it_shows(void **state)
{
	struct world *w = *state;
	unsigned checked = 0;

	w->host.is_root = true;
	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *o = schema_at(i);

		if (!sample(o, false))
			continue;
		if (o->scope & SCHEMA_IN_SERVICE)
			check_option(state, o, true);
		if (o->scope & SCHEMA_IN_DISPATCHER)
			check_option(state, o, false);
		checked++;
	}
	assert_true(checked > 50);
}

/* What an option means to a running dispatcher cannot be forgotten when one is added. */
static void every_option_with_a_value_says_what_its_change_takes(void **state)
{
	static const char *const by_others[] = {"WORKER_DIR", "LOG_DIR"};
	unsigned without = 0;

	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *o = schema_at(i);

		assert_true(!o->change == !o->service_at);
		if (!o->dispatcher_at || o->own_change)
			continue;
		assert_string_equal(o->name, by_others[without]);
		without++;
	}
	assert_int_equal(without, ARRAY_LEN(by_others));
}

/* --- a result from elsewhere --- */

static void a_result_about_other_settings_is_refused(void **state)
{
	struct pair p = compare(state, SMTP POP3, SMTP POP3 "PORT=7111\n");
	struct settings *third = world_settings(state, POP3);

	assert_int_equal(diff_check(p.diff, p.diff->bytes, third, p.next), -EBADMSG);
	assert_int_equal(diff_check(p.diff, p.diff->bytes, p.old, third), -EBADMSG);
	for (size_t cut = 0; cut < p.diff->bytes; cut++)
		assert_int_equal(diff_check(p.diff, cut, p.old, p.next), -EBADMSG);
	free(third);
	end(&p);
}

static void whatever_passes_the_check_can_be_read_safely(void **state)
{
	struct pair p = compare(state, SMTP "PORT=7026\n" POP3,
		"RUN_DIR=/x\n" SMTP "PORT=7027\n[SERVICE=imap]\nPORT=7110\nIMAGE=/bin/true\n");
	static const uint32_t values[] = {0, 1, 2, 8, 0x7fffffff, UINT32_MAX, 4096};
	struct diff *copy = malloc(p.diff->bytes);
	FILE *out = fopen("/dev/null", "w");
	unsigned refused = 0;

	for (size_t at = 0; at + 4 <= p.diff->bytes; at += 4) {
		for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
			memcpy(copy, p.diff, p.diff->bytes);
			memcpy((char *)copy + at, &values[i], 4);
			if (diff_check(copy, p.diff->bytes, p.old, p.next) == 0)
				diff_print(copy, NULL, out);
			else
				refused++;
		}
	}
	assert_true(refused > 100);
	fclose(out);
	free(copy);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_same_file_with_other_comments_and_order_changes_nothing),
		world_test(each_service_is_told_in_a_line_of_its_own),
		world_test(without_a_count_it_speaks_of_its_workers),
		world_test(ports_that_come_and_go_are_told_by_address),
		world_test(a_port_that_is_added_to_an_unmodified_server_replaces_its_workers),
		world_test(disabling_and_enabling_are_told),
		world_test(listeners_are_matched_by_address),
		world_test(an_address_that_another_one_holds_is_refused_with_both_named),
		world_test(what_a_disabled_service_names_can_be_had),
		world_test(what_cannot_change_while_it_runs_is_refused_with_the_remedy),
		world_test(whichever_option_changes_it_shows),
		cmocka_unit_test(every_option_with_a_value_says_what_its_change_takes),
		world_test(a_result_about_other_settings_is_refused),
		world_test(whatever_passes_the_check_can_be_read_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
