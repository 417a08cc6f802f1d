/* A debugger would tell more, but must not be needed. The kernel tells where a thread waits, and what
 * its stack pointer and program counter are; every word of the stack that points into program text is
 * probably a return address, or was one. Such an address is told as image+offset, for addr2line(1). A
 * thread that runs has no such place: it is held for a moment (ptrace(2)), and freed by the kernel if
 * this process is killed meanwhile. */
#include "dispatcher/supervisor/anatomy.h"
#include "common/base.h"
#include "common/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define MAPS 512
#define STACK_WORDS 1024
#define FRAMES 24
#define HOLD_MS 200
#define DESCRIPTORS 256

struct map {
	uint64_t start, end, offset;
	char path[160];
};

/* --- /proc --- */

/* The beginning of a file as text; "" when it cannot be read. */
static void read_text(const char *path, char *ret_text, size_t size)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, ret_text, size - 1);

	ret_text[MAX(got, 0)] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
}

static void read_of(pid_t pid, pid_t tid, const char *name, char *ret_text, size_t size)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	read_text(path, ret_text, size);
}

/* Calls for every name that is a number, in a directory of /proc. */
static void each_number(const char *path, void (*call)(void *user, long number), void *user)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			call(user, strtol(e->d_name, NULL, 10));
	if (d)
		closedir(d);
}

/* --- the family --- */

struct kin {
	pid_t pid, parent, group;
};

struct census {
	struct kin *kin;
	unsigned count, room;
};

static void count_one(void *user, long pid)
{
	struct census *c = user;
	char path[64], text[512];
	const char *rest;
	struct kin k = {.pid = (pid_t)pid};

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	read_text(path, text, sizeof(text));
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1, " %*c %d %d", &k.parent, &k.group) != 2)
		return;
	if (c->count == c->room) {
		struct kin *more = realloc(c->kin, (c->room + 256) * sizeof(*more));

		if (!more)
			return;
		c->kin = more;
		c->room += 256;
	}
	c->kin[c->count++] = k;
}

static bool is_among(const pid_t *pids, unsigned count, pid_t pid)
{
	while (count)
		if (pids[--count] == pid)
			return true;
	return false;
}

unsigned anatomy_family(pid_t pid, pid_t ret_pids[ANATOMY_PROCESSES])
{
	struct census c = {0};
	unsigned count = 1, before = 0;

	each_number("/proc", count_one, &c);
	ret_pids[0] = pid;
	while (count != before) {
		before = count;
		for (unsigned i = 0; i < c.count && count < ANATOMY_PROCESSES; i++)
			if ((c.kin[i].group == pid || is_among(ret_pids, count, c.kin[i].parent)) &&
				!is_among(ret_pids, count, c.kin[i].pid))
				ret_pids[count++] = c.kin[i].pid;
	}
	free(c.kin);
	return count;
}

/* --- threads --- */

static uint64_t cpu_ns(pid_t pid, pid_t tid)
{
	char text[96];
	uint64_t ns = 0;

	read_of(pid, tid, "schedstat", text, sizeof(text));
	return sscanf(text, "%" SCNu64, &ns) == 1 ? ns : 0;
}

static char state_of(pid_t pid, pid_t tid)
{
	char text[512];
	const char *rest;

	read_of(pid, tid, "stat", text, sizeof(text));
	rest = strrchr(text, ')');
	return rest && rest[1] ? rest[2] : 'X';
}

static enum verdict_end end_of(pid_t pid, uint64_t fd)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/fd/%" PRIu64, pid, fd);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		return VERDICT_OTHER_END;
	if (strncmp(target, "socket:", 7) == 0)
		return VERDICT_SOCKET;
	return strncmp(target, "pipe:", 5) == 0 ? VERDICT_PIPE : VERDICT_OTHER_END;
}

/* "running", "-1 SP PC", or "NUMBER six arguments SP PC". */
static void read_call(struct anatomy_thread *t, pid_t pid)
{
	uint64_t args[6];
	long number;

	t->seen.call = VERDICT_UNKNOWN_CALL;
	read_of(pid, t->tid, "syscall", t->call_text, sizeof(t->call_text));
	if (strcmp(t->call_text, "running") == 0)
		t->seen.call = VERDICT_NO_CALL;
	if (sscanf(t->call_text, "-1 %" SCNx64 " %" SCNx64, &t->sp, &t->pc) == 2) {
		t->seen.call = VERDICT_NO_CALL;
	} else if (sscanf(t->call_text, "%ld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
			" %" SCNx64 " %" SCNx64 " %" SCNx64, &number, &args[0], &args[1], &args[2],
			&args[3], &args[4], &args[5], &t->sp, &t->pc) == 9) {
		t->seen.call = number;
		t->seen.end = end_of(pid, args[0]);
	}
}

static void first_look(void *user, long tid)
{
	struct anatomy *a = user;
	struct anatomy_thread *t = &a->threads[a->thread_count];

	if (a->thread_count == ANATOMY_THREADS)
		return;
	a->thread_count++;
	*t = (struct anatomy_thread){.tid = (pid_t)tid};
	t->seen.is_first = tid == a->pid;
	t->seen.state[0] = t->seen.state[1] = state_of(a->pid, t->tid);
	read_of(a->pid, t->tid, "comm", t->comm, sizeof(t->comm));
	t->seen_ns = clock_mono_ns();
	t->cpu_ns = cpu_ns(a->pid, t->tid);
}

void anatomy_look(struct anatomy *a, pid_t pid)
{
	char path[40];

	a->pid = pid;
	a->thread_count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	each_number(path, first_look, a);
}

