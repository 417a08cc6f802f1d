/* The old image's part. Until the exec nothing is lost by going on instead.
 *
 *     PROBES -> STOPS (the acceptor) -> SETTLES (thefts, kills) -> FALLS_SILENT (the logger) -> LEAVES -> exec
 *       +----------+------------------------+----------------------------+-----------------------+
 *       +-> goes on as before: the answer is why
 *
 * The new image is opened once and proves itself on the very state that it will get; then the acceptor
 * ends, whose clients wait in the backlog for some ten milliseconds, so that nobody speaks to a
 * supervisor that changes, and the ledger stands still. Signals wait until the new image can take
 * them; one that came before still waits in the loop, so that turns once more before the exec. What can still go wrong behind the exec is told in resume.c. */
#include "dispatcher/supervisor/upgrade.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/msg.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/origin.h"
#include "dispatcher/supervisor/records.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROBE_LIMIT_MS 5000
#define SETTLE_LIMIT_MS 2000
#define LOOK_MS 5
#define TEXT_BYTES 1024
#define DELETED " (deleted)"

enum upgrade_phase { UPGRADE_PROBES, UPGRADE_STOPS, UPGRADE_SETTLES, UPGRADE_FALLS_SILENT, UPGRADE_LEAVES };

struct upgrade {
	struct sv *sv;
	enum upgrade_phase phase;
	uint64_t id, deadline_ms;
	int image, own; /* the new program, and this one */
	int converted;	/* where the probe may leave the settings in its own layout */
	struct child *probe;
	int said; /* the pipe of the probe */
	struct timer *timer;
	sigset_t before; /* what was blocked before LEAVES */
};

static const unsigned may_follow[] = {
	[UPGRADE_PROBES] = BIT(UPGRADE_STOPS),
	[UPGRADE_STOPS] = BIT(UPGRADE_SETTLES),
	[UPGRADE_SETTLES] = BIT(UPGRADE_FALLS_SILENT),
	[UPGRADE_FALLS_SILENT] = BIT(UPGRADE_LEAVES),
	[UPGRADE_LEAVES] = 0,
};

static void set_phase(struct upgrade *u, enum upgrade_phase phase)
{
	ASSERT(may_follow[u->phase] & BIT(phase));
	u->phase = phase;
}

static void upgrade_free(struct upgrade *u)
{
	if (u->probe) {
		child_signal(u->probe, SIGKILL);
		child_forget(u->probe);
	}
	base_close(&u->image);
	base_close(&u->own);
	base_close(&u->converted);
	base_close(&u->said);
	timer_free(u->timer);
	u->sv->upgrade = NULL;
	free(u);
}

/* Everything goes on as before. */
static void give_up(struct upgrade *u, const char *why)
{
	struct sv *sv = u->sv;
	enum upgrade_phase phase = u->phase;

	ops_end_f(sv->ops, u->id, 1, "%s; the present program goes on", why);
	if (phase == UPGRADE_LEAVES)
		sigprocmask(SIG_SETMASK, &u->before, NULL);
	upgrade_free(u);
	if (phase == UPGRADE_FALLS_SILENT || phase == UPGRADE_LEAVES)
		logs_go_on(sv->logs);
	if (phase != UPGRADE_PROBES)
		baton_go_on(sv->baton);
}

void sv_upgrade_cancel(struct sv *sv)
{
	if (sv->upgrade)
		give_up(sv->upgrade, "a shutdown has begun");
}

/* --- the state --- */

static void save_op(const struct op *op, json_t *o)
{
	snapshot_put(o, "state", op->state);
	snapshot_put(o, "id", op->id);
	snapshot_put(o, "ended_wall_ms", op->ended_wall_ms);
	snapshot_put(o, "status", (uint64_t)op->status);
	snapshot_put_fd(o, "text_fd", op->text_fd);
	snapshot_put_text(o, "verb", op->verb);
	snapshot_put_text(o, "subject", op->subject);
	snapshot_put_text(o, "by", op->by);
}

static void save_ops(const struct ops *ops, json_t *root)
{
	const struct op *op;

	for (unsigned i = 0; (op = ops_at(ops, i)); i++)
		save_op(op, snapshot_add(root, "operations"));
}

/* Those on disk, too: what could not be written, or taken out, is in force all the same. */
static void save_closures(const struct closures *closures, json_t *root)
{
	const struct closure *c;

	for (unsigned i = 0; (c = closures_at(closures, i)); i++) {
		json_t *o = snapshot_add(root, "closures");

		snapshot_put_text(o, "name", c->name);
		snapshot_put_text(o, "by", c->by);
		snapshot_put(o, "at_wall_ms", c->at_wall_ms);
		snapshot_put(o, "lasts", c->lasts);
	}
}

