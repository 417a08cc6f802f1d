/* Closed services: what is remembered, and what a file must be to be believed. */
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/disabled.h"
#include "test/unit/supervisor/testing.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct world {
	char dir[80], path[96];
	struct closures *all;
};

static int open_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(w);
	snprintf(w->dir, sizeof(w->dir), "%.60s/closures-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/disabled", w->dir);
	assert_int_equal(closures_new(w->dir, &w->all), 0);
	*state = w;
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	closures_free(w->all);
	unlink(w->path);
	rmdir(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static int close_one(struct world *w, const char *name, enum link_lasts lasts, const char *by)
{
	struct closure c = {.at_wall_ms = 1700000000000, .lasts = lasts};

	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.by, sizeof(c.by), "%s", by);
	return closures_close(w->all, &c);
}

static void start_anew(struct world *w)
{
	closures_free(w->all);
	assert_int_equal(closures_new(w->dir, &w->all), 0);
}

static void write_file(const struct world *w, const char *text, mode_t mode)
{
	FILE *out = fopen(w->path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(w->path, mode), 0);
}

static unsigned count(const struct world *w)
{
	unsigned n = 0;

	while (closures_at(w->all, n))
		n++;
	return n;
}

static void what_is_disabled_outlasts_a_new_start(void **state)
{
	struct world *w = *state;
	const struct closure *c;

	assert_int_equal(close_one(w, "smtp", LINK_LASTS_DISABLE, "uid=0 pid=7"), 0);
	assert_int_equal(close_one(w, "pop3", LINK_LASTS_SHUTDOWN, "uid=0 pid=8"), 0);
	start_anew(w);
	c = closures_find(w->all, "smtp");
	assert_non_null(c);
	assert_int_equal(c->lasts, LINK_LASTS_DISABLE);
	assert_string_equal(c->by, "uid=0 pid=7");
	assert_int_equal(c->at_wall_ms, 1700000000000);
	assert_null(closures_find(w->all, "pop3"));
}

static void what_is_opened_is_forgotten(void **state)
{
	struct world *w = *state;

	close_one(w, "a", LINK_LASTS_DISABLE, "");
	close_one(w, "b", LINK_LASTS_DISABLE, "");
	close_one(w, "c", LINK_LASTS_DISABLE, "");
	assert_int_equal(closures_open(w->all, "b"), 0);
	assert_int_equal(closures_open(w->all, "none"), 0);
	assert_null(closures_find(w->all, "b"));
	assert_non_null(closures_find(w->all, "c"));
	start_anew(w);
	assert_null(closures_find(w->all, "b"));
	assert_int_equal(count(w), 2);
}

static void a_shutdown_does_not_shorten_a_disable_nor_take_its_name(void **state)
{
	struct world *w = *state;

	close_one(w, "smtp", LINK_LASTS_SHUTDOWN, "first");
	close_one(w, "smtp", LINK_LASTS_SHUTDOWN, "second");
	assert_string_equal(closures_find(w->all, "smtp")->by, "first");
	close_one(w, "smtp", LINK_LASTS_DISABLE, "third");
	close_one(w, "smtp", LINK_LASTS_SHUTDOWN, "fourth");
	assert_string_equal(closures_find(w->all, "smtp")->by, "third");
	assert_int_equal(closures_find(w->all, "smtp")->lasts, LINK_LASTS_DISABLE);
	assert_int_equal(count(w), 1);
}

static void what_cannot_be_remembered_is_closed_all_the_same(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(w->path, 0755), 0);
	assert_true(close_one(w, "smtp", LINK_LASTS_DISABLE, "") < 0);
	assert_non_null(closures_find(w->all, "smtp"));
}

static void a_restored_list_takes_the_place_of_what_is_remembered(void **state)
{
	const struct closure saved = {.name = "pop3", .by = "uid=0 pid=7", .lasts = LINK_LASTS_DISABLE};
	struct world *w = *state;

	close_one(w, "smtp", LINK_LASTS_DISABLE, "");
	start_anew(w);
	closures_forget(w->all);
	assert_int_equal(closures_restore(w->all, &saved), 0);
	assert_null(closures_find(w->all, "smtp"));
	assert_int_equal(closures_find(w->all, "pop3")->lasts, LINK_LASTS_DISABLE);
	start_anew(w); /* nothing was written */
	assert_non_null(closures_find(w->all, "smtp"));
	assert_null(closures_find(w->all, "pop3"));
}

static void nobody_can_write_a_line_of_his_own(void **state)
{
	struct world *w = *state;

	close_one(w, "smtp", LINK_LASTS_DISABLE, "x\npop3 @1 y");
	start_anew(w);
	assert_null(closures_find(w->all, "pop3"));
	assert_string_equal(closures_find(w->all, "smtp")->by, "x?pop3 @1 y");
}

static void a_file_that_others_may_write_is_not_believed(void **state)
{
	struct world *w = *state;

	write_file(w, "smtp\n", 0666);
	start_anew(w);
	assert_null(closures_find(w->all, "smtp"));
	write_file(w, "smtp\n", 0644);
	start_anew(w);
	assert_non_null(closures_find(w->all, "smtp"));
}

static void a_file_written_by_hand_is_read(void **state)
{
	struct world *w = *state;

	write_file(w, "# a comment\n\nsmtp\npop3 \nimap @ by hand\nlast", 0644);
	start_anew(w);
	assert_int_equal(count(w), 4);
	assert_string_equal(closures_find(w->all, "smtp")->by, "");
	assert_string_equal(closures_find(w->all, "imap")->by, "by hand");
	assert_non_null(closures_find(w->all, "last"));
}

static void many_names_and_long_lines_are_read(void **state)
{
	struct world *w = *state;
	FILE *out = fopen(w->path, "w");

	for (int i = 0; i < 1000; i++)
		fprintf(out, "service-%d @1 %.*s\n", i, 300, "x");
	for (int i = 0; i < 100000; i++)
		fputc('y', out);
	fclose(out);
	start_anew(w);
	assert_int_equal(count(w), 1000);
}

#define CLOSURES_TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOSURES_TEST(what_is_disabled_outlasts_a_new_start),
		CLOSURES_TEST(what_is_opened_is_forgotten),
		CLOSURES_TEST(a_shutdown_does_not_shorten_a_disable_nor_take_its_name),
		CLOSURES_TEST(what_cannot_be_remembered_is_closed_all_the_same),
		CLOSURES_TEST(a_restored_list_takes_the_place_of_what_is_remembered),
		CLOSURES_TEST(nobody_can_write_a_line_of_his_own),
		CLOSURES_TEST(a_file_that_others_may_write_is_not_believed),
		CLOSURES_TEST(a_file_written_by_hand_is_read),
		CLOSURES_TEST(many_names_and_long_lines_are_read),
	};

	log_to(-1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
