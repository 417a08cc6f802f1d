/* A program may have put its socket into an epoll set before listen(). When another takes the
 * number's place, the kernel drops the old one from every set; so it is put in again, with the same
 * events and data. A set knows its members by description and number: ours must have the program's
 * number, here too, for as long as that takes. */
#include "worker/notify/notify.h"
#include "common/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

struct watcher {
	int epoll; /* descriptor in the program */
	struct epoll_event event;
};

static bool is_epoll(const struct caller *c, const char *fd)
{
	char path[64], target[40];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)c->thread, fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	return !strcmp(target, "anon_inode:[eventpoll]");
}

/* Looks for fd in one epoll set. */
static bool watches(const struct caller *c, const char *set, int fd, uint64_t inode,
	struct epoll_event *ret_event)
{
	char path[64], line[160];
	OWNS_FILE FILE *info = NULL;
	unsigned long long data, there;
	unsigned events;
	int number;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)c->thread, set);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info)) {
		if (sscanf(line, "tfd: %d events: %x data: %llx pos:%*d ino:%llx", &number, &events,
			    &data, &there) != 4 ||
			number != fd || there != inode)
			continue;
		ret_event->events = events;
		ret_event->data.u64 = data;
		return true;
	}
	return false;
}

static unsigned find(
	const struct caller *c, int fd, uint64_t inode, struct watcher *ret_found, unsigned max)
{
	char path[40];
	unsigned count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->thread);
	dir = opendir(path);
	while (dir && count < max && (entry = readdir(dir)))
		if (is_epoll(c, entry->d_name) &&
			watches(c, entry->d_name, fd, inode, &ret_found[count].event))
			ret_found[count++].epoll = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	return count;
}

static void put_in(const struct caller *c, int fd, struct watcher *found, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		OWNS_FD int set = caller_dup(c, found[i].epoll);

		if (set >= 0)
			epoll_ctl(set, EPOLL_CTL_ADD, fd, &found[i].event);
	}
}

void watchers_move(const struct caller *c, int fd, uint64_t inode, int ours)
{
	struct watcher found[16];
	unsigned count = find(c, fd, inode, found, ARRAY_LEN(found));
	OWNS_FD int saved = -1;

	if (fd == c->all->listener)
		return; /* we need it to ask; it is out of the way of all but odd programs */
	if (!count || ours == fd) {
		put_in(c, fd, found, count);
		return;
	}
	saved = fcntl(fd, F_DUPFD_CLOEXEC, NOTIFY_HIGH_FD); /* -1: the number is free here */
	if (dup3(ours, fd, O_CLOEXEC) < 0)
		return;
	put_in(c, fd, found, count);
	if (saved >= 0)
		dup3(saved, fd, O_CLOEXEC);
	else
		close(fd);
}