/* As text for an image with another layout of settings. */
static void save_settings(const struct sv *sv, json_t *root)
{
	const struct settings *s = sv->config.settings;
	OWNS_MEM char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		settings_print_tables(s, out);
		fclose(out);
	}
	snapshot_put_text(root, "settings_text", text);
	snapshot_put_fd(root, "settings_fd", sv->config.fd);
	snapshot_put_fd(root, "file_fd", sv->file.fd);
	snapshot_put(root, "loaded_wall_ms", sv->loaded_wall_ms);
	snapshot_put_text(root, "config_file", settings_text(s, s->config_file));
	snapshot_put_text(root, "config_hash", s->hash);
}

static void save_process(const struct sv *sv, json_t *root)
{
	snapshot_put(root, "state_version", UPGRADE_STATE_VERSION);
	snapshot_put(root, "state_needs", UPGRADE_STATE_NEEDS);
	snapshot_put_text(root, "version", VERSION);
	snapshot_put(root, "worker_protocol", MSG_VERSION);
	snapshot_put(root, "upgraded_wall_ms", sv->upgraded_wall_ms);
	snapshot_put(root, "started_ms", sv->started_ms);
	snapshot_put(root, "started_wall_ms", sv->started_wall_ms);
	snapshot_put(root, "nofile_soft", sv->nofile.rlim_cur);
	snapshot_put(root, "nofile_hard", sv->nofile.rlim_max);
	snapshot_put(root, "acceptor_nofile", sv->acceptor_nofile);
	snapshot_put_fd(root, "ledger_fd", sv->ledger_fd);
}

/* A descriptor of it, or -errno; with ret_root also the document. */
static int save(const struct upgrade *u, json_t **ret_root)
{
	const struct sv *sv = u->sv;
	json_t *root = json_object();
	int fd;

	save_process(sv, root);
	save_settings(sv, root);
	snapshot_put(root, "upgrade_id", u->id);
	snapshot_put_fd(root, "old_image_fd", u->own);
	snapshot_put_fd(root, "converted_fd", u->converted);
	rundir_save(&sv->rundir, root);
	logs_save(sv->logs, root);
	baton_save(sv->baton, root);
	reload_save(sv->reload, root);
	origin_save(sv->origin, root);
	services_save(sv->services, root);
	secrets_save(sv->secrets, root);
	workers_save(sv->workers, root);
	thefts_save(sv->thefts, root);
	adopted_save(sv->adopted, root);
	save_closures(sv->closures, root);
	save_ops(sv->ops, root);
	fd = snapshot_write(root);
	*ret_root = root;
	return fd;
}

/* --- the exec --- */

/* Returns only when it could not be done. */
static int become(const struct upgrade *u, int state, json_t *root)
{
	char number[12];
	char *argv[] = {(char *)"dispatcher: supervisor", (char *)"--role=resume", number, NULL};
	int error;

	snprintf(number, sizeof(number), "%d", state);
	snapshot_pass(root, true);
	fcntl(state, F_SETFD, 0);
	execveat(u->image, "", argv, environ, AT_EMPTY_PATH);
	error = errno;
	snapshot_pass(root, false);
	return error;
}

static bool others_run(const struct sv *sv, uint64_t id)
{
	const struct op *op;

	for (unsigned i = 0; (op = ops_at(sv->ops, i)); i++)
		if (op->state == OP_RUNS && op->id != id)
			return true;
	return false;
}

static void leave(struct upgrade *u)
{
	json_t *root = NULL;
	OWNS_FD int state = -1;
	int error;

	if (others_run(u->sv, u->id)) {
		give_up(u, "another operation has begun: try again");
		return;
	}
	state = save(u, &root);
	error = state < 0 ? -state : become(u, state, root);
	json_decref(root);
	give_up(u, strerror(error));
}

static void on_silent(void *user)
{
	struct upgrade *u = user;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &u->before);
	set_phase(u, UPGRADE_LEAVES);
	timer_in(u->timer, LOOK_MS);
}

static void settle(struct upgrade *u)
{
	struct sv *sv = u->sv;

	if (!thefts_under_way(sv->thefts) && !records_under_way(sv->records) &&
		!workers_have_kin(sv->workers)) {
		set_phase(u, UPGRADE_FALLS_SILENT);
		logs_stop(sv->logs, on_silent, u);
	} else if (clock_mono_ms() >= u->deadline_ms) {
		give_up(u, "a worker is being killed or robbed for more than 2 s: try again");
	} else {
		timer_in(u->timer, LOOK_MS);
	}
}

static void on_acceptor_gone(void *user)
{
	struct upgrade *u = user;

	set_phase(u, UPGRADE_SETTLES);
	u->deadline_ms = clock_mono_ms() + SETTLE_LIMIT_MS;
	settle(u);
}

/* --- the probe --- */

static void on_timer(void *user)
{
	struct upgrade *u = user;

	if (u->phase == UPGRADE_PROBES)
		give_up(u, "the installed program says nothing for 5 s");
	else if (u->phase == UPGRADE_SETTLES)
		settle(u);
	else if (u->phase == UPGRADE_LEAVES)
		leave(u);
}

