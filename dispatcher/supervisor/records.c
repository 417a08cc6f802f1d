/* One recorder for each worker that is to be killed, few at a time: of a hundred workers that hang
 * together, a few records tell the same as a hundred. */
#include "dispatcher/supervisor/records.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/page.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/recorder.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LIMIT_MS 2000
#define PATH_BYTES 480
#define AT_ONCE 4

/*   WRITES -> KILLS (SIGABRT was sent, SIGKILL follows) -> gone, when the recorder is, too
 *     +---------------------- SIGKILL was sent ------------^
 */
enum record_state { RECORD_WRITES, RECORD_KILLS, RECORD_DONE };

struct record {
	struct record *next, *prev;
	struct records *all;
	enum record_state state;
	struct child *child; /* the recorder */
	struct timer *timer;
	uint64_t id, kill_ms;
	int signal;
	char name[LOG_LABEL_BYTES], path[PATH_BYTES];
};

struct records {
	struct records_world world;
	struct record head; /* of a ring */
};

static const unsigned may_follow[] = {
	[RECORD_WRITES] = BIT(RECORD_KILLS) | BIT(RECORD_DONE),
	[RECORD_KILLS] = BIT(RECORD_DONE),
	[RECORD_DONE] = 0,
};

static void record_set(struct record *r, enum record_state state)
{
	ASSERT(may_follow[r->state] & BIT(state));
	r->state = state;
}

int records_new(const struct records_world *world, struct records **ret_records)
{
	struct records *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->world = *world;
	all->head.next = all->head.prev = &all->head;
	*ret_records = all;
	return 0;
}

static void record_free(struct record *r)
{
	r->next->prev = r->prev;
	r->prev->next = r->next;
	timer_free(r->timer);
	free(r);
}

struct records *records_free(struct records *all)
{
	if (!all)
		return NULL;
	while (all->head.next != &all->head)
		record_free(all->head.next);
	free(all);
	return NULL;
}

static void send_signal(struct record *r, int number)
{
	const struct records_world *w = &r->all->world;

	w->ops->signal(w->user, r->name, number);
}

static void free_if_over(struct record *r)
{
	if (r->state == RECORD_DONE && !r->child)
		record_free(r);
}

/* The evidence stands, or cannot be had (why). */
static void go_on(struct record *r, const char *why)
{
	const struct records_world *w = &r->all->world;

	if (why)
		log_event(EV_INTERNAL, "where=record why=\"%s: %s\"", r->name, why);
	send_signal(r, r->signal);
	w->ops->ended(w->user, r->id, why ? NULL : r->path, why);
	if (r->signal == SIGKILL) {
		timer_stop(r->timer);
		record_set(r, RECORD_DONE);
	} else {
		record_set(r, RECORD_KILLS);
		timer_in(r->timer, r->kill_ms);
	}
}

static void on_child(void *user, int status)
{
	struct record *r = user;

	r->child = NULL;
	if (r->state == RECORD_WRITES)
		go_on(r, status ? "the recorder failed" : NULL);
	free_if_over(r);
}

/* A recorder that waits inside the kernel may outlive its KILL; nobody waits for it. */
static void on_timer(void *user)
{
	struct record *r = user;

	if (r->state == RECORD_WRITES) {
		child_signal(r->child, SIGKILL);
		go_on(r, "not written within 2 s");
	} else if (r->state == RECORD_KILLS) {
		send_signal(r, SIGKILL);
		record_set(r, RECORD_DONE);
	}
	free_if_over(r);
}

/* --- what it is told --- */

static void print_page(int fd, FILE *out)
{
	struct page *page = page_map(fd, sizeof(struct page), 0);
	struct page_claims c;
	char line[PAGE_LINE_BYTES];

	if (!page)
		return;
	page_read(page, &c);
	page_copy_line(page, line);
	fprintf(out, "ready=%u taken=%" PRIu64 " done=%" PRIu64 " beat=%" PRIu64 "\nits own words: %s\n",
		c.ready, c.taken, c.done, c.beat, line);
	munmap(page, sizeof(*page));
}

static void print_facts(const struct records_subject *s, FILE *out)
{
	char now[CLOCK_TEXT_BYTES], born[CLOCK_TEXT_BYTES];

	fprintf(out, "worker=%s pid=%d signal=%s\nwhy=%s\nimage=%s\n", s->name, s->pid,
		sigabbrev_np(s->signal), s->why, s->image);
	fprintf(out, "time=%s\nstarted=%s age_ms=%" PRIu64 "\n", clock_format(clock_wall_ms(), now),
		clock_format(s->created_wall_ms, born), clock_mono_ms() - s->created_ms);
	print_page(s->page, out);
}

