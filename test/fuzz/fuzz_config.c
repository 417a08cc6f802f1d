/* The configuration reader. The input is several files parted by 0xff bytes: main.cnf, then those
 * that it may include, named 1, 2, ... What loads must be whole, and must print to what loads
 * again. This file stands in for config/file.c, so that no input reaches the file system. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "config/file.h"
#include "config/host.h"
#include "config/load.h"

#include <netdb.h>
#include <string.h>

#define PARTS 8

static struct {
	const uint8_t *at[PARTS];
	size_t len[PARTS];
	unsigned count;
} parts;

int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	return EAI_NONAME;
}

static int find_part(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!strcmp(name, "main.cnf"))
		return 0;
	return name[0] >= '1' && name[0] < '0' + (int)parts.count && !name[1] ? name[0] - '0' : -1;
}

int file_read(const char *path, bool as_root, uint32_t trusted, struct report *report,
	const struct where *where, struct file *ret_file)
{
	int part = find_part(path);

	if (part < 0) {
		report_error(report, where, "cannot read %s", path);
		return FILE_REFUSED;
	}
	*ret_file = (struct file){.path = strdup(path),
		.data = calloc(1, parts.len[part] + 1),
		.len = parts.len[part],
		.inode = (uint64_t)part};
	memcpy(ret_file->data, parts.at[part], parts.len[part]);
	return 0;
}

void file_deinit(struct file *f)
{
	free(f->path);
	free(f->data);
	*f = (struct file){0};
}

static void split(const uint8_t *data, size_t size)
{
	parts.count = 0;
	while (parts.count < PARTS) {
		const uint8_t *end = size ? memchr(data, 0xff, size) : NULL;
		size_t len = end ? (size_t)(end - data) : size;

		parts.at[parts.count] = data;
		parts.len[parts.count++] = len;
		if (!end)
			return;
		data = end + 1;
		size -= len + 1;
	}
}

static void ignore(void *user, enum load_severity severity, const char *text)
{
	ASSERT(*text);
}

static struct settings *load(bool is_root)
{
	static const struct host host = {.uid = 1234,
		.gid = 1234,
		.descriptors = 1 << 20,
		.memory_bytes = 1ull << 33,
		.somaxconn = 4096,
		.name = "host",
		.run_dir = "/run/test",
		.worker_dir = "/nowhere"};
	struct host mine = host;
	struct settings *s = NULL;

	mine.is_root = is_root;
	if (load_settings_on(&mine, "main.cnf", ignore, NULL, &s))
		return NULL;
	ASSERT(!settings_check(s, s->bytes));
	load_check_derived_on(&mine, s, ignore, NULL, NULL);
	return s;
}

static char *printed(const struct settings *s, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	ASSERT(out && !settings_print(s, NULL, out));
	fclose(out);
	return text;
}

/* A command line of a full line becomes longer by its quotes; then it cannot be read back. */
static bool has_long_line(const char *text)
{
	for (size_t len; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (len > 4096)
			return true;
	}
	return false;
}

static void check_print(struct settings *s, bool is_root)
{
	size_t size, again_size;
	OWNS_MEM char *text = printed(s, &size), *again = NULL;
	OWNS_MEM struct settings *reloaded = NULL;

	if (has_long_line(text))
		return;
	split((const uint8_t *)text, size);
	reloaded = load(is_root);
	ASSERT(reloaded);
	again = printed(reloaded, &again_size);
	ASSERT(size == again_size && !memcmp(text, again, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_root = size && data[size - 1] == '!';
	OWNS_MEM struct settings *s = NULL;

	split(data, size);
	s = load(is_root);
	if (s)
		check_print(s, is_root);
	return 0;
}
