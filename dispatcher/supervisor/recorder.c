/* A process of its own, as everything here may block: /proc where the kernel holds a lock, the disk.
 * The supervisor waits for it two seconds at most, then goes on to the kill. Threads are looked at
 * twice, as what spins shows only in the time that it has used meanwhile.
 *
 * The file appears whole or not at all. */
#include "dispatcher/supervisor/recorder.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/ledger.h"
#include "common/log.h"
#include "dispatcher/supervisor/anatomy.h"
#include "dispatcher/supervisor/logtail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define BETWEEN_LOOKS_MS 100
#define TAIL_PATIENCE_MS 500
#define CONNS_TOLD 1000
#define ABANDONED_S 60 /* a recorder is killed after two seconds */
#define TEMPORARY ".new"
#define SUFFIX ".txt"

enum argument { ARG_PID = 2, ARG_NAME, ARG_SERVICE, ARG_SLOT, ARG_PATH, ARGS };

struct recorder {
	pid_t pid;
	const char *name;
	uint32_t service, slot;
	int dir;
	const char *path, *file; /* file: the last part of path */
	unsigned count;
	struct anatomy family[ANATOMY_PROCESSES];
	char verdict[VERDICT_BYTES];
};

/* --- looking --- */

static void judge(struct recorder *r)
{
	struct verdict_thread seen[ANATOMY_THREADS];
	const struct anatomy *a = &r->family[0];

	for (unsigned i = 0; i < a->thread_count; i++)
		seen[i] = a->threads[i].seen;
	verdict(seen, a->thread_count, r->verdict);
}

static void look(struct recorder *r)
{
	const struct timespec pause = {.tv_nsec = BETWEEN_LOOKS_MS * 1000000L};
	pid_t pids[ANATOMY_PROCESSES];

	r->count = anatomy_family(r->pid, pids);
	for (unsigned i = 0; i < r->count; i++)
		anatomy_look(&r->family[i], pids[i]);
	nanosleep(&pause, NULL);
	for (unsigned i = 0; i < r->count; i++)
		anatomy_look_again(&r->family[i]);
	judge(r);
}

/* --- telling --- */

static void print_facts(FILE *out)
{
	char text[4096];
	ssize_t got = pread(RECORDER_FACTS, text, sizeof(text), 0);

	if (got > 0)
		fwrite(text, 1, (size_t)got, out);
}

static void print_conn(const struct ledger_conn *c, uint64_t now_ms, FILE *out)
{
	char peer[ADDR_TEXT_BYTES];

	fprintf(out, "  peer=%s listener=%u age_ms=%" PRIu64 "\n", addr_format(&c->peer, peer),
		c->listener, now_ms - c->accepted_ms);
}

struct conns_told {
	const struct recorder *r;
	FILE *out;
	uint64_t now_ms;
	uint32_t count;
};

static void on_conn(void *user, const struct ledger_conn *conn)
{
	struct conns_told *told = user;

	if (conn->worker == told->r->slot && told->count++ < CONNS_TOLD)
		print_conn(conn, told->now_ms, told->out);
}

static void print_ledger(const struct recorder *r, FILE *out)
{
	struct conns_told told = {.r = r, .out = out, .now_ms = clock_mono_ms()};
	struct stat st;
	void *ledger;

	if (fstat(RECORDER_LEDGER, &st) < 0 || st.st_size <= 0)
		return;
	ledger = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, RECORDER_LEDGER, 0);
	if (ledger == MAP_FAILED)
		return;
	fprintf(out, "\nconnections\n");
	ledger_each_conn(ledger, (size_t)st.st_size, r->service, on_conn, &told);
	fprintf(out, "  %u in all\n", told.count);
}

static void print_tail(FILE *out)
{
	uint64_t deadline_ms = clock_mono_ms() + TAIL_PATIENCE_MS;
	struct pollfd p = {.fd = RECORDER_TAIL, .events = POLLIN};
	char text[LOGTAIL_BYTES];
	ssize_t got = 1;

	fprintf(out, "\nits last lines in the log\n");
	while (got > 0) {
		uint64_t now_ms = clock_mono_ms();

		if (now_ms >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now_ms)) <= 0)
			return;
		got = read(RECORDER_TAIL, text, sizeof(text));
		if (got > 0)
			fwrite(text, 1, (size_t)got, out);
	}
}

