/* What cannot be opened goes to stderr, so that no line is lost by a full disk or a missing folder. */
#include "dispatcher/supervisor/logfile.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/logsink.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool is_file(const struct logfile *f)
{
	return f->name && strcmp(f->name, "syslog") != 0 && strcmp(f->name, "stderr") != 0;
}

bool logfile_open(struct logfile *f)
{
	int fd = is_file(f) ? logsink_open(f->name) : -1;

	f->astray = is_file(f) && fd < 0;
	if (f->astray)
		log_event(EV_CONFIG_WARNING, "text=\"LOGFILE %s: %s; lines go to stderr\"", f->name,
			strerror(-fd));
	if (fd < 0 && strcmp(f->name, "syslog") != 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	base_close(&f->fd);
	f->fd = fd;
	return !f->astray;
}

/* Somebody has renamed or removed it, and has told nobody. */
static bool has_moved(const struct logfile *f)
{
	struct stat here, there;

	return fstat(f->fd, &here) < 0 || stat(f->name, &there) < 0 || here.st_dev != there.st_dev ||
		here.st_ino != there.st_ino;
}

bool logfile_follow(struct logfile *f)
{
	int fd;

	if (!is_file(f) || (!f->astray && !has_moved(f)))
		return false;
	fd = logsink_open(f->name);
	if (fd < 0)
		return false; /* as before: where its lines go is known */
	base_close(&f->fd);
	f->fd = fd;
	f->astray = false;
	return true;
}
