/* Whoever descends from the first process while that lives is kin. When it has ended its orphans come to
 * us, as we are subreaper: those of its session or group, and those that have its page mapped or its log
 * pipe open (a program may give its children sessions of their own), with all that descend from them.
 *
 * A process that forks faster than it is looked for is looked for again. A pid may pass to a stranger
 * between the look and the signal, so the signal goes through a pidfd, and only if the process behind it
 * began when the one that was seen did. */
#include "dispatcher/supervisor/kin.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/procs.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define AGAIN_MS 20
#define MOST_ROUNDS 250
#define QUIET_ROUNDS 3 /* without anybody found: none is left */

struct hunt {
	struct hunt *next;
	pid_t pid;
	uint64_t born; /* of the first process; 0: it had ended before */
	ino_t page, log;
	unsigned rounds, quiet;
};

struct kin {
	const struct children *children;
	struct timer *timer;
	struct hunt *hunts;
	void (*quiet)(void *user);
	void *user;
};

/* --- who is --- */

static ino_t inode_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* A line of /proc/PID/maps: range, rights, offset, device, inode, name. The memory file system has inodes
 * of its own, and only what we made ourselves is called so. */
static bool maps_page(pid_t pid, ino_t page)
{
	char path[32], line[512];
	bool found = false;
	uint64_t inode;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strstr(line, "/memfd:report-page") &&
			sscanf(line, "%*s %*s %*s %*s %" SCNu64, &inode) == 1 && inode == page;
	if (maps)
		fclose(maps);
	return found;
}

static bool writes_log(pid_t pid, ino_t log)
{
	char path[40], target[40], pipe[40];
	ssize_t len;

	snprintf(pipe, sizeof(pipe), "pipe:[%" PRIu64 "]", (uint64_t)log);
	for (int fd = 1; fd <= 2; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		len = readlink(path, target, sizeof(target) - 1);
		target[MAX(len, 0)] = '\0';
		if (strcmp(target, pipe) == 0)
			return true;
	}
	return false;
}

/* The first process as it was, not another that has its pid by now. */
static bool is_first(const struct hunt *h, const struct proc *one)
{
	return one->pid == h->pid && h->born && one->born == h->born;
}

/* An orphan that came to us. Others of our own are known. */
static bool is_orphan_of(const struct kin *kin, const struct hunt *h, const struct proc *one)
{
	if (one->parent != getpid() || children_know(kin->children, one->pid))
		return false;
	return one->session == h->pid || one->group == h->pid ||
		(h->page && maps_page(one->pid, h->page)) || (h->log && writes_log(one->pid, h->log));
}

/* --- how they end --- */

static void kill_one(const struct proc *one)
{
	int fd = (int)syscall(SYS_pidfd_open, one->pid, 0);
	struct proc now;

	if (fd < 0)
		return;
	if (procs_read_one(one->pid, &now) && now.born == one->born)
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	close(fd);
}

/* Kills all that descend from root, but not root itself if that is the first process: whoever orders it
 * kills that. Returns how many. */
static unsigned kill_tree(const struct procs *all, const struct proc *root, bool with_root)
{
	unsigned count = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct proc *one = &all->list[i];

		if (one->state == 'Z' || one->state == 'X' || (one == root && !with_root) ||
			!procs_descends(all, one, root->pid))
			continue;
		kill_one(one);
		count++;
	}
	return count;
}

static unsigned kill_round(const struct kin *kin, const struct hunt *h)
{
	struct procs all = {0};
	unsigned count = 0;

	if (procs_read(&all))
		return 0;
	for (size_t i = 0; i < all.count; i++) {
		const struct proc *one = &all.list[i];

		if (is_first(h, one))
			count += kill_tree(&all, one, false);
		else if (one->state != 'Z' && is_orphan_of(kin, h, one))
			count += kill_tree(&all, one, true);
	}
	procs_free(&all);
	return count;
}

/* --- again and again --- */

/* True while it is to go on. */
static bool hunt_on(const struct kin *kin, struct hunt *h)
{
	h->quiet = kill_round(kin, h) ? 0 : h->quiet + 1;
	if (++h->rounds < MOST_ROUNDS)
		return h->quiet < QUIET_ROUNDS;
	log_event(EV_INTERNAL, "where=kin why=\"processes of worker %d cannot be killed\"", h->pid);
	return false;
}

static void on_timer(void *user)
{
	struct kin *kin = user;
	struct hunt **at = &kin->hunts;

	while (*at) {
		struct hunt *h = *at;

		if (hunt_on(kin, h)) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		free(h);
	}
	if (kin->hunts)
		timer_in(kin->timer, AGAIN_MS);
	else
		kin->quiet(kin->user);
}

bool kin_under_way(const struct kin *kin)
{
	return kin->hunts;
}

static void go_on_later(struct kin *kin, const struct hunt *h)
{
	struct hunt *copy = malloc(sizeof(*copy));

	if (!copy)
		return;
	*copy = *h;
	copy->next = kin->hunts;
	kin->hunts = copy;
	timer_in(kin->timer, AGAIN_MS);
}

unsigned kin_kill(struct kin *kin, const struct kin_of *of)
{
	struct hunt h = {.pid = of->pid, .page = inode_of(of->page), .log = inode_of(of->log)};
	struct proc first;
	unsigned count;

	if (children_know(kin->children, of->pid) && procs_read_one(of->pid, &first))
		h.born = first.born;
	count = kill_round(kin, &h);
	if (count || h.born)
		go_on_later(kin, &h);
	return count;
}

int kin_new(struct uv_loop_s *loop, const struct children *children, void (*quiet)(void *user), void *user,
	struct kin **ret_kin)
{
	struct kin *kin = calloc(1, sizeof(*kin));
	int bad = kin ? timer_new(loop, on_timer, kin, &kin->timer) : -ENOMEM;

	if (bad) {
		free(kin);
		return bad;
	}
	kin->children = children;
	kin->quiet = quiet;
	kin->user = user;
	*ret_kin = kin;
	return 0;
}

struct kin *kin_free(struct kin *kin)
{
	if (!kin)
		return NULL;
	while (kin->hunts) {
		struct hunt *h = kin->hunts;

		kin->hunts = h->next;
		free(h);
	}
	timer_free(kin->timer);
	free(kin);
	return NULL;
}
