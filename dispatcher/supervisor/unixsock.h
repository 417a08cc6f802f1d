/* Unix-domain stream listeners at a path: never takes one over that somebody serves, never leaves a
 * moment without one, removes only its own. */
#ifndef SUPERVISOR_UNIXSOCK_H
#define SUPERVISOR_UNIXSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UNIXSOCK_BOUND_AS ".new" /* behind the path: the name that a socket was bound by */

struct unixsock {
	int fd; /* -1: none */
	dev_t dev;
	ino_t ino; /* of the path, so that no other's socket is ever removed */
	bool hidden; /* it stands under the name it was bound by, and not at the path */
};

/* Whose socket may stand at the path already. */
enum unixsock_former {
	UNIXSOCK_DEAD,	/* replace one that nobody serves */
	UNIXSOCK_OURS, /* replace any: the place is ours alone */
	UNIXSOCK_SERVED, /* as OURS, but the path leads there until unixsock_publish */
};

/* uid and gid: SETTINGS_NO_ID stays as it is. 0; -EADDRINUSE: somebody serves there; -EEXIST: something
 * stands there that is no socket; -ENAMETOOLONG; or another -errno. */
int unixsock_open(struct unixsock *s, const char *path, enum unixsock_former former, uint32_t mode,
	uint32_t uid, uint32_t gid, int backlog);
/* Renames it over what stands at the path, unless it is there already. 0 or -errno. */
int unixsock_publish(struct unixsock *s, const char *path);

/* One that listens already, owned by the caller. is_ours: the path is removed with it. 0 or -errno, and
 * then the caller still owns fd. */
int unixsock_adopt(struct unixsock *s, const char *path, int fd, bool is_ours, int backlog);
void unixsock_allow(const struct unixsock *s, const char *path, uint32_t mode, uint32_t uid, uint32_t gid);
void unixsock_unlink(struct unixsock *s, const char *path); /* new clients find nothing; fd stays */
void unixsock_close(struct unixsock *s, const char *path);

#endif
