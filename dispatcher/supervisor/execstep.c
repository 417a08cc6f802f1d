/* The exec step: a process of our own image between posix_spawn and the real program, because
 * posix_spawn can set neither limits nor users. It already leads its own session and has its
 * descriptors in place; here the order matters: what needs root (score, limits, priority) comes before
 * the change of user, what must be judged as that user (working directory, image) behind it. */
#include "dispatcher/supervisor/execstep.h"
#include "common/base.h"
#include "dispatcher/supervisor/spec.h"

#include <errno.h>
#include <sched.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CLOSE_RANGE_ON_EXEC 4u /* CLOSE_RANGE_CLOEXEC of linux/close_range.h */
#define EXIT_NO_EXEC 127

struct plan {
	const struct spec *spec;
	const uint32_t *groups;
	const char *image, *directory, *library;
	char **argv, **envp;
	const char *end;
};

_Noreturn static void fail(const struct spec *spec, const char *step)
{
	struct spec_failure failure = {.error = errno};
	ssize_t told = -1;

	snprintf(failure.step, sizeof(failure.step), "%s", step);
	if (!spec || spec->reports)
		told = write(SPEC_FAILURE_FD, &failure, sizeof(failure));
	if (told < 0)
		dprintf(2, "dispatcher: cannot start: %s: %s\n", step, strerror(failure.error));
	_exit(EXIT_NO_EXEC);
}

/* The spec comes from our own supervisor: what does not hold is a broken promise, not bad input. */
static const char *next_text(struct plan *p, const char **at)
{
	const char *text = *at;

	ASSERT(text < p->end);
	*at = text + strnlen(text, (size_t)(p->end - text)) + 1;
	ASSERT(*at <= p->end);
	return text;
}

static char **next_texts(struct plan *p, const char **at, uint32_t count)
{
	char **texts = calloc(count + 1, sizeof(*texts));

	if (!texts)
		fail(p->spec, "calloc");
	for (uint32_t i = 0; i < count; i++)
		texts[i] = (char *)next_text(p, at);
	return texts;
}

static void read_plan(struct plan *p)
{
	struct stat st;
	const char *at;

	if (fstat(SPEC_FD, &st) < 0 || (size_t)st.st_size < sizeof(struct spec))
		fail(NULL, "spec");
	p->spec = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, SPEC_FD, 0);
	if (p->spec == MAP_FAILED)
		fail(NULL, "mmap");
	ASSERT(p->spec->magic == SPEC_MAGIC);
	p->end = (const char *)p->spec + st.st_size;
	p->groups = (const uint32_t *)(p->spec + 1);
	at = (const char *)(p->groups + p->spec->group_count);
	p->image = next_text(p, &at);
	p->directory = next_text(p, &at);
	p->library = next_text(p, &at);
	p->argv = next_texts(p, &at, p->spec->argc);
	p->envp = next_texts(p, &at, p->spec->envc);
}

static void close_others(const struct spec *spec)
{
	unsigned keep = spec->keep_fds;

	if (syscall(SYS_close_range, keep, SPEC_FD - 1, 0) < 0 ||
		syscall(SYS_close_range, SPEC_FAILURE_FD + 1, ~0u, 0) < 0 ||
		syscall(SYS_close_range, SPEC_FD, SPEC_FAILURE_FD, CLOSE_RANGE_ON_EXEC) < 0)
		fail(spec, "close_range");
}

static void set_score(const struct spec *spec)
{
	OWNS_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		dprintf(fd, "%d", spec->oom_score_adj); /* a wish: refused to lower it without root */
}

static rlim_t limit_value(uint64_t value)
{
	return value == SETTINGS_UNLIMITED ? RLIM_INFINITY : (rlim_t)value;
}

static void set_limits(const struct spec *spec)
{
	for (int i = 0; i < SETTINGS_LIMITS; i++) {
		const struct spec_limit *l = &spec->limits[i];
		struct rlimit both = {.rlim_cur = limit_value(l->soft), .rlim_max = limit_value(l->hard)};

		if (l->set && setrlimit((__rlimit_resource_t)i, &both) < 0)
			fail(spec, "setrlimit");
	}
}

static void set_priority(const struct spec *spec)
{
	const struct sched_param none = {0};

	if (spec->batch && sched_setscheduler(0, SCHED_BATCH, &none) < 0)
		fail(spec, "sched_setscheduler");
	if (spec->nice && setpriority(PRIO_PROCESS, 0, spec->nice) < 0)
		fail(spec, "setpriority");
}

static void become(const struct spec *spec, const uint32_t *groups)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (!spec->set_ids)
		return;
	if (setgroups(spec->group_count, groups) < 0)
		fail(spec, "setgroups");
	if (setresgid(spec->gid, spec->gid, spec->gid) < 0)
		fail(spec, "setresgid");
	if (setresuid(spec->uid, spec->uid, spec->uid) < 0)
		fail(spec, "setresuid");
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	errno = EPERM;
	if (r != spec->uid || e != r || s != r || rg != spec->gid || eg != rg || sg != rg)
		fail(spec, "change of user");
	if (spec->uid && setuid(0) == 0)
		fail(spec, "change of user");
}

_Noreturn static void fail_with(const struct plan *p, const char *doing, const char *path)
{
	char step[sizeof((struct spec_failure){0}.step)];
	const char *base = strrchr(path, '/');

	snprintf(step, sizeof(step), "%s %s", doing, base ? base + 1 : path);
	fail(p->spec, step);
}

/* ld.so(8) would start the program without it and say so on its stderr alone. */
static void need(const struct plan *p)
{
	if (*p->library && access(p->library, R_OK) < 0)
		fail_with(p, "read", p->library);
}

int execstep_main(int argc, char **argv)
{
	struct plan p;

	read_plan(&p);
	close_others(p.spec);
	set_score(p.spec);
	set_limits(p.spec);
	set_priority(p.spec);
	become(p.spec, p.groups);
	umask(p.spec->umask);
	if (chdir(p.directory) < 0)
		fail(p.spec, "working directory");
	need(&p);
	execve(p.image, p.argv, p.envp);
	fail_with(&p, "exec", p.image); /* which need not be what COMMAND names: dispatcher-exec, dispatcher-notify */
}
