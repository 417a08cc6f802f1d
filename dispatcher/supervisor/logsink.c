/* A full disk ends a write in the middle of a line: the next write that succeeds ends that line first,
 * then tells how many were dropped. A stream whose reader has stopped is waited for a moment once, and
 * from then on only asked. Chunks of PIPE_BUF after POLLOUT never block in a pipe (pipe(7)). */
#include "dispatcher/supervisor/logsink.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define FILE_MODE 0640
#define PATIENCE_MS 500
#define SYSLOG_FACILITY 3 /* daemon */
#define SYSLOG_BYTES 2048

void logsink_set_consume(struct logsink *k, enum log_sink_kind kind, bool shared, int fd)
{
	if (k->there)
		base_close(&k->fd);
	k->kind = kind;
	k->shared = shared;
	k->fd = fd;
	k->there = kind != LOG_SINK_NONE;
	k->torn = k->stuck = false;
}

/* --- stream --- */

static bool is_writable(struct logsink *k)
{
	struct pollfd p = {.fd = k->fd, .events = POLLOUT};
	int ready = poll(&p, 1, k->stuck ? 0 : PATIENCE_MS);

	k->stuck = ready == 0;
	return ready > 0;
}

static bool put(struct logsink *k, const char *text, size_t len)
{
	while (len) {
		ssize_t done = is_writable(k) ? write(k->fd, text, MIN(len, PIPE_BUF)) : 0;

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		k->torn = text[done - 1] != '\n';
		text += done;
		len -= (size_t)done;
	}
	return true;
}

static bool put_dropped(struct logsink *k)
{
	char line[128];
	size_t len;

	if (k->torn && !put(k, "\n", 1))
		return false;
	if (!k->dropped)
		return true;
	len = log_head(EV_LOG_DROPPED, clock_wall_ms(), line, sizeof(line));
	len += (size_t)snprintf(line + len, sizeof(line) - len, " lines=%llu\n",
		(unsigned long long)k->dropped);
	if (!put(k, line, len))
		return false;
	k->dropped = 0;
	return true;
}

/* --- syslog --- */

static bool connect_syslog(struct logsink *k)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	base_close(&k->fd);
	k->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return k->fd >= 0 && connect(k->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static int severity(enum log_level level)
{
	static const int severities[] = {[LOG_LEVEL_DEBUG] = 7, [LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_NOTICE] = 5, [LOG_LEVEL_WARNING] = 4, [LOG_LEVEL_ERROR] = 3,
		[LOG_LEVEL_ALERT] = 1};

	return severities[level];
}

static bool put_syslog(struct logsink *k, enum log_level level, const char *line, size_t len)
{
	char packet[SYSLOG_BYTES];
	int head = snprintf(packet, sizeof(packet), "<%d>dispatcher[%d]: ",
		SYSLOG_FACILITY * 8 + severity(level), getpid());

	len = MIN(len - 1, sizeof(packet) - (size_t)head); /* without the newline */
	memcpy(packet + head, line, len);
	len += (size_t)head;
	if (k->fd >= 0 && send(k->fd, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return true;
	return connect_syslog(k) && send(k->fd, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void logsink_write(struct logsink *k, enum log_level level, const char *line, size_t len)
{
	bool done;

	if (k->kind == LOG_SINK_SYSLOG)
		done = put_syslog(k, level, line, len);
	else
		done = put_dropped(k) && put(k, line, len);
	if (!done)
		k->dropped++;
}

int logsink_open(const char *path)
{
	OWNS_FD int fd = open(path,
		O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		FILE_MODE);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return -EINVAL;
	return base_steal_fd(&fd);
}
