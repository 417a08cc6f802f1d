/* Nearly every server has its own way of being told to stay where it was started. */
#include "dispatcher/supervisor/unfit.h"
#include "common/base.h"
#include "dispatcher/procs.h"

#include <dirent.h>
#include <string.h>

static const struct {
	const char *program, *remedy;
} foreground[] = {
	{"opendkim", "COMMAND=opendkim -f ..."},
	{"opendmarc", "COMMAND=opendmarc -f ..."},
	{"openarc", "COMMAND=openarc -f ..."},
	{"nginx", "COMMAND=nginx -g 'daemon off;' ..."},
	{"lighttpd", "COMMAND=lighttpd -D ..."},
	{"haproxy", "COMMAND=haproxy -db ... (or -W), and no daemon in its global section"},
	{"redis-server", "COMMAND=redis-server ... --daemonize no"},
	{"memcached", "COMMAND=memcached without -d"},
	{"dovecot", "COMMAND=dovecot -F ..."},
	{"sshd", "COMMAND=sshd -D ..."},
	{"vsftpd", "background=NO in its configuration"},
	{"spamass-milter", "COMMAND=spamass-milter without -f"},
	{"clamav-milter", "Foreground yes in its configuration"},
	{"smtp-sink", "COMMAND=smtp-sink without -d"},
	{"caddy", "COMMAND=caddy run ..."},
};

const char *unfit_foreground(const char *image)
{
	const char *name = strrchr(image, '/');

	name = name ? name + 1 : image;
	for (size_t i = 0; i < ARRAY_LEN(foreground); i++)
		if (strcmp(foreground[i].program, name) == 0)
			return foreground[i].remedy;
	return "run it with its option to stay in the foreground (often -f, -F, -D or --nodaemon)";
}

static bool has_uring(pid_t pid)
{
	char path[300], target[40];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[MAX(len, 0)] = '\0';
		found = strcmp(target, "anon_inode:[io_uring]") == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool unfit_uses_uring(pid_t pid)
{
	struct procs all = {0};
	bool found = false;

	if (procs_read(&all))
		return false;
	for (size_t i = 0; !found && i < all.count; i++)
		found = procs_descends(&all, &all.list[i], pid) && has_uring(all.list[i].pid);
	procs_free(&all);
	return found;
}

const char *unfit_uring(void)
{
	return "switch io_uring off in its configuration, so that it calls accept()";
}
