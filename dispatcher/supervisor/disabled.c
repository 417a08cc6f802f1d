/* A line is "NAME TIME BY"; a name alone, as somebody may write by hand, is enough. The time is in
 * milliseconds since 1970 behind an @, which date(1) reads when the last three digits are cut off. */
#include "dispatcher/supervisor/disabled.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define TEMPORARY DISABLED_FILE ".new"

/* Who could write it could close every service; that must be us, or root. */
static bool is_trusted(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
		(st.st_uid == geteuid() || st.st_uid == 0);
}

static void parse(char *line, disabled_fn *call, void *user)
{
	struct closure c = {.lasts = LINK_LASTS_DISABLE};
	char *rest = line, *name;

	line[strcspn(line, "\n")] = '\0';
	name = strsep(&rest, " \t");
	if (!*name || *name == '#' || strlen(name) >= sizeof(c.name))
		return;
	strcpy(c.name, name);
	if (rest && *rest == '@')
		c.at_wall_ms = strtoull(rest + 1, &rest, 10);
	if (rest)
		snprintf(c.by, sizeof(c.by), "%s", rest + strspn(rest, " \t"));
	call(user, &c);
}

int disabled_read(const char *dir, disabled_fn *call, void *user)
{
	OWNS_FD int folder = open(dir, O_DIRECTORY | O_CLOEXEC);
	OWNS_FILE FILE *in = NULL;
	OWNS_MEM char *line = NULL;
	size_t room = 0;
	int fd = folder < 0 ? -1
			    : openat(folder, DISABLED_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	in = fdopen(fd, "r");
	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	if (!is_trusted(fd))
		return DISABLED_UNTRUSTED;
	while (getline(&line, &room, in) >= 0)
		parse(line, call, user);
	return ferror(in) ? -EIO : 0;
}

/* by comes from the acceptor: it must not be able to begin a line of its own. */
static void put_line(FILE *out, const struct closure *c)
{
	fprintf(out, "%s @%" PRIu64 " ", c->name, c->at_wall_ms);
	for (const char *p = c->by; *p; p++)
		fputc((unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p, out);
	fputc('\n', out);
}

/* Owns fd. */
static int write_list(int fd, const struct closure *list, unsigned count)
{
	FILE *out = fdopen(fd, "w");
	int bad = 0;

	if (!out) {
		close(fd);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < count; i++)
		if (list[i].lasts == LINK_LASTS_DISABLE)
			put_line(out, &list[i]);
	if (fflush(out) || fsync(fd) < 0)
		bad = -errno;
	if (fclose(out) && !bad)
		bad = -errno;
	return bad;
}

int disabled_write(const char *dir, const struct closure *list, unsigned count)
{
	OWNS_FD int folder = -1;
	int fd, bad;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	folder = open(dir, O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	unlinkat(folder, TEMPORARY, 0);
	fd = openat(folder, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	bad = write_list(fd, list, count);
	if (!bad && renameat(folder, TEMPORARY, folder, DISABLED_FILE) < 0)
		bad = -errno;
	if (bad)
		unlinkat(folder, TEMPORARY, 0);
	else if (fsync(folder) < 0)
		bad = -errno;
	return bad;
}
