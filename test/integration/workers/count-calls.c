/* Counts how often a running process calls functions of the C library: count-calls PID SYMBOL...
 *
 * Breakpoints by ptrace(2), for the test that a connection costs the acceptor no allocation: it has no
 * environment for LD_PRELOAD. Prints "ready", counts until its standard input ends, puts the code back and
 * prints one number for each symbol. One thread, x86-64. */
#include "common/base.h"

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define MOST 8
#define TRAP 0xccL

struct point {
	const char *name;
	uintptr_t at;
	long code; /* the word that stood there */
	unsigned long calls;
};

struct target {
	pid_t pid;
	struct point points[MOST];
	unsigned count;
};

/* Where the C library begins in a process. */
static uintptr_t libc_base(const char *pid)
{
	char path[64], line[512];
	unsigned long base = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		err(1, "%s", path);
	while (!base && fgets(line, sizeof(line), maps))
		if (strstr(line, "/libc.so.6"))
			base = strtoul(line, NULL, 16);
	fclose(maps);
	if (!base)
		errx(1, "%s: no C library", path);
	return base;
}

static void put_word(const struct target *t, uintptr_t at, long word)
{
	if (ptrace(PTRACE_POKETEXT, t->pid, at, word) < 0)
		err(1, "PTRACE_POKETEXT");
}

static void set_trap(const struct target *t, const struct point *p)
{
	put_word(t, p->at, (p->code & ~0xffL) | TRAP);
}

/* The status of the stop, as of waitpid(2). */
static int wait_stop(const struct target *t)
{
	int status;

	while (waitpid(t->pid, &status, __WALL) < 0)
		if (errno != EINTR)
			err(1, "waitpid");
	if (!WIFSTOPPED(status))
		errx(1, "the process has ended");
	return status;
}

static void attach(struct target *t, const char *pid, char **names)
{
	uintptr_t ours = libc_base("self"), theirs = libc_base(pid);

	t->pid = atoi(pid);
	if (ptrace(PTRACE_SEIZE, t->pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, t->pid, 0, 0) < 0)
		err(1, "ptrace");
	wait_stop(t);
	for (; *names && t->count < MOST; names++) {
		struct point *p = &t->points[t->count++];

		*p = (struct point){*names, (uintptr_t)dlsym(RTLD_DEFAULT, *names) - ours + theirs, 0, 0};
		p->code = ptrace(PTRACE_PEEKTEXT, t->pid, p->at, 0);
		set_trap(t, p);
	}
	ptrace(PTRACE_CONT, t->pid, 0, 0);
}

/* Steps over the point with its own code in place. */
static void count_call(struct target *t, struct point *p, struct user_regs_struct *regs)
{
	p->calls++;
	regs->rip = p->at;
	ptrace(PTRACE_SETREGS, t->pid, 0, regs);
	put_word(t, p->at, p->code);
	ptrace(PTRACE_SINGLESTEP, t->pid, 0, 0);
	wait_stop(t);
	set_trap(t, p);
}

static void on_stop(struct target *t, int number)
{
	struct user_regs_struct regs;
	int passed_on = number;

	ptrace(PTRACE_GETREGS, t->pid, 0, &regs);
	for (unsigned i = 0; number == SIGTRAP && i < t->count; i++)
		if (regs.rip == t->points[i].at + 1) {
			count_call(t, &t->points[i], &regs);
			passed_on = 0;
		}
	ptrace(PTRACE_CONT, t->pid, 0, passed_on == SIGTRAP ? 0 : passed_on);
}

static void detach(struct target *t)
{
	int status;

	ptrace(PTRACE_INTERRUPT, t->pid, 0, 0);
	while ((status = wait_stop(t)) >> 16 != PTRACE_EVENT_STOP) /* a call came first */
		on_stop(t, WSTOPSIG(status));
	for (unsigned i = 0; i < t->count; i++)
		put_word(t, t->points[i].at, t->points[i].code);
	ptrace(PTRACE_DETACH, t->pid, 0, 0);
}

int main(int argc, char **argv)
{
	struct target t = {0};
	struct pollfd input = {.fd = 0, .events = POLLIN};
	int status;

	if (argc < 3)
		errx(1, "usage: count-calls PID SYMBOL...");
	attach(&t, argv[1], argv + 2);
	puts("ready");
	fflush(stdout);
	while (poll(&input, 1, 1) == 0)
		if (waitpid(t.pid, &status, __WALL | WNOHANG) == t.pid && WIFSTOPPED(status))
			on_stop(&t, WSTOPSIG(status));
	detach(&t);
	for (unsigned i = 0; i < t.count; i++)
		printf("%s %lu\n", t.points[i].name, t.points[i].calls);
	return 0;
}
