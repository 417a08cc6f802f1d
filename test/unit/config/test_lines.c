/* Lines and files: what works, and a clear word where something else would be misread. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/source.h"

#include <string.h>
#include <sys/stat.h>

static void comments_begin_lines_and_nothing_in_a_value_is_one(void **state)
{
	const struct service_settings *svc = world_service(
		state, "! one\n# two\n; three\n  ! four\n" SERVICE "PARAMETER=A=b ; c # d ! e\n");
	struct world *w = *state;

	assert_string_equal(settings_list_text(w->s, svc->parameters, 0), "A=b ; c # d ! e");
}

static void names_may_be_written_in_any_case_with_blanks_around(void **state)
{
	const struct service_settings *svc = world_service(state,
		"[ service = SMTP_x.1-Y ]\r\n\tport\t= 7007 \r\n Image =/bin/true\r\nmax_Procs=7");
	struct world *w = *state;

	assert_string_equal(settings_text(w->s, svc->name), "smtp_x.1-y");
	assert_string_equal(settings_text(w->s, svc->where), "main.cnf:1");
	assert_int_equal(svc->max_procs, 7);
}

static void an_indented_line_is_a_line_of_its_own(void **state)
{
	assert_int_equal(
		world_service(state, SERVICE "MAX_PROCS=3\n  MAX_CONNS=40\n")->max_conns, 40);
}

static void a_byte_order_mark_is_skipped(void **state)
{
	assert_int_equal(world_service(state, "\xef\xbb\xbfMAX_PROCS=3\n" SERVICE)->max_procs, 3);
}

static void a_value_keeps_its_further_equals_signs_and_quotes(void **state)
{
	const struct service_settings *svc = world_service(
		state, SERVICE "PARAMETER=CHANNEL=tcp_lmtpss\nPARAMETER=Q=\"x = y\"\n");
	struct world *w = *state;

	assert_string_equal(settings_list_text(w->s, svc->parameters, 0), "CHANNEL=tcp_lmtpss");
	assert_string_equal(settings_list_text(w->s, svc->parameters, 1), "Q=\"x = y\"");
}

static void a_line_may_have_4096_bytes_and_no_more(void **state)
{
	char text[8192] = SERVICE "PARAMETER=", *value;
	struct world *w = *state;
	const struct service_settings *svc;

	value = text + strlen(text);
	memset(value, 'x', SOURCE_LINE_BYTES - strlen("PARAMETER="));
	value[1] = '=';
	svc = world_service(state, text);
	assert_string_equal(settings_list_text(w->s, svc->parameters, 0), value);
	strcat(text, "x");
	assert_string_equal(world_refused(state, text),
		"E main.cnf:4: the line has 4097 bytes; at most 4096 are allowed\n");
}

static void a_nul_or_control_character_is_refused_with_its_place(void **state)
{
	struct world *w = *state;
	FILE *file = fopen("nul.cnf", "w");

	fwrite("MAX_PROCS=3\0;\n", 1, 14, file);
	fclose(file);
	world_refused(state, "<nul.cnf\n" SERVICE "USER=a\033b\n");
	assert_string_equal(w->told,
		"E nul.cnf:1: byte 12 is the control character 0x00; take it out\n"
		"E main.cnf:5: byte 7 is the control character 0x1b; take it out\n");
}

static void a_line_is_not_continued_by_a_backslash(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "PARAMETER=A=b \\\n"),
		"E main.cnf:4: a line is not continued by \\; it may be 4096 bytes long\n");
	world_service(state, SERVICE "PARAMETER=A=b \\\\\n! as in C:\\\n");
}

static void a_line_that_says_nothing_is_refused(void **state)
{
	assert_string_equal(world_refused(state, "MAX_PROCS 3\n=4\nMAX PROCS=4\nPORT:25\n" SERVICE),
		"E main.cnf:1: \"MAX_PROCS 3\" is neither option=value nor [SERVICE=name], <file "
		"or ! comment\n"
		"E main.cnf:2: \"\" cannot be an option; write option=value\n"
		"E main.cnf:3: \"MAX PROCS\" cannot be an option; write option=value\n"
		"E main.cnf:4: \"PORT:25\" is neither option=value nor [SERVICE=name], <file or ! "
		"comment\n");
}

static void a_bracket_opens_a_section_or_is_refused(void **state)
{
	assert_string_equal(
		world_refused(state, "[::1]:25=x\n[SERVICE=]\n[GLOBAL]\n[GROUP=x]\n"
				     "[SERVICE=a b]\n[SERVICE=abcdefghijklmnopqrstuvwxyzabcdefg]\n"
				     "[SERVICE=x\n" SERVICE),
		"E main.cnf:1: a line that begins with [ must be [SERVICE=name]; an address "
		"belongs behind PORT=\n"
		"E main.cnf:2: \"\" cannot name a service: letters, digits, _ - and ., at most 32\n"
		"E main.cnf:3: a line that begins with [ must be [SERVICE=name]; an address "
		"belongs behind PORT=\n"
		"E main.cnf:4: there is no section [GROUP=...]; only [SERVICE=name]\n"
		"E main.cnf:5: \"a b\" cannot name a service: letters, digits, _ - and ., at most "
		"32\n"
		"E main.cnf:6: \"abcdefghijklmnopqrstuvwxyzabcdefg\" cannot name a service: "
		"letters, "
		"digits, _ - and ., at most 32\n"
		"E main.cnf:7: a line that begins with [ must be [SERVICE=name]; an address "
		"belongs behind PORT=\n");
}

static void a_section_without_its_brackets_is_told(void **state)
{
	assert_string_equal(world_refused(state, SERVICE "SERVICE=B\n"),
		"E main.cnf:4: SERVICE=B opens no section; write [SERVICE=B]\n");
}

static void values_in_a_section_with_a_wrong_header_are_still_looked_at(void **state)
{
	const char *told = world_refused(state, "[SERVICE]\nMAX_PROCS=x\nMAX_PROX=1\n" SERVICE);

	assert_non_null(strstr(told, "E main.cnf:2: MAX_PROCS=x is wrong"));
	assert_non_null(
		strstr(told, "E main.cnf:3: unknown option MAX_PROX; did you mean MAX_PROCS?"));
}

static void an_empty_section_is_a_service_without_a_port(void **state)
{
	const char *told = world_refused(state, "[SERVICE=EMPTY]\n" SERVICE);

	assert_non_null(strstr(told, "E main.cnf:1: service empty has no PORT"));
}

static void an_included_file_is_read_as_if_it_stood_there(void **state)
{
	struct world *w = *state;
	const struct service_settings *svc;

	world_write("inner.cnf", "MAX_CONNS=7\n! no newline at the end\nMAX_PROCS=8");
	svc = world_service(state, SERVICE "<inner.cnf\nMIN_PROCS=2\n");
	assert_int_equal(svc->max_conns, 7);
	assert_int_equal(svc->max_procs, 8);
	assert_int_equal(svc->min_procs, 2);
	assert_int_equal(w->s->files.count, 2);
	assert_int_equal(settings_list_text(w->s, w->s->files, 1)[0], '/');
	assert_string_equal(strrchr(settings_list_text(w->s, w->s->files, 1), '/'), "/inner.cnf");
}

static void includes_are_found_beside_the_file_and_by_logical_name(void **state)
{
	assert_int_equal(mkdir("sub", 0755), 0);
	world_write("sub/a.cnf", "<b.cnf\n<IMTA_TABLE:c.cnf\n<pmdf_table:c.cnf\n");
	world_write("sub/b.cnf", "MAX_CONNS=7\n");
	world_write("c.cnf", "MIN_PROCS=3\n");
	assert_int_equal(world_load(state, "<sub/a.cnf\n" SERVICE)->result, 0);
	unlink("sub/a.cnf");
	unlink("sub/b.cnf");
}

static void a_file_that_cannot_be_included_is_told_at_its_line(void **state)
{
	assert_int_equal(mkdir("sub", 0755), 0);
	assert_string_equal(world_refused(state, "<missing.cnf\n<sub\n<\n" SERVICE),
		"E main.cnf:1: cannot read missing.cnf: No such file or directory\n"
		"E main.cnf:2: sub is a directory; name a file in it\n"
		"E main.cnf:3: no file is named behind <; write <file\n");
}

static void a_fifo_is_refused_and_does_not_hang(void **state)
{
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_string_equal(
		world_refused(state, "<fifo\n" SERVICE), "E main.cnf:1: fifo is no regular file\n");
}

static void a_file_that_includes_itself_is_told(void **state)
{
	world_write("a.cnf", "<b.cnf\n");
	world_write("b.cnf", "<./a.cnf\n");
	assert_string_equal(world_refused(state, "<main.cnf\n<a.cnf\n" SERVICE),
		"E main.cnf:1: main.cnf includes itself; take this line out\n"
		"E b.cnf:1: ./a.cnf includes itself; take this line out\n");
}

static void includes_have_a_depth(void **state)
{
	char name[16], text[32];

	for (int i = 1; i <= SOURCE_INCLUDE_DEPTH + 1; i++) {
		snprintf(name, sizeof(name), "%d.cnf", i);
		snprintf(text, sizeof(text), "<%d.cnf\n", i + 1);
		world_write(name, text);
	}
	assert_string_equal(world_refused(state, "<1.cnf\n" SERVICE),
		"E 8.cnf:1: includes go deeper than 8 files or are more than 256 in all; flatten "
		"them\n");
}

static void a_line_behind_an_include_that_opened_a_section_is_refused(void **state)
{
	world_write("inner.cnf", "[SERVICE=B]\nPORT=7008\nIMAGE=/bin/true\n");
	world_write("outer.cnf", "MAX_CONNS=3\n");
	assert_string_equal(world_refused(state, SERVICE "<inner.cnf\nMAX_CONNS=3\n<outer.cnf\n"),
		"E main.cnf:5: MAX_CONNS stands behind an include that opened another section; "
		"begin with [SERVICE=name]\n"
		"E outer.cnf:1: MAX_CONNS stands behind an include that opened another section; "
		"begin with [SERVICE=name]\n");
}

static void a_missing_file_is_one_message(void **state)
{
	struct world *w = *state;

	world_load_file(state, "missing.cnf");
	assert_int_equal(w->result, LOAD_REFUSED);
	assert_string_equal(w->told, "E cannot read missing.cnf: No such file or directory\n");
}

static void a_file_without_a_service_is_refused(void **state)
{
	assert_string_equal(world_refused(state, "MAX_PROCS=3\n[SERVICE=DISPATCHER]\n"),
		"E main.cnf: there is no service; write a section [SERVICE=name]\n");
}

static void as_root_a_file_that_others_can_write_is_refused(void **state)
{
	struct world *w = *state;

	w->host.is_root = true;
	world_write("inner.cnf", "");
	assert_int_equal(chmod("inner.cnf", 0664), 0);
	assert_non_null(strstr(world_refused(state, "<inner.cnf\n" SERVICE),
		"E main.cnf:1: inner.cnf can be written by its group, who could run any program as "
		"root; "
		"chmod go-w inner.cnf\n"));
	assert_int_equal(chmod("inner.cnf", 0646), 0);
	assert_non_null(strstr(
		world_refused(state, "<inner.cnf\n" SERVICE), "can be written by everybody"));
}

static void without_root_a_file_that_others_can_write_is_read(void **state)
{
	world_write("inner.cnf", "");
	assert_int_equal(chmod("inner.cnf", 0666), 0);
	world_service(state, "<inner.cnf\n" SERVICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(comments_begin_lines_and_nothing_in_a_value_is_one),
		world_test(names_may_be_written_in_any_case_with_blanks_around),
		world_test(an_indented_line_is_a_line_of_its_own),
		world_test(a_byte_order_mark_is_skipped),
		world_test(a_value_keeps_its_further_equals_signs_and_quotes),
		world_test(a_line_may_have_4096_bytes_and_no_more),
		world_test(a_nul_or_control_character_is_refused_with_its_place),
		world_test(a_line_is_not_continued_by_a_backslash),
		world_test(a_line_that_says_nothing_is_refused),
		world_test(a_bracket_opens_a_section_or_is_refused),
		world_test(a_section_without_its_brackets_is_told),
		world_test(values_in_a_section_with_a_wrong_header_are_still_looked_at),
		world_test(an_empty_section_is_a_service_without_a_port),
		world_test(an_included_file_is_read_as_if_it_stood_there),
		world_test(includes_are_found_beside_the_file_and_by_logical_name),
		world_test(a_file_that_cannot_be_included_is_told_at_its_line),
		world_test(a_fifo_is_refused_and_does_not_hang),
		world_test(a_file_that_includes_itself_is_told),
		world_test(includes_have_a_depth),
		world_test(a_line_behind_an_include_that_opened_a_section_is_refused),
		world_test(a_missing_file_is_one_message),
		world_test(a_file_without_a_service_is_refused),
		world_test(as_root_a_file_that_others_can_write_is_refused),
		world_test(without_root_a_file_that_others_can_write_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
