/* The new image's part. First everything is built from the state, with no trace outside of this process:
 * nothing is started, written or signalled, and every descriptor stays as it is. That is what the probe
 * does, too. As long as it lasts, the way back is open: an error, a crash or a delay of five seconds
 * executes the old image again with the same state. Only then the new image is in charge.
 *
 * The handlers of that way back need to know two numbers; so there are variables for them. */
#include "dispatcher/supervisor/upgrade.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/ledger.h"
#include "common/log.h"
#include "common/msg.h"
#include "common/page.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/convert.h"
#include "dispatcher/supervisor/ledgers.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/origin.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/supervisor.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LIMIT_SECONDS 5

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};

static struct {
	int old_image;
	char state[12];
} way_back;

/* --- the way back --- */

/* Safe in a handler. Signals are blocked, as they were for us. */
_Noreturn static void go_back(const char *why)
{
	char *argv[] = {(char *)"dispatcher: supervisor", (char *)"--role=resume", way_back.state,
		(char *)why, NULL};

	alarm(0);
	execveat(way_back.old_image, "", argv, environ, AT_EMPTY_PATH);
	_exit(SUPERVISOR_FAILED);
}

static void on_fatal(int number)
{
	go_back(number == SIGALRM ? "it was not ready within 5 s" : "it crashed");
}

static void open_way_back(int state)
{
	struct sigaction action = {.sa_handler = on_fatal, .sa_flags = SA_NODEFER};
	sigset_t deadly;

	snprintf(way_back.state, sizeof(way_back.state), "%d", state);
	sigemptyset(&deadly);
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++) {
		sigaction(fatal[i], &action, NULL);
		sigaddset(&deadly, fatal[i]);
	}
	sigprocmask(SIG_UNBLOCK, &deadly, NULL);
	alarm(LIMIT_SECONDS);
}

static void close_way_back(void)
{
	alarm(0);
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
		signal(fatal[i], SIG_DFL);
	base_close(&way_back.old_image);
}

/* --- building --- */

static const char *restore_op(struct ops *ops, json_t *o)
{
	const char *verb = snapshot_text(o, "verb"), *subject = snapshot_text(o, "subject"),
		*by = snapshot_text(o, "by");
	struct op op = {.state = (enum op_state)snapshot_number(o, "state", OP_FREE),
		.id = snapshot_number(o, "id", 0),
		.ended_wall_ms = snapshot_number(o, "ended_wall_ms", 0),
		.status = (int)snapshot_number(o, "status", 1),
		.text_fd = snapshot_fd(o, "text_fd")};

	snprintf(op.verb, sizeof(op.verb), "%s", verb ? verb : "");
	snprintf(op.subject, sizeof(op.subject), "%s", subject ? subject : "");
	snprintf(op.by, sizeof(op.by), "%s", by ? by : "");
	return ops_restore_consume(ops, &op) ? "an operation" : NULL;
}

static const char *restore_ops(struct ops *ops, json_t *root)
{
	const char *bad = NULL;
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(root, "operations"), i, o)
		if (!bad)
			bad = restore_op(ops, o);
	return bad;
}

/* The saved list is the one in force: what is on disk may lack what could not be written, or still have
 * what could not be taken out. */
static int restore_closures(struct closures *closures, json_t *root)
{
	int bad = 0;
	json_t *o;
	size_t i;

	closures_forget(closures);
	json_array_foreach(json_object_get(root, "closures"), i, o) {
		const char *name = snapshot_text(o, "name"), *by = snapshot_text(o, "by");
		bool lasts = snapshot_number(o, "lasts", LINK_LASTS_SHUTDOWN) == LINK_LASTS_DISABLE;
		struct closure c = {.lasts = lasts ? LINK_LASTS_DISABLE : LINK_LASTS_SHUTDOWN,
			.at_wall_ms = snapshot_number(o, "at_wall_ms", 0)};

		if (!name || bad)
			continue;
		snprintf(c.name, sizeof(c.name), "%s", name);
		snprintf(c.by, sizeof(c.by), "%s", by ? by : "");
		bad = closures_restore(closures, &c);
	}
	return bad;
}

static int carry_over(struct sv *sv, int old_fd)
{
	uint32_t services = sv->config.settings->services.count;
	OWNS_MEM struct ledger_need *needs = ledgers_needs(sv->config.settings);
	OWNS_MEM uint32_t *map = calloc(services + 1, sizeof(*map));

	if (!map || !needs)
		return -ENOMEM;
	for (uint32_t i = 0; i < services; i++)
		map[i] = i;
	sv->ledger_fd = ledgers_carry(old_fd, needs, services, map);
	return MIN(sv->ledger_fd, 0);
}

/* Another build may need more places for the same limits. */
static bool has_room(const struct ledger *ledger, const struct settings *s)
{
	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);
		struct ledger_need has = ledger_has(ledger, i);

		if (has.workers < settings_worker_slots(svc) || has.conns < settings_conn_slots(svc))
			return false;
	}
	return true;
}

/* One of other records is carried over into one of ours; nobody writes the old one any more. */
static int restore_ledger(struct sv *sv, json_t *root)
{
	uint32_t services = sv->config.settings->services.count;
	int fd = snapshot_fd(root, "ledger_fd"), bad;
	struct stat st;
	void *old;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -EBADMSG;
	old = page_map(fd, (size_t)st.st_size, 0);
	if (!old)
		return -errno;
	sv->ledger_fd = fd;
	bad = ledger_check_own(old, (size_t)st.st_size, services);
	if ((bad || !has_room(old, sv->config.settings)) && !ledger_check(old, (size_t)st.st_size, services)) {
		bad = carry_over(sv, fd);
		json_object_set_new(root, "ledger_fd", json_integer(fd)); /* nobody's: closed at the end */
	}
	munmap(old, (size_t)st.st_size);
	return bad;
}