void anatomy_look_again(struct anatomy *a)
{
	for (unsigned i = 0; i < a->thread_count; i++) {
		struct anatomy_thread *t = &a->threads[i];
		uint64_t span = clock_mono_ns() - t->seen_ns, used = cpu_ns(a->pid, t->tid) - t->cpu_ns;

		t->seen.state[1] = state_of(a->pid, t->tid);
		t->seen.cpu_percent = (uint32_t)MIN((used * 100 + span / 2) / (span + 1), (uint64_t)100);
		read_of(a->pid, t->tid, "wchan", t->seen.wchan, sizeof(t->seen.wchan));
		read_call(t, a->pid);
	}
}

/* --- where it is --- */

static unsigned read_maps(pid_t pid, struct map ret_maps[MAPS])
{
	OWNS_FILE FILE *f = NULL;
	unsigned count = 0;
	char line[512], rights[8];

	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	f = fopen(line, "re");
	while (f && count < MAPS && fgets(line, sizeof(line), f)) {
		struct map *m = &ret_maps[count];

		m->path[0] = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %159s", &m->start,
			    &m->end, rights, &m->offset, m->path) >= 4 &&
			strchr(rights, 'x'))
			count++;
	}
	return count;
}

/* False: points to no program text. */
static bool print_place(const struct map *maps, unsigned count, uint64_t at, FILE *out)
{
	for (unsigned i = 0; i < count; i++) {
		if (at < maps[i].start || at >= maps[i].end)
			continue;
		fprintf(out, "      %s+0x%" PRIx64 "\n", maps[i].path[0] ? maps[i].path : "?",
			at - maps[i].start + maps[i].offset);
		return true;
	}
	return false;
}

static void print_stack(pid_t pid, const struct anatomy_thread *t, const struct map *maps,
	unsigned map_count, FILE *out)
{
	char path[40];
	uint64_t words[STACK_WORDS];
	unsigned found = 0;
	OWNS_FD int memory = -1;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	got = memory < 0 ? -1 : pread(memory, words, sizeof(words), (off_t)t->sp);
	fprintf(out, "    in the program, the innermost first:\n");
	if (!print_place(maps, map_count, t->pc, out))
		fprintf(out, "      0x%" PRIx64 "\n", t->pc);
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(words[0]) && found < FRAMES; i++)
		found += print_place(maps, map_count, words[i], out);
}

/* True: it is stopped for us, until let_go. */
static bool hold(pid_t tid)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0)
		return false;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0)
		for (int i = 0; i < HOLD_MS; i++) {
			if (waitpid(tid, NULL, __WALL | WNOHANG) == tid)
				return true;
			nanosleep(&moment, NULL);
		}
	return false;
}

static void print_program(pid_t pid, const struct anatomy_thread *seen, const struct map *maps,
	unsigned map_count, FILE *out)
{
	struct anatomy_thread t = *seen;
	bool held = !t.pc && t.seen.state[1] == 'R' && hold(t.tid);

	if (held)
		read_call(&t, pid);
	if (t.pc)
		print_stack(pid, &t, maps, map_count, out);
	if (held)
		ptrace(PTRACE_DETACH, t.tid, 0, 0);
}

static void print_file(const char *path, const char *indent, FILE *out)
{
	OWNS_FILE FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		fprintf(out, "%s%s", indent, line);
}

static void print_thread(pid_t pid, const struct anatomy_thread *t, const struct map *maps,
	unsigned map_count, FILE *out)
{
	const char *name = verdict_call_name(t->seen.call);
	char path[80];

	fprintf(out, "  thread %d (%s): state %c, %u %% of a CPU, waits in %s, system call %s%s%s%s\n",
		t->tid, t->comm, t->seen.state[1], t->seen.cpu_percent,
		t->seen.wchan[0] && strcmp(t->seen.wchan, "0") != 0 ? t->seen.wchan : "nothing",
		t->call_text[0] ? t->call_text : "unknown", name ? " (" : "", name ? name : "",
		name ? ")" : "");
	fprintf(out, "    in the kernel:\n");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", pid, t->tid);
	print_file(path, "      ", out);
	print_program(pid, t, maps, map_count, out);
}

struct descriptors {
	pid_t pid;
	unsigned count;
	FILE *out;
};

static void print_descriptor(void *user, long fd)
{
	struct descriptors *d = user;
	char path[64], target[256];
	ssize_t len;

	if (d->count++ >= DESCRIPTORS)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%ld", d->pid, fd);
	len = readlink(path, target, sizeof(target));
	fprintf(d->out, "    %ld -> %.*s\n", fd, (int)MAX(len, 0), target);
}

static void print_descriptors(pid_t pid, FILE *out)
{
	struct descriptors d = {.pid = pid, .out = out};
	char path[40];

	fprintf(out, "  descriptors:\n");
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	each_number(path, print_descriptor, &d);
	if (d.count > DESCRIPTORS)
		fprintf(out, "    ... %u in all\n", d.count);
}

void anatomy_print(const struct anatomy *a, FILE *out)
{
	OWNS_MEM struct map *maps = calloc(MAPS, sizeof(*maps));
	unsigned map_count = maps ? read_maps(a->pid, maps) : 0;
	char path[64], command[200];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", a->pid);
	read_text(path, command, sizeof(command));
	fprintf(out, "\nprocess %d (%s)\n", a->pid, command);
	for (unsigned i = 0; i < a->thread_count; i++)
		print_thread(a->pid, &a->threads[i], maps, map_count, out);
	print_descriptors(a->pid, out);
	fprintf(out, "  status:\n");
	snprintf(path, sizeof(path), "/proc/%d/status", a->pid);
	print_file(path, "    ", out);
}
