/* The world is a fresh directory, which is also the working directory, so that messages have short
 * names; and a host made by hand, so that the same test runs with and without root. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/config-test-XXXXXX");
	if (!mkdtemp(w->dir) || chdir(w->dir) < 0)
		return -1;
	umask(022);
	w->host = (struct host){.uid = 1234,
		.queue_bytes = 1 << 20,
		.gid = 1234,
		.descriptors = 1 << 20,
		.memory_bytes = 1ull << 33,
		.somaxconn = 4096,
		.name = "example",
		.run_dir = "/run/test",
		.worker_dir = "/usr/bin"};
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	DIR *dir = opendir(".");
	struct dirent *entry;

	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name,
			entry->d_type == DT_DIR && entry->d_name[0] != '.' ? AT_REMOVEDIR : 0);
	closedir(dir);
	if (chdir("/") < 0 || rmdir(w->dir) < 0)
		return -1;
	free(w->told);
	free(w->s);
	free(w);
	return 0;
}

void world_write(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void remember(void *user, enum load_severity severity, const char *text)
{
	struct world *w = user;
	char *longer = NULL;

	assert_true(asprintf(&longer, "%s%c %s\n", w->told, "NWE"[severity], text) > 0);
	free(w->told);
	w->told = longer;
}

struct world *world_load_file(void **state, const char *name)
{
	struct world *w = *state;

	free(w->told);
	free(w->s);
	w->s = NULL;
	w->told = strdup("");
	w->result = load_settings_on(&w->host, name, remember, w, &w->s);
	if (w->s)
		assert_int_equal(settings_check(w->s, w->s->bytes), 0);
	return w;
}

struct world *world_load(void **state, const char *text)
{
	world_write("main.cnf", text);
	return world_load_file(state, "main.cnf");
}

const struct service_settings *world_service(void **state, const char *text)
{
	struct world *w = world_load(state, text);

	assert_string_equal(w->told, "");
	assert_int_equal(w->result, 0);
	return settings_service(w->s, 0);
}

const char *world_refused(void **state, const char *text)
{
	struct world *w = world_load(state, text);

	assert_int_equal(w->result, LOAD_REFUSED);
	assert_null(w->s);
	return w->told;
}

struct settings *world_settings(void **state, const char *text)
{
	struct world *w = world_load(state, text);
	struct settings *s = w->s;

	if (w->result)
		print_error("%s\n%s", text, w->told);
	assert_int_equal(w->result, 0);
	w->s = NULL;
	return s;
}
