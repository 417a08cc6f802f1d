/* Who has the port: the kernel's table gives the inode of the listening socket, /proc/PID/fd the
 * process that holds it. */
#include "common/base.h"
#include "dispatcher/supervisor/binding.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#define TCP_LISTEN_STATE 0x0a

static uint64_t inode_in(const char *table, unsigned port)
{
	OWNS_FILE FILE *f = fopen(table, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned local_port, state;
		uint64_t inode;

		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %" SCNu64,
			    &local_port, &state, &inode) == 3 &&
			local_port == port && state == TCP_LISTEN_STATE)
			return inode;
	}
	return 0;
}

static bool holds(const char *pid, const char *wanted)
{
	char path[64], link[64], target[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		ssize_t len;

		snprintf(link, sizeof(link), "/proc/%.16s/fd/%.16s", pid, e->d_name);
		len = readlink(link, target, sizeof(target) - 1);
		found = len > 0 && (size_t)len == strlen(wanted) &&
			memcmp(target, wanted, (size_t)len) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

pid_t binding_owner(const struct addr *addr)
{
	uint64_t inode = inode_in(
		addr->family == AF_INET6 ? "/proc/net/tcp6" : "/proc/net/tcp", addr->port);
	char wanted[40];
	struct dirent *e;
	pid_t found = 0;
	DIR *d;

	if (!inode || !(d = opendir("/proc")))
		return 0;
	snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
	while (!found && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && holds(e->d_name, wanted))
			found = (pid_t)atoi(e->d_name);
	closedir(d);
	return found;
}
