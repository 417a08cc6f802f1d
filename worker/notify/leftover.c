/* Nobody reports the end of a connection here, and the dispatcher, whom the kernel tells, is gone.
 * So, once in a while: the inodes of all sockets that processes of our session hold, looked up
 * among the kernel's TCP sockets (proc(5), net/tcp). */
#include "worker/notify/leftover.h"
#include "common/base.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#define TCP_STATE_LISTEN 0x0a

struct inodes {
	uint64_t *list;
	size_t count, room;
};

static void keep(struct inodes *all, uint64_t inode)
{
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 64;
		uint64_t *list = realloc(all->list, room * sizeof(*list));

		if (!list)
			return;
		all->list = list;
		all->room = room;
	}
	all->list[all->count++] = inode;
}

static void keep_sockets(struct inodes *all, const char *process)
{
	char path[300], target[40];
	unsigned long long inode;
	struct dirent *entry;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", process);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", process, entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		if (sscanf(target, "socket:[%llu]", &inode) == 1)
			keep(all, inode);
	}
	if (dir)
		closedir(dir);
}

static void gather(struct inodes *all)
{
	pid_t session = getsid(0), own = getpid();
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		pid_t process = atoi(entry->d_name);

		if (process > 0 && process != own && getsid(process) == session)
			keep_sockets(all, entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static int compare(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

static bool is_port(const struct adapter *a, unsigned port)
{
	for (unsigned i = 0; i < a->listener_count; i++)
		if (a->listeners[i].addr.port == port)
			return true;
	return false;
}

static bool any_in(const char *table, const struct adapter *a, const struct inodes *all)
{
	OWNS_FILE FILE *in = fopen(table, "re");
	char line[300];

	while (in && fgets(line, sizeof(line), in)) {
		unsigned port, state;
		uint64_t inode;

		if (sscanf(line,
			    " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u "
			    "%*u "
			    "%" SCNu64,
			    &port, &state, &inode) != 3)
			continue;
		if (state != TCP_STATE_LISTEN && is_port(a, port) &&
			bsearch(&inode, all->list, all->count, sizeof(inode), compare))
			return true;
	}
	return false;
}

bool leftover_any(const struct adapter *a)
{
	struct inodes all = {NULL, 0, 0};
	bool any;

	gather(&all);
	if (all.count)
		qsort(all.list, all.count, sizeof(*all.list), compare);
	any = all.count &&
	      (any_in("/proc/self/net/tcp", a, &all) || any_in("/proc/self/net/tcp6", a, &all));
	free(all.list);
	return any;
}
