/* Until the program has bound a path of the service, the path does not exist for it: a program
 * that finds a socket there would stop ("address in use") or take it away. After its bind() the
 * path is there, and what the program does with the owner, the mode or the name of its socket
 * succeeds without an effect, as the socket is the dispatcher's. */
#undef _FILE_OFFSET_BITS /* stat() and stat64() are two symbols here */
#include "worker/adapter/paths.h"
#include "common/base.h"
#include "worker/adapter/address.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The directory part of a path: "." where there is none. False: it is too long. */
static bool dir_of(const char *path, char ret_dir[PATH_MAX])
{
	size_t len = (size_t)(base_of(path) - path);

	if (len >= PATH_MAX)
		return false;
	memcpy(ret_dir, path, len);
	ret_dir[len] = '\0';
	if (!len)
		strcpy(ret_dir, ".");
	return true;
}

void paths_init(void)
{
	char dir[PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < shim.config.listener_count; i++) {
		struct adapter_listener *l = &shim.config.listeners[i];
		struct shim_place *p = &shim.places[i];

		if (l->addr.family != AF_UNIX)
			continue;
		shim.unix_listeners |= UINT64_C(1) << i;
		p->path = l->path;
		p->base = base_of(l->path);
		p->has_dir = dir_of(l->path, dir) && !REAL(fstatat)(AT_FDCWD, dir, &st, 0);
		p->dev = st.st_dev;
		p->ino = st.st_ino;
	}
}

static bool is_place(const struct shim_place *p, int dirfd, const char *path)
{
	char dir[PATH_MAX];
	struct stat st;

	if (!p->path || strcmp(base_of(path), p->base))
		return false;
	if (!strcmp(path, p->path))
		return true;
	return p->has_dir && dir_of(path, dir) && !REAL(fstatat)(dirfd, dir, &st, 0) &&
	       st.st_dev == p->dev && st.st_ino == p->ino;
}

uint64_t paths_find(int dirfd, const char *path)
{
	int before = errno;
	uint64_t found = 0;

	for (unsigned i = 0; path && i < shim.config.listener_count; i++)
		if (is_place(&shim.places[i], dirfd, path))
			found = UINT64_C(1) << i;
	errno = before;
	return found;
}

enum view { NOT_OURS, ABSENT, PRESENT };

static bool is_bound(uint64_t listener)
{
	for (unsigned i = 0; i < ADAPTER_MAX_BOUND; i++) {
		const struct adapter_bound *b = &shim.tally.area->bound[i];

		if (atomic_load(&b->is_set) && (b->mask & listener))
			return true;
	}
	return false;
}

/* What the program is to see at a path; ABSENT sets errno. */
static enum view view(int dirfd, const char *path)
{
	uint64_t listener;

	if (!shim_is_on() || !shim.unix_listeners)
		return NOT_OURS;
	listener = paths_find(dirfd, path);
	if (!listener)
		return NOT_OURS;
	if (is_bound(listener))
		return PRESENT;
	errno = ENOENT;
	return ABSENT;
}

/* Functions that only look: the real answer, unless the path is not there. */
#define LOOK(dirfd, path, call) return view(dirfd, path) == ABSENT ? -1 : (call)

/* Functions that would change it. */
#define CHANGE(dirfd, path, call)                                                                  \
	do {                                                                                       \
		enum view view_ = view(dirfd, path);                                               \
		if (view_ == NOT_OURS)                                                             \
			return (call);                                                             \
		return view_ == ABSENT ? -1 : 0;                                                   \
	} while (0)

int stat(const char *restrict path, struct stat *restrict st)
{
	LOOK(AT_FDCWD, path, REAL(stat)(path, st));
}

int lstat(const char *restrict path, struct stat *restrict st)
{
	LOOK(AT_FDCWD, path, REAL(lstat)(path, st));
}

int fstatat(int dirfd, const char *restrict path, struct stat *restrict st, int flags)
{
	LOOK(dirfd, path, REAL(fstatat)(dirfd, path, st, flags));
}

int stat64(const char *restrict path, struct stat64 *restrict st)
{
	LOOK(AT_FDCWD, path, REAL(stat64)(path, st));
}

int lstat64(const char *restrict path, struct stat64 *restrict st)
{
	LOOK(AT_FDCWD, path, REAL(lstat64)(path, st));
}

int fstatat64(int dirfd, const char *restrict path, struct stat64 *restrict st, int flags)
{
	LOOK(dirfd, path, REAL(fstatat64)(dirfd, path, st, flags));
}

int __xstat(int version, const char *path, struct stat *st)
{
	LOOK(AT_FDCWD, path, REAL(__xstat)(version, path, st));
}

int __lxstat(int version, const char *path, struct stat *st)
{
	LOOK(AT_FDCWD, path, REAL(__lxstat)(version, path, st));
}

int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	LOOK(dirfd, path, REAL(__fxstatat)(version, dirfd, path, st, flags));
}

int __xstat64(int version, const char *path, struct stat64 *st)
{
	LOOK(AT_FDCWD, path, REAL(__xstat64)(version, path, st));
}

int __lxstat64(int version, const char *path, struct stat64 *st)
{
	LOOK(AT_FDCWD, path, REAL(__lxstat64)(version, path, st));
}

int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags)
{
	LOOK(dirfd, path, REAL(__fxstatat64)(version, dirfd, path, st, flags));
}

int statx(int dirfd, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
	LOOK(dirfd, path, REAL(statx)(dirfd, path, flags, mask, st));
}

int access(const char *path, int mode)
{
	LOOK(AT_FDCWD, path, REAL(access)(path, mode));
}

int faccessat(int dirfd, const char *path, int mode, int flags)
{
	LOOK(dirfd, path, REAL(faccessat)(dirfd, path, mode, flags));
}

int unlink(const char *path)
{
	CHANGE(AT_FDCWD, path, REAL(unlink)(path));
}

int unlinkat(int dirfd, const char *path, int flags)
{
	CHANGE(dirfd, path, REAL(unlinkat)(dirfd, path, flags));
}

int remove(const char *path)
{
	CHANGE(AT_FDCWD, path, REAL(remove)(path));
}

int chmod(const char *path, mode_t mode)
{
	CHANGE(AT_FDCWD, path, REAL(chmod)(path, mode));
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
	CHANGE(dirfd, path, REAL(fchmodat)(dirfd, path, mode, flags));
}

int chown(const char *path, uid_t uid, gid_t gid)
{
	CHANGE(AT_FDCWD, path, REAL(chown)(path, uid, gid));
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
	CHANGE(AT_FDCWD, path, REAL(lchown)(path, uid, gid));
}

int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
	CHANGE(dirfd, path, REAL(fchownat)(dirfd, path, uid, gid, flags));
}

/* A program that makes its socket under another name and moves it into place: the other name stays.
 */
int rename(const char *from, const char *to)
{
	if (view(AT_FDCWD, to) != NOT_OURS || view(AT_FDCWD, from) != NOT_OURS)
		return 0;
	return REAL(rename)(from, to);
}

int connect(int fd, __CONST_SOCKADDR_ARG name, socklen_t len)
{
	char path[ADDRESS_PATH_BYTES];

	if (!shim.unix_listeners || !address_path(name.__sockaddr__, len, path))
		return REAL(connect)(fd, name, len);
	LOOK(AT_FDCWD, path, REAL(connect)(fd, name, len));
}
