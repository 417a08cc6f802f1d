/* Reading a file whole. It is opened once and judged by its descriptor, so that no swapped link
 * comes between the check and the reading; O_NONBLOCK, so that a FIFO cannot make it hang. */
#include "config/file.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (8u << 20)

#define refuse(report, where, ...) (report_error(report, where, __VA_ARGS__), FILE_REFUSED)

static int check_root_trust(const char *path, const struct stat *st, uint32_t trusted,
	struct report *report, const struct where *where)
{
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return refuse(report, where,
			"%s can be written by %s, who could run any program as root; chmod go-w %s",
			path, st->st_mode & S_IWOTH ? "everybody" : "its group", path);
	if (st->st_uid == 0)
		return 0;
	if (trusted == UINT32_MAX) {
		report_warning(report, where,
			"%s belongs to user %u, who can so run any program as root; chown root %s",
			path, (unsigned)st->st_uid, path);
		return 0;
	}
	if (st->st_uid != trusted)
		return refuse(report, where,
			"%s belongs to user %u, who could run any program as root; chown root %s",
			path, (unsigned)st->st_uid, path);
	return 0;
}

static int check(
	const char *path, const struct stat *st, struct report *report, const struct where *where)
{
	if (S_ISDIR(st->st_mode))
		return refuse(report, where, "%s is a directory; name a file in it", path);
	if (!S_ISREG(st->st_mode))
		return refuse(report, where, "%s is no regular file", path);
	if (st->st_size > FILE_MAX)
		return refuse(report, where, "%s is longer than %u MiB: that is no configuration",
			path, FILE_MAX >> 20);
	return 0;
}

static int read_all(int fd, size_t size, struct file *f)
{
	ssize_t got;

	f->data = malloc(size + 1);
	if (!f->data)
		return -ENOMEM;
	while (f->len < size) {
		got = read(fd, f->data + f->len, size - f->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		f->len += (size_t)got;
	}
	f->data[f->len] = '\0';
	return 0;
}

static int read_checked(int fd, const char *path, const struct stat *st, struct report *report,
	const struct where *where, struct file *ret_file)
{
	struct file f = {.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
		.owner = st->st_uid,
		.path = strdup(path)};
	int r = f.path ? read_all(fd, (size_t)st->st_size, &f) : -ENOMEM;

	if (r < 0) {
		file_deinit(&f);
		return r == -ENOMEM
			       ? r
			       : refuse(report, where, "cannot read %s: %s", path, strerror(-r));
	}
	*ret_file = f;
	return 0;
}

int file_read(const char *path, bool as_root, uint32_t trusted, struct report *report,
	const struct where *where, struct file *ret_file)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(report, where, "cannot read %s: %s", path, strerror(errno));
	r = check(path, &st, report, where);
	if (!r && as_root)
		r = check_root_trust(path, &st, trusted, report, where);
	return r ? r : read_checked(fd, path, &st, report, where, ret_file);
}

void file_deinit(struct file *f)
{
	free(f->path);
	free(f->data);
	*f = (struct file){0};
}
