/* Every line of /proc/PID/stat is read; parents are then looked up in what was read. A process may come or
 * go meanwhile: whoever acts on it looks again. */
#include "dispatcher/procs.h"
#include "common/base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_GENERATIONS 64
#define EXITING 0x4u /* PF_EXITING of the kernel's flags */

/* The name, in parentheses, may hold anything. */
static bool parse(const char *text, struct proc *ret)
{
	const char *at = strrchr(text, ')');
	uint64_t user, system;
	unsigned flags, threads;

	if (!at || sscanf(text, "%d", &ret->pid) != 1)
		return false;
	if (sscanf(at + 1, " %c %d %d %d %*s %*s %u %*s %*s %*s %*s %" SCNu64 " %" SCNu64
			   " %*s %*s %*s %*s %u %*s %" SCNu64,
		    &ret->state, &ret->parent, &ret->group, &ret->session, &flags, &user, &system,
		    &threads, &ret->born) != 9)
		return false;
	ret->cpu_ticks = user + system;
	ret->ends = threads <= 1 && (flags & EXITING || ret->state == 'Z' || ret->state == 'X');
	return true;
}

static bool read_stat(const char *path, struct proc *ret)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[512];
	ssize_t got;

	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return false;
	text[got] = '\0';
	return parse(text, ret);
}

bool procs_read_one(pid_t pid, struct proc *ret)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return read_stat(path, ret);
}

static int add(struct procs *p, size_t *room, const struct proc *one)
{
	if (p->count == *room) {
		size_t more = *room ? 2 * *room : 256;
		struct proc *list = reallocarray(p->list, more, sizeof(*list));

		if (!list)
			return -ENOMEM;
		p->list = list;
		*room = more;
	}
	p->list[p->count++] = *one;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct proc *one = a, *other = b;

	return (one->pid > other->pid) - (one->pid < other->pid);
}

int procs_read(struct procs *ret_procs)
{
	struct procs p = {0};
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	size_t room = 0;
	int bad = 0;

	if (!dir)
		return -errno;
	while (!bad && (entry = readdir(dir))) {
		struct proc one;

		if (isdigit((unsigned char)*entry->d_name) &&
			procs_read_one((pid_t)strtol(entry->d_name, NULL, 10), &one))
			bad = add(&p, &room, &one);
	}
	closedir(dir);
	if (p.count)
		qsort(p.list, p.count, sizeof(*p.list), by_pid);
	if (bad)
		procs_free(&p);
	else
		*ret_procs = p;
	return bad;
}

void procs_free(struct procs *p)
{
	free(p->list);
	*p = (struct procs){0};
}

const struct proc *procs_find(const struct procs *p, pid_t pid)
{
	struct proc key = {.pid = pid};

	return p->count ? bsearch(&key, p->list, p->count, sizeof(key), by_pid) : NULL;
}

bool procs_descends(const struct procs *p, const struct proc *one, pid_t ancestor)
{
	for (int i = 0; one && i < MOST_GENERATIONS; i++) {
		if (one->pid == ancestor)
			return true;
		one = procs_find(p, one->parent);
	}
	return false;
}

struct procs_sum procs_sum(const struct procs *p, pid_t pid)
{
	struct procs_sum sum = {0};

	for (size_t i = 0; i < p->count; i++) {
		const struct proc *one = &p->list[i];

		if (one->state == 'Z' || one->state == 'X' || !procs_descends(p, one, pid))
			continue;
		sum.count++;
		sum.stopped += one->state == 'T' || one->state == 't';
		sum.running += one->state == 'R';
		sum.cpu_ticks += one->cpu_ticks;
	}
	return sum;
}

static bool threads_sleep(pid_t pid)
{
	char path[300];
	struct dirent *entry;
	struct proc thread;
	bool sleep = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && sleep && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", pid, entry->d_name);
		if (isdigit((unsigned char)*entry->d_name) && read_stat(path, &thread))
			sleep = thread.state == 'S';
	}
	if (dir)
		closedir(dir);
	return dir && sleep;
}

bool procs_sleep(const struct procs *p, pid_t pid)
{
	bool any = false;

	for (size_t i = 0; i < p->count; i++) {
		const struct proc *one = &p->list[i];

		if (one->state == 'Z' || one->state == 'X' || !procs_descends(p, one, pid))
			continue;
		if (!threads_sleep(one->pid))
			return false;
		any = true;
	}
	return any;
}
