/* posix_spawn of our own image, never fork: its cost does not grow with this process, and no handler
 * of ours runs in the child. All sources are first duplicated above the numbers that the child gets,
 * so that placing one never overwrites another. */
#include "dispatcher/supervisor/launch.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>

#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define FIRST_FREE_FD 40

struct sources {
	int fds[SPEC_MAX_FDS + 2];
	int targets[SPEC_MAX_FDS + 2];
	unsigned count;
};

static uint32_t count_texts(const char *const *texts)
{
	uint32_t count = 0;

	while (texts && texts[count])
		count++;
	return count;
}

static void put_text(FILE *out, const char *text)
{
	fwrite(text, 1, strlen(text) + 1, out);
}

static void put_texts(FILE *out, const char *const *texts)
{
	while (texts && *texts)
		put_text(out, *texts++);
}

static void put_spec(FILE *out, const struct launch *l, bool reports)
{
	struct spec spec = {.magic = SPEC_MAGIC,
		.keep_fds = l->fd_count,
		.reports = reports,
		.set_ids = l->uid != SETTINGS_NO_ID,
		.uid = l->uid,
		.gid = l->gid,
		.group_count = l->group_count,
		.umask = l->umask,
		.nice = l->nice,
		.batch = l->batch,
		.oom_score_adj = l->oom_score_adj,
		.argc = 1 + count_texts(l->arguments),
		.envc = 1 + count_texts(l->environment)};

	memcpy(spec.limits, l->limits, sizeof(spec.limits));
	fwrite(&spec, sizeof(spec), 1, out);
	if (l->group_count)
		fwrite(l->groups, sizeof(*l->groups), l->group_count, out);
	put_text(out, l->image);
	put_text(out, l->directory ? l->directory : "/");
	put_text(out, l->library ? l->library : "");
	put_text(out, l->title);
	put_texts(out, l->arguments);
	fprintf(out, "PATH=%s%c", l->path ? l->path : STANDARD_PATH, '\0');
	put_texts(out, l->environment);
}

static int make_spec(const struct launch *l, bool reports)
{
	OWNS_FD int fd = memfd_create("spec", MFD_CLOEXEC);
	OWNS_MEM char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (fd < 0 || !(out = open_memstream(&text, &size)))
		return -errno;
	put_spec(out, l, reports);
	if (fclose(out))
		return -errno;
	if (write(fd, text, size) != (ssize_t)size)
		return -EIO;
	return base_steal_fd(&fd);
}

static int add_source(struct sources *s, int fd, int target)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);

	if (high < 0)
		return -errno;
	s->fds[s->count] = high;
	s->targets[s->count++] = target;
	return 0;
}

static void close_sources(struct sources *s)
{
	while (s->count)
		close(s->fds[--s->count]);
}

static int gather(struct sources *s, const struct launch *l, int spec_fd, int failure_fd)
{
	int bad = add_source(s, spec_fd, SPEC_FD);

	ASSERT(l->fd_count <= SPEC_MAX_FDS);
	for (unsigned i = 0; !bad && i < l->fd_count; i++)
		bad = add_source(s, l->fds[i], (int)i);
	if (!bad && failure_fd >= 0)
		bad = add_source(s, failure_fd, SPEC_FAILURE_FD);
	return bad;
}

static int spawn_with(const struct launch *l, const struct sources *s, pid_t *ret_pid)
{
	char *argv[] = {(char *)l->title, (char *)"--role=spawn", NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all, none;
	int bad;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr,
		POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	bad = posix_spawn_file_actions_init(&actions);
	for (unsigned i = 0; !bad && i < s->count; i++)
		bad = posix_spawn_file_actions_adddup2(&actions, s->fds[i], s->targets[i]);
	if (!bad)
		bad = posix_spawn(ret_pid, LAUNCH_SELF, &actions, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -bad;
}

int launch(const struct launch *l, pid_t *ret_pid, int *ret_birth_fd)
{
	struct sources sources = {.count = 0};
	OWNS_FD int spec_fd = make_spec(l, ret_birth_fd);
	OWNS_FD int birth_in = -1;
	OWNS_FD int birth_out = -1;
	int pipe_fds[2], bad;

	if (spec_fd < 0)
		return spec_fd;
	if (ret_birth_fd) {
		if (pipe2(pipe_fds, O_CLOEXEC) < 0)
			return -errno;
		birth_in = pipe_fds[0];
		birth_out = pipe_fds[1];
	}
	bad = gather(&sources, l, spec_fd, birth_out);
	if (!bad)
		bad = spawn_with(l, &sources, ret_pid);
	close_sources(&sources);
	if (!bad && ret_birth_fd)
		*ret_birth_fd = base_steal_fd(&birth_in);
	return bad;
}
