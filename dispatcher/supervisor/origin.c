/* Only the supervisor may look at a file that nobody else may read. The stamps are of the descriptors that
 * were read from, so that no change goes unnoticed, not even one in the middle of a reload. */
#include "dispatcher/supervisor/origin.h"
#include "common/base.h"
#include "config/settings.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS 2000

struct file {
	char *path;
	struct settings_stamp stamp;
};

struct origin {
	struct timer *timer;
	origin_fn *call;
	void *user;
	struct file *files;
	size_t count;
	bool changed;
};

static struct file *free_files(struct file *files, size_t count)
{
	for (size_t i = 0; files && i < count; i++)
		free(files[i].path);
	free(files);
	return NULL;
}

static bool is_as_it_was(const struct file *f)
{
	const struct settings_stamp *was = &f->stamp;
	struct stat st;

	if (stat(f->path, &st) < 0)
		return false;
	return st.st_dev == was->device && st.st_ino == was->inode && (uint64_t)st.st_size == was->size &&
		(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec == was->mtime_ns;
}

static void look(struct origin *o)
{
	bool before = o->changed;

	o->changed = false;
	for (size_t i = 0; i < o->count; i++)
		o->changed |= !is_as_it_was(&o->files[i]);
	if (o->changed != before)
		o->call(o->user);
}

static void on_timer(void *user)
{
	struct origin *o = user;

	look(o);
	timer_in(o->timer, LOOK_MS);
}

static int take_files(struct origin *o, struct file *files, size_t count)
{
	if (!files)
		return -ENOMEM;
	free_files(o->files, o->count);
	o->files = files;
	o->count = count;
	look(o);
	return 0;
}

int origin_set(struct origin *o, const struct settings *s)
{
	const struct settings_stamp *stamps = settings_list_data(s, s->stamps);
	struct file *files = calloc(s->files.count + 1, sizeof(*files));

	for (uint32_t i = 0; files && i < s->files.count; i++) {
		files[i] = (struct file){strdup(settings_list_text(s, s->files, i)), stamps[i]};
		if (!files[i].path)
			files = free_files(files, i);
	}
	return take_files(o, files, s->files.count);
}

bool origin_changed(const struct origin *o)
{
	return o->changed;
}

/* --- over an exec --- */

void origin_save(const struct origin *o, json_t *root)
{
	for (size_t i = 0; i < o->count; i++) {
		const struct file *f = &o->files[i];
		json_t *file = snapshot_add(root, "origin");

		snapshot_put_text(file, "path", f->path);
		snapshot_put(file, "device", f->stamp.device);
		snapshot_put(file, "inode", f->stamp.inode);
		snapshot_put(file, "size", f->stamp.size);
		snapshot_put(file, "mtime_ns", f->stamp.mtime_ns);
	}
}

void origin_restore(struct origin *o, const json_t *root)
{
	json_t *list = json_object_get(root, "origin"), *file;
	size_t count = json_array_size(list), i;
	struct file *files = count ? calloc(count, sizeof(*files)) : NULL;

	json_array_foreach(list, i, file) {
		const char *path = snapshot_text(file, "path");

		if (!files)
			return;
		files[i].path = strdup(path ? path : "");
		files[i].stamp = (struct settings_stamp){snapshot_number(file, "device", 0),
			snapshot_number(file, "inode", 0), snapshot_number(file, "size", 0),
			snapshot_number(file, "mtime_ns", 0)};
		if (!files[i].path)
			files = free_files(files, i);
	}
	if (files)
		take_files(o, files, count);
}

int origin_new(struct uv_loop_s *loop, origin_fn *call, void *user, struct origin **ret_origin)
{
	struct origin *o = calloc(1, sizeof(*o));
	int bad;

	if (!o)
		return -ENOMEM;
	o->call = call;
	o->user = user;
	bad = timer_new(loop, on_timer, o, &o->timer);
	if (bad) {
		free(o);
		return bad;
	}
	timer_in(o->timer, LOOK_MS);
	*ret_origin = o;
	return 0;
}

struct origin *origin_free(struct origin *o)
{
	if (!o)
		return NULL;
	timer_free(o->timer);
	free_files(o->files, o->count);
	free(o);
	return NULL;
}
