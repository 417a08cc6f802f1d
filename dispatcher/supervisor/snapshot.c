/* Descriptors keep their numbers over the exec, so a number is all that there is to write down. */
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/sealed.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SUFFIX "_fd"

int snapshot_write(const json_t *root)
{
	OWNS_FD int fd = sealed_memory("state");
	OWNS_MEM char *text = json_dumps(root, JSON_INDENT(1));

	if (fd < 0)
		return fd;
	if (!text || sealed_fill(fd, text, strlen(text)))
		return -EIO;
	return base_steal_fd(&fd);
}

int snapshot_read(int fd, json_t **ret_root)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -EBADMSG;
	*ret_root = json_loadfd(fd, 0, NULL);
	return json_is_object(*ret_root) ? 0 : -EBADMSG;
}

void snapshot_put(json_t *o, const char *key, uint64_t number)
{
	json_object_set_new(o, key, json_integer((json_int_t)number));
}

void snapshot_put_text(json_t *o, const char *key, const char *text)
{
	json_t *value = text ? json_string(text) : NULL;

	if (value)
		json_object_set_new(o, key, value);
}

void snapshot_put_fd(json_t *o, const char *key, int fd)
{
	if (fd >= 0)
		json_object_set_new(o, key, json_integer(fd));
}

json_t *snapshot_add(json_t *o, const char *key)
{
	json_t *list = json_object_get(o, key), *one = json_object();

	if (!list) {
		list = json_array();
		json_object_set_new(o, key, list);
	}
	json_array_append_new(list, one);
	return one;
}

uint64_t snapshot_number(const json_t *o, const char *key, uint64_t otherwise)
{
	const json_t *value = json_object_get(o, key);

	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

const char *snapshot_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

int snapshot_fd(json_t *o, const char *key)
{
	json_t *value = json_object_get(o, key);
	int fd = json_is_integer(value) ? (int)json_integer_value(value) : -1;

	if (fd >= 0)
		json_integer_set(value, -1);
	return fd;
}

/* --- all of them --- */

static bool is_fd(const char *key, const json_t *value)
{
	size_t len = strlen(key);

	return json_is_integer(value) && json_integer_value(value) >= 0 && len > strlen(SUFFIX) &&
		strcmp(key + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* Calls for each descriptor until one call answers false; returns the name of that one, or NULL. */
static const char *each(const json_t *node, bool (*call)(int fd))
{
	const char *key, *found = NULL;
	json_t *value;
	size_t i;

	json_array_foreach(node, i, value) {
		found = each(value, call);
		if (found)
			return found;
	}
	json_object_foreach((json_t *)node, key, value) {
		if (is_fd(key, value) && !call((int)json_integer_value(value)))
			return key;
		found = each(value, call);
		if (found)
			return found;
	}
	return NULL;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool let_pass(int fd)
{
	fcntl(fd, F_SETFD, 0);
	return true;
}

static bool keep_back(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return true;
}

static bool close_it(int fd)
{
	close(fd);
	return true;
}

const char *snapshot_missing(const json_t *root)
{
	return each(root, is_open);
}

void snapshot_pass(const json_t *root, bool passes)
{
	each(root, passes ? let_pass : keep_back);
}

void snapshot_close_rest(json_t *root)
{
	each(root, close_it);
}