static void print_all(const struct recorder *r, FILE *out)
{
	fprintf(out, "%s\n", r->verdict);
	print_facts(out);
	print_ledger(r, out);
	for (unsigned i = 0; i < r->count; i++)
		anatomy_print(&r->family[i], out);
	print_tail(out);
}

/* --- files --- */

static int make_dir(const char *path, size_t len, mode_t mode)
{
	OWNS_MEM char *dir = strndup(path, len);

	if (!dir)
		return -ENOMEM;
	return mkdir(dir, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* A descriptor of STATE_DIR/records, or -errno. */
static int open_dir(const struct recorder *r)
{
	size_t len = (size_t)(r->file - r->path), below = strlen("/" RECORDER_DIR "/");
	OWNS_MEM char *path = strndup(r->path, len);
	int bad;

	if (!path)
		return -ENOMEM;
	if (len <= below || strcmp(path + len - below, "/" RECORDER_DIR "/") != 0)
		return -EINVAL;
	bad = make_dir(path, len - below, 0755);
	if (!bad)
		bad = make_dir(path, len, 0700);
	if (bad)
		return bad;
	bad = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return bad < 0 ? -errno : bad;
}

static int write_whole(const struct recorder *r)
{
	char temporary[300];
	OWNS_FD int fd = -1;
	FILE *out;
	bool bad;

	snprintf(temporary, sizeof(temporary), ".%.250s" TEMPORARY, r->file);
	unlinkat(r->dir, temporary, 0);
	fd = openat(r->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out)
		return -errno;
	fd = -1;
	print_all(r, out);
	bad = ferror(out);
	if (fclose(out) || bad || renameat(r->dir, temporary, r->dir, r->file) < 0) {
		int error = errno ? errno : EIO;

		unlinkat(r->dir, temporary, 0);
		return -error;
	}
	return 0;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	return len > tail && strcmp(name + len - tail, suffix) == 0;
}

/* Counts the records, and names the oldest. */
static unsigned oldest(int dir, char ret_name[256])
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct timespec first = {0};
	unsigned count = 0;
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d))) {
		if (!ends_in(e->d_name, SUFFIX) || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!count++ || st.st_mtim.tv_sec < first.tv_sec ||
			(st.st_mtim.tv_sec == first.tv_sec && st.st_mtim.tv_nsec < first.tv_nsec)) {
			first = st.st_mtim;
			snprintf(ret_name, 256, "%s", e->d_name);
		}
	}
	if (d)
		closedir(d);
	return count;
}

/* What recorders left that were killed while they wrote; one that still writes is younger. */
static void remove_abandoned(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	time_t now = time(NULL);
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)))
		if (e->d_name[0] == '.' && ends_in(e->d_name, SUFFIX TEMPORARY) &&
			!fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			llabs((long long)now - st.st_mtime) > ABANDONED_S)
			unlinkat(dir, e->d_name, 0);
	if (d)
		closedir(d);
}

static void remove_oldest(int dir)
{
	char name[256];

	while (oldest(dir, name) > RECORDER_KEPT)
		if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
			return;
}

static void tell(const struct recorder *r, int bad)
{
	char quoted[LOG_QUOTE_BYTES], doing[LOG_QUOTE_BYTES];

	log_quote(r->path, quoted);
	if (bad)
		log_event(EV_INTERNAL, "where=record why=\"%s: %s\"", r->path, strerror(-bad));
	else
		log_event(EV_WORKER_RECORD, "worker=%s pid=%d doing=%s file=%s", r->name, r->pid,
			log_quote(r->verdict, doing), quoted);
}

int recorder_main(int argc, char **argv)
{
	struct recorder *r = argc == ARGS ? calloc(1, sizeof(*r)) : NULL;
	const char *slash = r ? strrchr(argv[ARG_PATH], '/') : NULL;
	int bad;

	if (!slash)
		return 1;
	r->pid = (pid_t)atoi(argv[ARG_PID]);
	r->name = argv[ARG_NAME];
	r->service = (uint32_t)strtoul(argv[ARG_SERVICE], NULL, 10);
	r->slot = (uint32_t)strtoul(argv[ARG_SLOT], NULL, 10);
	r->path = argv[ARG_PATH];
	r->file = slash + 1;
	look(r);
	r->dir = open_dir(r);
	if (r->dir >= 0)
		remove_abandoned(r->dir);
	bad = r->dir < 0 ? r->dir : write_whole(r);
	if (!bad)
		remove_oldest(r->dir);
	tell(r, bad);
	free(r);
	return bad ? 1 : 0;
}