static void restore_process(struct sv *sv, json_t *root)
{
	sv->started_ms = snapshot_number(root, "started_ms", clock_mono_ms());
	sv->started_wall_ms = snapshot_number(root, "started_wall_ms", clock_wall_ms());
	sv->loaded_wall_ms = snapshot_number(root, "loaded_wall_ms", sv->started_wall_ms);
	sv->upgraded_wall_ms = snapshot_number(root, "upgraded_wall_ms", 0);
	sv->nofile.rlim_cur = snapshot_number(root, "nofile_soft", 1024);
	sv->nofile.rlim_max = snapshot_number(root, "nofile_hard", 4096);
	sv->acceptor_nofile = snapshot_number(root, "acceptor_nofile", sv->nofile.rlim_max);
}

static const char *restore_parts(struct sv *sv, json_t *root)
{
	if (restore_closures(sv->closures, root))
		return "its closed services";
	reload_restore(sv->reload, root);
	origin_restore(sv->origin, root);
	services_restore(sv->services, root);
	baton_restore(sv->baton, root);
	if (workers_restore(sv->workers, root))
		return "its workers";
	if (thefts_restore(sv->thefts, root))
		return "its thefts";
	return restore_ops(sv->ops, root);
}

/* NULL, or what of the state cannot be understood. */
static const char *rebuild(struct sv *sv, json_t *root)
{
	static const struct supervisor_options options;
	const char *missing = snapshot_missing(root);

	if (snapshot_number(root, "state_needs", UINT64_MAX) > UPGRADE_STATE_VERSION)
		return "its version";
	if (missing)
		return missing;
	if (snapshot_number(root, "worker_protocol", MSG_VERSION) != MSG_VERSION)
		return "the protocol of its workers";
	if (convert_settings(root, &sv->config))
		return "its settings";
	if (convert_file(root, &sv->config, &sv->file))
		return "its file's settings";
	restore_process(sv, root);
	log_set_debug(sv->config.settings->debug);
	rundir_restore(&sv->rundir, sv->config.settings, root);
	sv->adopted = adopted_new();
	if (!sv->adopted || adopted_restore(sv->adopted, root))
		return "lent listeners";
	if (restore_ledger(sv, root))
		return "its ledger";
	if (secrets_new(&sv->secrets) || secrets_restore(sv->secrets, root))
		return "its certificates";
	if (uv_loop_init(&sv->loop) || sv_make_parts(sv, &options, root))
		return "its descriptors";
	return restore_parts(sv, root);
}

/* --- roles --- */

static int read_state(char **argv, int *ret_fd, json_t **ret_root)
{
	*ret_fd = atoi(argv[UPGRADE_ARG_STATE]);
	return snapshot_read(*ret_fd, ret_root);
}

int upgrade_probe(int argc, char **argv)
{
	struct sv *sv = calloc(1, sizeof(*sv));
	const char *bad = "its form";
	json_t *root = NULL;
	int fd;

	if (!sv || argc <= UPGRADE_ARG_STATE)
		return SUPERVISOR_FAILED;
	sv->config.fd = sv->file.fd = sv->ledger_fd = -1;
	if (!read_state(argv, &fd, &root))
		bad = rebuild(sv, root);
	if (bad)
		printf("it does not understand the state: %s\n", bad);
	else
		printf(UPGRADE_PROVEN "%s\n", VERSION);
	fflush(stdout);
	_exit(bad ? SUPERVISOR_FAILED : SUPERVISOR_DONE);
}

/* From here on there is no way back. */
static void take_charge(struct sv *sv, int state, json_t *root)
{
	json_t *whole = NULL;
	sigset_t none;

	close_way_back();
	if (!snapshot_read(state, &whole)) {
		snapshot_pass(whole, false);
		snapshot_close_rest(root);
	}
	json_decref(whole);
	close(state);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	log_to(logs_own_fd(sv->logs));
	logs_start(sv->logs);
	adopted_match(sv->adopted, sv->config.settings);
	baton_start(sv->baton);
	children_sweep(sv->children);
}

static void tell(struct sv *sv, json_t *root, const char *why)
{
	const char *from = snapshot_text(root, "version");
	uint64_t id = snapshot_number(root, "upgrade_id", 0);

	if (why) {
		ops_end_f(sv->ops, id, 1, "the installed program could not go on: %s; "
			"the former one does", why);
		return;
	}
	sv->upgraded_wall_ms = clock_wall_ms();
	log_event(EV_UPGRADED, "version=%s from=%s pid=%d", VERSION, from ? from : "unknown", getpid());
	ops_end_f(sv->ops, id, 0, "version %s took the place of version %s", VERSION,
		from ? from : "unknown");
}

int upgrade_resume(int argc, char **argv)
{
	struct sv *sv = calloc(1, sizeof(*sv));
	const char *why = argc > UPGRADE_ARG_WHY ? argv[UPGRADE_ARG_WHY] : NULL, *bad = "its form";
	json_t *root = NULL;
	int fd;

	if (!sv || argc <= UPGRADE_ARG_STATE || read_state(argv, &fd, &root))
		return SUPERVISOR_FAILED;
	sv->config.fd = sv->file.fd = sv->ledger_fd = -1;
	way_back.old_image = snapshot_fd(root, "old_image_fd");
	if (!why)
		open_way_back(fd);
	bad = rebuild(sv, root);
	if (bad && !why)
		go_back(bad);
	if (bad)
		return SUPERVISOR_FAILED;
	take_charge(sv, fd, root);
	tell(sv, root, why);
	json_decref(root);
	return sv_serve(sv);
}
