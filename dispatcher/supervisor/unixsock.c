/* The socket is bound to a temporary name beside the path, gets its owner and mode there, listens, and
 * is renamed over what is stale: at no moment does a client find a socket that is not ready, or one
 * with wider rights than it shall have. */
#include "dispatcher/supervisor/unixsock.h"
#include "common/base.h"
#include "common/log.h"
#include "config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int set_path(struct sockaddr_un *sa, const char *path, const char *suffix)
{
	int len;

	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	len = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s%s", path, suffix);
	return len >= (int)sizeof(sa->sun_path) ? -ENAMETOOLONG : 0;
}

/* 0: nothing there, or a socket that may be replaced. */
static int probe(const char *path, enum unixsock_former former)
{
	OWNS_FD int fd = -1;
	struct sockaddr_un sa;
	struct stat st;
	int bad = set_path(&sa, path, "");

	if (bad)
		return bad;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (former != UNIXSOCK_DEAD)
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
		(errno == ECONNREFUSED || errno == ENOENT))
		return 0;
	return -EADDRINUSE;
}

static int bind_as(int fd, const struct sockaddr_un *sa, uint32_t mode)
{
	mode_t before = umask(0777 & ~mode);
	int bad;

	unlink(sa->sun_path);
	bad = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	umask(before);
	return bad;
}

static int set_owner(struct unixsock *s, const char *path, uint32_t uid, uint32_t gid)
{
	OWNS_FD int at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (uid == SETTINGS_NO_ID && gid == SETTINGS_NO_ID)
		return 0;
	return fchownat(at, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int place(struct unixsock *s, int fd, const char *path, uint32_t mode, uint32_t uid,
	uint32_t gid, int backlog)
{
	struct sockaddr_un sa;
	int bad = set_path(&sa, path, UNIXSOCK_BOUND_AS);

	if (!bad)
		bad = bind_as(fd, &sa, mode);
	if (bad)
		return bad;
	bad = set_owner(s, sa.sun_path, uid, gid);
	if (!bad && listen(fd, backlog) < 0)
		bad = -errno;
	s->hidden = true;
	if (bad)
		unlink(sa.sun_path);
	return bad;
}

int unixsock_publish(struct unixsock *s, const char *path)
{
	struct sockaddr_un sa;
	int bad = set_path(&sa, path, UNIXSOCK_BOUND_AS);

	if (bad || !s->hidden)
		return bad;
	if (rename(sa.sun_path, path) < 0)
		return -errno;
	s->hidden = false;
	return 0;
}

int unixsock_open(struct unixsock *s, const char *path, enum unixsock_former former, uint32_t mode,
	uint32_t uid, uint32_t gid, int backlog)
{
	OWNS_FD int fd = -1;
	int bad = probe(path, former);

	s->fd = -1;
	if (bad)
		return bad;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	bad = place(s, fd, path, mode, uid, gid, backlog);
	if (!bad && former != UNIXSOCK_SERVED) {
		bad = unixsock_publish(s, path);
		if (bad)
			unixsock_unlink(s, path);
	}
	if (!bad)
		s->fd = base_steal_fd(&fd);
	return bad;
}

int unixsock_adopt(struct unixsock *s, const char *path, int fd, bool is_ours, int backlog)
{
	struct stat st;

	*s = (struct unixsock){.fd = -1};
	if (is_ours && lstat(path, &st) < 0)
		return -errno;
	if (listen(fd, backlog) < 0)
		return -errno;
	if (is_ours) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	s->fd = fd;
	return 0;
}

/* Where it stands; false: it does not, or another's does. */
static bool find_own(const struct unixsock *s, const char *path, struct sockaddr_un *ret_sa)
{
	struct stat st;

	return s->ino && !set_path(ret_sa, path, s->hidden ? UNIXSOCK_BOUND_AS : "") &&
		lstat(ret_sa->sun_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

/* Everything is done to the file that was looked at: the directory may be another user's, who puts
 * something else in its place meanwhile. */
static int allow(const struct unixsock *s, const char *path, uint32_t mode, uint32_t uid, uint32_t gid)
{
	OWNS_FD int at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char itself[32];
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	if (st.st_dev != s->dev || st.st_ino != s->ino)
		return 0;
	snprintf(itself, sizeof(itself), "/proc/self/fd/%d", at);
	if (fchownat(at, "", uid, gid, AT_EMPTY_PATH) < 0 || chmod(itself, mode) < 0)
		return -errno;
	return 0;
}

void unixsock_allow(const struct unixsock *s, const char *path, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct sockaddr_un sa;
	int bad = find_own(s, path, &sa) ? allow(s, sa.sun_path, mode, uid, gid) : 0;

	if (bad)
		log_event(EV_CONFIG_WARNING, "text=\"%s: %s\"", path, strerror(-bad));
}

void unixsock_unlink(struct unixsock *s, const char *path)
{
	struct sockaddr_un sa;

	if (find_own(s, path, &sa))
		unlink(sa.sun_path);
	s->ino = 0;
}

void unixsock_close(struct unixsock *s, const char *path)
{
	if (s->fd < 0)
		return;
	unixsock_unlink(s, path);
	base_close(&s->fd);
}
