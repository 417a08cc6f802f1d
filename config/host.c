/* The facts of this machine, read once per load: one configuration is judged by one view. */
#include "config/host.h"
#include "common/base.h"
#include "common/chan.h"

#include <string.h>
#include <sys/resource.h>

static uint64_t read_number(const char *path, uint64_t fallback)
{
	OWNS_FILE FILE *file = fopen(path, "re");
	unsigned long long number;

	return file && fscanf(file, "%llu", &number) == 1 ? number : fallback;
}

static uint64_t descriptor_limit(bool is_root)
{
	struct rlimit limit;

	if (is_root)
		return read_number("/proc/sys/fs/nr_open", 1048576);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	return limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
}

static void set_directories(struct host *h)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (h->is_root) {
		strcpy(h->run_dir, "/run/dispatcher");
		strcpy(h->state_dir, "/var/lib/dispatcher");
		strcpy(h->log_dir, "/var/log/dispatcher");
		return;
	}
	if (runtime && runtime[0] == '/' && strlen(runtime) < PATH_MAX / 2)
		snprintf(h->run_dir, sizeof(h->run_dir), "%s/dispatcher", runtime);
	else
		snprintf(h->run_dir, sizeof(h->run_dir), "/tmp/dispatcher-%u", h->uid);
}

/* Cuts the last component off a path. */
static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* The directory "worker" beside the program's own when that is a build tree, else where it is
 * installed. */
static void set_worker_dir(struct host *h)
{
	char self[PATH_MAX] = "", probe[PATH_MAX + 32];

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		self[0] = '\0';
	go_up(self);
	go_up(self);
	snprintf(probe, sizeof(probe), "%s/worker/dispatcher-echo", self);
	if (!access(probe, X_OK) && strlen(self) < PATH_MAX - 8)
		snprintf(h->worker_dir, sizeof(h->worker_dir), "%.*s/worker", PATH_MAX - 8, self);
	else
		snprintf(h->worker_dir, sizeof(h->worker_dir), "%s", INSTALLED_WORKER_DIR);
}

/* What a socket is really given, as the supervisor will ask for it. */
static uint64_t queue_bytes(void)
{
	size_t bytes = 0;
	int ends[2];

	if (chan_pair(ends))
		return 0;
	bytes = chan_make_room(ends[0], CHAN_QUEUE_BYTES);
	close(ends[0]);
	close(ends[1]);
	return bytes;
}

void host_facts(struct host *ret_host)
{
	struct host *h = ret_host;

	memset(h, 0, sizeof(*h));
	h->uid = geteuid();
	h->gid = getegid();
	h->is_root = h->uid == 0;
	h->descriptors = descriptor_limit(h->is_root);
	h->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	h->somaxconn = read_number("/proc/sys/net/core/somaxconn", 4096);
	h->queue_bytes = queue_bytes();
	if (gethostname(h->name, sizeof(h->name) - 1) < 0 || !h->name[0])
		strcpy(h->name, "localhost");
	set_directories(h);
	set_worker_dir(h);
}