/* A descriptor of memory with the facts, or -errno. */
static int make_facts(const struct records_subject *s)
{
	OWNS_FD int fd = memfd_create("facts", MFD_CLOEXEC);
	OWNS_MEM char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (fd < 0 || !(out = open_memstream(&text, &size)))
		return -errno;
	print_facts(s, out);
	if (fclose(out))
		return -errno;
	return write(fd, text, size) == (ssize_t)size ? base_steal_fd(&fd) : -EIO;
}

/* A descriptor where its last lines will come, or /dev/null. */
static int open_tail(struct logs *logs, const struct log_source *source)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	logs_tail(logs, source, ends[1]);
	close(ends[1]);
	return ends[0];
}

/* STATE_DIR/records/service-serial-time.txt */
static void name_file(struct record *r)
{
	const struct settings *set = r->all->world.config->settings;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	char when[24], name[LOG_LABEL_BYTES];
	struct tm tm;

	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	memcpy(name, r->name, sizeof(name));
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '-';
	snprintf(r->path, sizeof(r->path), "%.300s/" RECORDER_DIR "/%s-%s.txt",
		settings_text(set, set->state_dir), name, when);
}

static int launch_recorder(struct record *r, const struct records_subject *s)
{
	const struct records_world *w = &r->all->world;
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	OWNS_FD int facts = make_facts(s);
	OWNS_FD int tail = open_tail(w->logs, s->log);
	int log = logs_own_fd(w->logs), fds[RECORDER_FDS] = {null, log, log, facts, tail, *w->ledger};
	char pid[12], service[12], slot[12];
	const char *arguments[] = {"--role=recorder", pid, r->name, service, slot, r->path, NULL};
	struct launch l = {.title = "dispatcher: recorder",
		.image = LAUNCH_SELF,
		.arguments = arguments,
		.uid = SETTINGS_NO_ID,
		.gid = SETTINGS_NO_ID,
		.umask = 077,
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	pid_t recorder;
	int bad;

	if (null < 0 || facts < 0 || tail < 0)
		return -EMFILE;
	snprintf(pid, sizeof(pid), "%d", s->pid);
	snprintf(service, sizeof(service), "%u", s->service);
	snprintf(slot, sizeof(slot), "%u", s->slot);
	bad = launch(&l, &recorder, NULL);
	return bad ? bad : child_watch(w->children, recorder, on_child, r, &r->child);
}

/* --- the sequence --- */

static struct record *record_of(const struct records *all, const struct records_subject *s)
{
	for (struct record *r = all->head.next; r != &all->head; r = r->next)
		if (strcmp(r->name, s->name) == 0)
			return r;
	return NULL;
}

/* A recorder that outlives its KILL inside the kernel counts no more. */
static unsigned in_state(const struct records *all, enum record_state state)
{
	unsigned count = 0;

	for (const struct record *r = all->head.next; r != &all->head; r = r->next)
		count += r->state == state;
	return count;
}

static struct record *record_new(struct records *all, const struct records_subject *s)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r || timer_new(all->world.loop, on_timer, r, &r->timer)) {
		free(r);
		return NULL;
	}
	r->all = all;
	r->id = s->id;
	r->signal = s->signal;
	r->kill_ms = s->kill_ms;
	snprintf(r->name, sizeof(r->name), "%s", s->name);
	name_file(r);
	r->prev = &all->head;
	r->next = all->head.next;
	r->next->prev = r->prev->next = r;
	return r;
}

bool records_kill(struct records *all, const struct records_subject *s)
{
	struct record *r;

	if (record_of(all, s))
		return false;
	r = record_new(all, s);
	if (!r) {
		all->world.ops->signal(all->world.user, s->name, SIGKILL);
		all->world.ops->ended(all->world.user, s->id, NULL, "no memory for a record");
	} else if (in_state(all, RECORD_WRITES) > AT_ONCE) {
		go_on(r, "enough others are being recorded");
		free_if_over(r);
	} else if (launch_recorder(r, s)) {
		go_on(r, "the recorder cannot be started");
		free_if_over(r);
	} else {
		timer_in(r->timer, LIMIT_MS);
	}
	return true;
}

bool records_under_way(const struct records *all)
{
	return in_state(all, RECORD_WRITES) || in_state(all, RECORD_KILLS);
}