static void refuse(struct upgrade *u, int status, const char *text)
{
	char why[TEXT_BYTES + 80], ended[LOG_STATUS_BYTES];

	if (WIFEXITED(status) && text[0])
		snprintf(why, sizeof(why), "the installed program refuses: %s", text);
	else
		snprintf(why, sizeof(why), "the installed program is not fit: it ended by %s",
			log_status(status, ended));
	give_up(u, why);
}

static void on_probe(void *user, int status)
{
	struct upgrade *u = user;
	char text[TEXT_BYTES] = "";
	ssize_t got = read(u->said, text, sizeof(text) - 1);

	text[MAX(got, 0)] = '\0';
	text[strcspn(text, "\n")] = '\0';
	u->probe = NULL;
	timer_stop(u->timer);
	if (status || strncmp(text, UPGRADE_PROVEN, strlen(UPGRADE_PROVEN)) != 0) {
		refuse(u, status, text);
		return;
	}
	set_phase(u, UPGRADE_STOPS);
	baton_stop(u->sv->baton, on_acceptor_gone, u);
}

/* With the descriptors that the exec would leave to it, and its standard output to be read by us. */
static int spawn_probe(const struct upgrade *u, int state, int out, pid_t *ret_pid)
{
	char number[12], path[32];
	char *argv[] = {(char *)"dispatcher: probe", (char *)"--role=probe", number, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all, none;
	int bad;

	snprintf(number, sizeof(number), "%d", state);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", u->image);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&actions);
	bad = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (!bad)
		bad = posix_spawn(ret_pid, path, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -bad;
}

static int start_probe(struct upgrade *u)
{
	json_t *root = NULL;
	OWNS_FD int state = save(u, &root);
	OWNS_FD int out = -1;
	int ends[2], bad = MIN(state, 0);
	pid_t pid;

	if (!bad && pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		bad = -errno;
	if (!bad) {
		u->said = ends[0];
		out = ends[1];
		snapshot_pass(root, true);
		fcntl(state, F_SETFD, 0);
		bad = spawn_probe(u, state, out, &pid);
		snapshot_pass(root, false);
	}
	json_decref(root);
	return bad ? bad : child_watch(u->sv->children, pid, on_probe, u, &u->probe);
}

/* --- the order --- */

/* The path that this program was started from, as the kernel knows it. */
static int own_path(char ret_path[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
	size_t tail = strlen(DELETED);

	if (len < 0)
		return -errno;
	ret_path[len] = '\0';
	if ((size_t)len > tail && strcmp(ret_path + len - tail, DELETED) == 0)
		ret_path[(size_t)len - tail] = '\0';
	return ret_path[0] == '/' ? 0 : -ENOENT;
}

/* A descriptor of the installed program, or -errno. */
static int open_installed(char ret_path[PATH_MAX])
{
	OWNS_FD int fd = -1;
	struct stat st;
	int bad = own_path(ret_path);

	if (bad)
		return bad;
	fd = open(ret_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_mode & 0111 ? base_steal_fd(&fd) : -EACCES;
}

/* NULL, or why not now. */
static const char *hindrance(const struct sv *sv, uint64_t id)
{
	if (sv->phase != SV_RUNS)
		return "a shutdown is under way";
	if (sv->upgrade)
		return "an upgrade is under way";
	if (sv->former)
		return "the listeners of a former dispatcher are being taken over: try again";
	if (others_run(sv, id))
		return "another operation is under way: try again";
	return baton_is_steady(sv->baton) ? NULL : "the acceptor is being replaced: try again";
}

static int begin(struct sv *sv, uint64_t id, int image)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	int bad;

	if (!u) {
		close(image);
		return -ENOMEM;
	}
	*u = (struct upgrade){.sv = sv, .id = id, .image = image, .said = -1};
	u->own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	u->converted = sealed_memory("settings");
	bad = u->own < 0 || u->converted < 0 ? -errno : timer_new(&sv->loop, on_timer, u, &u->timer);
	if (!bad)
		bad = start_probe(u);
	if (bad) {
		upgrade_free(u);
		return bad;
	}
	sv->upgrade = u;
	timer_in(u->timer, PROBE_LIMIT_MS);
	return 0;
}

void sv_upgrade(struct sv *sv, const struct link_record *order)
{
	const char *why = hindrance(sv, order->id);
	char path[PATH_MAX] = "the installed program";
	int image = why ? -1 : open_installed(path), bad;

	if (why) {
		ops_end(sv->ops, order->id, 1, why);
		return;
	}
	bad = image < 0 ? image : begin(sv, order->id, image);
	if (bad)
		ops_end_f(sv->ops, order->id, 1, "%s: %s; the present program goes on", path,
			strerror(-bad));
}
