/* The block of settings is C structures, whose layout may change from build to build; its text does not.
 * The probe, which may crash or hang, reads the text; who takes charge only maps what it has left. */
#include "dispatcher/supervisor/convert.h"
#include "common/base.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int map(int fd, struct reader_result *ret_config)
{
	void *block = NULL;
	size_t bytes = 0;

	if (sealed_map(fd, &block, &bytes))
		return -EBADMSG;
	if (settings_check(block, bytes) || ((struct settings *)block)->bytes != bytes) {
		munmap(block, bytes);
		return -EBADMSG;
	}
	*ret_config = (struct reader_result){.fd = fd, .settings = block};
	return 0;
}

static bool is_mapped(const json_t *saved, const char *key, struct reader_result *ret_config)
{
	return !map((int)snapshot_number(saved, key, UINT64_MAX), ret_config);
}

static void keep_silent(void *user, enum load_severity severity, const char *text)
{
	if (severity == LOAD_ERROR)
		printf("settings: %s; ", text);
}

/* A descriptor of memory with the text, or -errno. */
static int text_memory(const char *text)
{
	OWNS_FD int fd = memfd_create("text", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, text, len) != (ssize_t)len)
		return -EIO;
	return base_steal_fd(&fd);
}

/* The block knows the real file and its contents, not the text that it was read from. */
static struct settings *relabel(const struct settings *s, const char *file, const char *hash)
{
	size_t extra = strlen(file) + 1;
	struct settings *whole = realloc(NULL, s->bytes + extra);

	if (!whole)
		return NULL;
	memcpy(whole, s, s->bytes);
	memcpy((char *)whole + s->bytes, file, extra);
	whole->config_file = s->bytes;
	whole->bytes = s->bytes + (uint32_t)extra;
	snprintf(whole->hash, sizeof(whole->hash), "%s", hash);
	if (whole->files.count)
		memcpy((char *)whole + whole->files.at, &whole->config_file, sizeof(uint32_t));
	return whole;
}

static int read_text(const json_t *saved, struct settings **ret_settings)
{
	const char *text = snapshot_text(saved, "settings_text"), *file = snapshot_text(saved, "config_file"),
		*hash = snapshot_text(saved, "config_hash");
	OWNS_FD int fd = text ? text_memory(text) : -1;
	OWNS_MEM struct settings *s = NULL;
	char path[32];

	if (fd < 0 || !file || !hash)
		return -EBADMSG;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (load_settings(path, keep_silent, NULL, &s))
		return -EBADMSG;
	*ret_settings = relabel(s, file, hash);
	return *ret_settings ? 0 : -ENOMEM;
}

static int leave(const json_t *saved, int fd)
{
	OWNS_MEM struct settings *s = NULL;
	int bad = read_text(saved, &s);

	if (bad)
		return bad;
	return sealed_fill(fd, s, s->bytes);
}

int convert_settings(json_t *saved, struct reader_result *ret_config)
{
	const char *key = "settings_fd";
	int converted = (int)snapshot_number(saved, "converted_fd", UINT64_MAX);

	if (!is_mapped(saved, key, ret_config)) {
		key = "converted_fd";
		if (!is_mapped(saved, key, ret_config) &&
			(leave(saved, converted) || !is_mapped(saved, key, ret_config)))
			return -EBADMSG;
	}
	snapshot_fd(saved, key); /* it has its owner */
	return 0;
}

int convert_file(json_t *saved, const struct reader_result *config, struct reader_result *ret_file)
{
	if (is_mapped(saved, "file_fd", ret_file)) {
		snapshot_fd(saved, "file_fd"); /* it has its owner */
		return 0;
	}
	return reader_result_copy(config, ret_file);
}
