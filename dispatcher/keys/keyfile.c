/* What is read is what was looked at: one descriptor. A pipe or a device in the place of a file neither
 * hangs the opening (O_NONBLOCK) nor is it read. Links are followed: that is how certbot keeps the newest
 * certificate under one name. */
#include "dispatcher/keys/keyfile.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_BYTES (1u << 20)

PRINTF_LIKE(2, 3)
static int refuse(char ret_why[KEYFILE_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_why, KEYFILE_WHY_BYTES, format, args);
	va_end(args);
	return KEYFILE_REFUSED;
}

static int look_at(const struct stat *st, bool is_secret, char ret_why[KEYFILE_WHY_BYTES])
{
	if (!S_ISREG(st->st_mode))
		return refuse(ret_why, "is no regular file");
	if (st->st_size > MOST_BYTES)
		return refuse(ret_why, "has more than %u bytes", MOST_BYTES);
	if (st->st_mode & S_IWOTH)
		return refuse(ret_why, "can be written by everybody; chmod o-w it");
	if (!is_secret)
		return 0;
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return refuse(ret_why, "belongs to user %u, who could change the key; chown it to %s",
			st->st_uid, geteuid() ? "root or to who runs the dispatcher" : "root");
	if (st->st_mode & S_IROTH)
		return refuse(ret_why, "can be read by everybody; chmod o-r it, and think of a new key");
	if (st->st_mode & S_IWGRP)
		return refuse(ret_why, "can be written by its group; chmod g-w it");
	return 0;
}

static int read_all(int fd, struct keyfile *f, char ret_why[KEYFILE_WHY_BYTES])
{
	while (f->len < MOST_BYTES) {
		ssize_t got = read(fd, f->data + f->len, MOST_BYTES - f->len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return refuse(ret_why, "cannot be read: %s", strerror(errno));
		if (!got)
			break;
		f->len += (size_t)got;
	}
	return f->len ? 0 : refuse(ret_why, "is empty");
}

int keyfile_read(const char *path, bool is_secret, struct keyfile *ret_file,
	char ret_why[KEYFILE_WHY_BYTES])
{
	OWNS_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct keyfile f = {0};
	struct stat st;
	int answer;

	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(ret_why, "cannot be opened: %s", strerror(errno));
	answer = look_at(&st, is_secret, ret_why);
	if (answer)
		return answer;
	f.stamp = (struct settings_stamp){st.st_dev, st.st_ino, (uint64_t)st.st_size,
		(uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec};
	f.data = malloc(MOST_BYTES);
	answer = f.data ? read_all(fd, &f, ret_why) : refuse(ret_why, "%s", strerror(ENOMEM));
	if (answer)
		keyfile_free(&f);
	else
		*ret_file = f;
	return answer;
}

void keyfile_free(struct keyfile *f)
{
	if (f->data)
		OPENSSL_cleanse(f->data, f->len);
	free(f->data);
	*f = (struct keyfile){0};
}
