/* The lock is on the open file description, so it ends with this process whatever happens, and no
 * child has it. The file is removed while it is locked; who finds after locking that the path is
 * another file tries again. */
#include "dispatcher/supervisor/rundir.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define CONTROL_BACKLOG 64
#define PATIENCE_S	5 /* for a former acceptor to take our connection */

/* Who may knock at the control socket; what each may ask for is the acceptor's to know. A file has one
 * group: for two of them it is open to everybody. */
struct access {
	uint32_t gid; /* SETTINGS_NO_ID: root alone */
	bool everybody;
};

static struct access access_of(const struct settings *s)
{
	bool admin = s->admin_gid != SETTINGS_NO_ID, status = s->status_gid != SETTINGS_NO_ID;

	return (struct access){.gid = admin ? s->admin_gid : s->status_gid, .everybody = admin && status};
}

static int allow_in(const char *path, const struct access *access)
{
	mode_t mode = access->gid == SETTINGS_NO_ID || access->everybody ? 0755 : 0750;

	if (access->gid != SETTINGS_NO_ID && chown(path, (uid_t)-1, access->gid) < 0)
		return -errno;
	return chmod(path, mode) < 0 ? -errno : 0;
}

static int make_dir(const char *path, const struct access *access)
{
	char part[RUNDIR_PATH_BYTES];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	return allow_in(path, access);
}

static pid_t read_pid(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

static int write_pid(int fd)
{
	if (ftruncate(fd, 0) < 0)
		return -errno;
	return dprintf(fd, "%d\n", getpid()) < 0 ? -errno : 0;
}

static bool is_at(int fd, const char *path)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && lstat(path, &there) == 0 &&
		here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int take_lock(struct rundir *r, pid_t *ret_holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (;;) {
		OWNS_FD int fd = open(r->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

		if (fd < 0)
			return -errno;
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			if (errno != EAGAIN && errno != EACCES)
				return -errno;
			*ret_holder = read_pid(fd);
			return RUNDIR_TAKEN;
		}
		if (!is_at(fd, r->lock_path))
			continue;
		r->lock = base_steal_fd(&fd);
		return write_pid(r->lock);
	}
}

static int write_pid_file(const struct rundir *r)
{
	OWNS_FD int fd = -1;

	unlink(r->pid_path);
	fd = open(r->pid_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : write_pid(fd);
}

/* The credentials are those of who called listen(), a supervisor, whoever serves the socket now. */
static bool is_ours(int fd)
{
	struct ucred maker;
	socklen_t len = sizeof(maker);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len) < 0)
		return false;
	if (maker.uid == geteuid())
		return true;
	log_event(EV_TAKEOVER_FAILED, "why=\"the control socket was made by user %u\"", maker.uid);
	return false;
}

/* Blocking, as whoever is in use may have a full backlog for a moment; the limit on sending holds for
 * connect, too. */
static int connect_patiently(int fd, const struct sockaddr_un *sa)
{
	struct timeval limit = {.tv_sec = PATIENCE_S};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0)
		if (errno != EINTR)
			return -errno;
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Only who is known to be gone may lose the path: a former acceptor that nobody finds any more would
 * keep its ports for ever. */
int rundir_find_former(struct rundir *r)
{
	OWNS_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int bad;

	if (fd < 0)
		return -errno;
	if (strlen(r->control_path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, r->control_path);
	bad = connect_patiently(fd, &sa);
	if (bad == -ENOENT || bad == -ECONNREFUSED)
		return 0;
	if (!bad && is_ours(fd))
		r->former = base_steal_fd(&fd);
	return bad == -EAGAIN ? RUNDIR_BUSY : bad;
}

static uint32_t mode_of(const struct access *access)
{
	return access->everybody ? 0666 : access->gid != SETTINGS_NO_ID ? 0660 : 0600;
}

/* Within RUN_DIR, whose lock we hold, a socket that is still served belongs to an acceptor that lost
 * its supervisor; it serves on, but who asks for the dispatcher shall find us. */
static int open_control(struct rundir *r, const struct access *access, const char *dir)
{
	bool inside = strncmp(r->control_path, dir, strlen(dir)) == 0 &&
		r->control_path[strlen(dir)] == '/';
	enum unixsock_former former = inside ? UNIXSOCK_OURS : UNIXSOCK_DEAD;
	int answer = inside ? rundir_find_former(r) : 0;

	if (answer)
		return answer;
	if (r->former >= 0)
		former = UNIXSOCK_SERVED;
	return unixsock_open(&r->control, r->control_path, former, mode_of(access), SETTINGS_NO_ID, access->gid,
		CONTROL_BACKLOG);
}

void rundir_publish(struct rundir *r)
{
	int bad = unixsock_publish(&r->control, r->control_path);

	if (bad)
		log_event(EV_INTERNAL, "where=control why=\"%s\"", strerror(-bad));
}

void rundir_adjust(struct rundir *r, const struct settings *s, bool other_access)
{
	struct access access = access_of(s);
	uint32_t gid = access.gid == SETTINGS_NO_ID ? getegid() : access.gid;

	r->control_path = settings_text(s, s->control_socket);
	if (!other_access)
		return;
	unixsock_allow(&r->control, r->control_path, mode_of(&access), SETTINGS_NO_ID, gid);
	allow_in(settings_text(s, s->run_dir), &access);
}

static void set_paths(struct rundir *r, const struct settings *s)
{
	const char *dir = settings_text(s, s->run_dir);

	*r = (struct rundir){.lock = -1, .control.fd = -1, .former = -1};
	r->control_path = settings_text(s, s->control_socket);
	snprintf(r->lock_path, sizeof(r->lock_path), "%s/dispatcher.lock", dir);
	snprintf(r->pid_path, sizeof(r->pid_path), "%s/dispatcher.pid", dir);
}

void rundir_save(const struct rundir *r, json_t *root)
{
	snapshot_put_fd(root, "lock_fd", r->lock);
	snapshot_put_fd(root, "control_fd", r->control.fd);
	snapshot_put(root, "control_dev", r->control.dev);
	snapshot_put(root, "control_ino", r->control.ino);
}

void rundir_restore(struct rundir *r, const struct settings *s, json_t *root)
{
	set_paths(r, s);
	r->lock = snapshot_fd(root, "lock_fd");
	r->control.fd = snapshot_fd(root, "control_fd");
	r->control.dev = snapshot_number(root, "control_dev", 0);
	r->control.ino = snapshot_number(root, "control_ino", 0);
}

int rundir_open(struct rundir *r, const struct settings *s, pid_t *ret_holder,
	const char **ret_what)
{
	const char *dir = settings_text(s, s->run_dir);
	struct access access = access_of(s);
	int answer;

	set_paths(r, s);
	*ret_what = dir;
	if (strlen(dir) > RUNDIR_PATH_BYTES - 32)
		return -ENAMETOOLONG;
	answer = make_dir(dir, &access);
	if (!answer) {
		*ret_what = r->lock_path;
		answer = take_lock(r, ret_holder);
	}
	if (!answer) {
		*ret_what = r->pid_path;
		answer = write_pid_file(r);
	}
	if (!answer) {
		*ret_what = r->control_path;
		answer = open_control(r, &access, dir);
	}
	if (answer)
		rundir_close(r);
	return answer;
}

void rundir_close(struct rundir *r)
{
	unixsock_close(&r->control, r->control_path);
	base_close(&r->former);
	if (r->lock < 0)
		return;
	unlink(r->pid_path);
	unlink(r->lock_path);
	base_close(&r->lock);
}
