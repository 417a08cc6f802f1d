/* The start of everything, and the loop. It reads no network byte, parses nothing, and starts only what
 * its configuration names. What can fail is done before anything is visible: a second start, or a wrong
 * configuration, touches nothing. */
#include "dispatcher/supervisor/supervisor.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/certs.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/delivery.h"
#include "dispatcher/supervisor/former.h"
#include "dispatcher/supervisor/inherited.h"
#include "dispatcher/supervisor/images.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/ledgers.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/memory.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/origin.h"
#include "dispatcher/supervisor/records.h"
#include "dispatcher/supervisor/reload.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SUPERVISOR_OOM_SCORE "-900"
#define FDS_BESIDE 256	 /* of any of our processes, beside workers and listeners */
#define REFUSED_AT_A_TIME 256 /* who has not read to the end */
#define FDS_PER_SERVICE 6 /* certificates and ticket keys, also of the next configuration */
#define FDS_PER_WORKER 10 /* channel, its other end, page, bell, doorbell, log, pidfd, loot, birth, spare */

/* --- configuration --- */

static void tell(void *user, enum load_severity severity, const char *text)
{
	char quoted[LOG_QUOTE_BYTES];

	log_quote(text, quoted);
	if (severity == LOAD_NOT_ENFORCED)
		log_event(EV_NOT_ENFORCED, "text=%s", quoted);
	else if (severity == LOAD_WARNING)
		log_event(EV_CONFIG_WARNING, "text=%s", quoted);
	else
		log_event(EV_CONFIG_ERROR, "text=%s", quoted);
}

/* An enum supervisor_exit. */
static int read_config(struct sv *sv, const char *path)
{
	char text[LOG_STATUS_BYTES];
	struct reader_request request = {.path = path, .old_fd = -1, .tell = tell};
	int status = 0, answer = reader_read(&request, &sv->config, &status);

	if (!answer)
		answer = reader_result_copy(&sv->config, &sv->file);
	if (!answer)
		return SUPERVISOR_DONE;
	if (answer == READER_REFUSED)
		return SUPERVISOR_CONFIGURATION;
	if (answer == READER_CRASHED)
		log_event(EV_INTERNAL, "where=configuration why=\"its reader ended by %s\"",
			log_status(status, text));
	else
		log_event(EV_INTERNAL, "where=configuration why=\"%s\"", strerror(-answer));
	return SUPERVISOR_FAILED;
}

/* An enum supervisor_exit. */
static int read_keys(struct sv *sv)
{
	char text[LOG_STATUS_BYTES];
	struct keyring_request request = {
		.settings = sv->config.settings, .settings_fd = sv->config.fd, .tell = tell};
	struct keyring ring = {0};
	int status = 0, answer = secrets_new(&sv->secrets);

	if (!answer)
		answer = keyring_read(&request, &ring, &status);
	if (!answer)
		answer = secrets_prepare_consume(sv->secrets, &ring, sv->config.settings);
	if (!answer) {
		secrets_commit(sv->secrets, sv->config.settings);
		return SUPERVISOR_DONE;
	}
	if (answer == KEYRING_REFUSED || answer == -ENOENT)
		return SUPERVISOR_CONFIGURATION;
	if (answer == KEYRING_CRASHED)
		log_event(EV_INTERNAL, "where=certificates why=\"their reader ended by %s\"",
			log_status(status, text));
	else
		log_event(EV_INTERNAL, "where=certificates why=\"%s\"", strerror(-answer));
	return SUPERVISOR_FAILED;
}

/* --- the process --- */

static uint64_t descriptors_needed(const struct settings *s)
{
	uint64_t needed = FDS_BESIDE;

	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);
		uint64_t slots = settings_worker_slots(svc);

		needed += slots * FDS_PER_WORKER + svc->listeners.count + FDS_PER_SERVICE;
	}
	return needed;
}

/* Unread offers, and clients in queues, are descriptors in flight, which unix(7) limits by the sender's RLIMIT_NOFILE. Beyond
 * what can be had, the limit is back-pressure for the acceptor. */
static uint64_t acceptor_descriptors(const struct settings *s)
{
	uint64_t needed = descriptors_needed(s);

	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		needed += (uint64_t)(svc->max_procs + svc->max_shutdown) * svc->max_handoffs;
		if (svc->when_full == FULL_REFUSE)
			needed += svc->queue_size + REFUSED_AT_A_TIME;
	}
	return needed;
}

/* Even root may lack the right to raise the hard limit (CAP_SYS_RESOURCE), as in many containers. */
void sv_need_descriptors(struct sv *sv, const struct settings *settings)
{
	struct rlimit wanted;

	wanted.rlim_max = MAX(sv->nofile.rlim_max, acceptor_descriptors(settings));
	wanted.rlim_max = MAX(wanted.rlim_max, sv->acceptor_nofile);
	wanted.rlim_cur = wanted.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &wanted) < 0) {
		wanted.rlim_cur = wanted.rlim_max = sv->nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &wanted);
	}
	sv->acceptor_nofile = wanted.rlim_max;
	if (sv->baton)
		baton_world(sv->baton)->nofile = sv->acceptor_nofile;
}

static void settle_process(struct sv *sv)
{
	OWNS_FD int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	getrlimit(RLIMIT_NOFILE, &sv->nofile);
	sv_need_descriptors(sv, sv->config.settings);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	umask(022);
	if (score >= 0 && geteuid() == 0)
		dprintf(score, SUPERVISOR_OOM_SCORE);
	if (chdir("/") < 0)
		log_event(EV_INTERNAL, "where=chdir why=\"%s\"", strerror(errno));
}

static int take_rundir(struct sv *sv)
{
	pid_t holder = 0;
	const char *what = "";
	int answer = rundir_open(&sv->rundir, sv->config.settings, &holder, &what);

	if (answer == RUNDIR_TAKEN)
		fprintf(stderr, "dispatcher: already running as process %d (%s)\n", holder,
			settings_text(sv->config.settings, sv->config.settings->run_dir));
	else if (answer == RUNDIR_BUSY)
		fprintf(stderr, "dispatcher: %s: a former dispatcher's acceptor has this open and takes no "
			"connection; start again later, or kill it\n", what);
	else if (answer)
		fprintf(stderr, "dispatcher: %s: %s\n", what, strerror(-answer));
	return answer ? -1 : 0;
}

/* Before anything else is opened. */
static int adopt_inherited(struct sv *sv)
{
	int answer;

	sv->adopted = adopted_new();
	if (!sv->adopted)
		return -ENOMEM;
	answer = adopted_inherit(sv->adopted);
	if (answer == INHERITED_WRONG)
		log_event(EV_CONFIG_WARNING,
			"text=\"LISTEN_FDS is no number from 1 to %d: no inherited listeners\"",
			INHERITED_MAX);
	return MIN(answer, 0);
}

/* --- shared memory --- */

int sv_make_ledger(struct sv *sv)
{
	OWNS_MEM struct ledger_need *needs = ledgers_needs(sv->config.settings);

	if (!needs)
		return -ENOMEM;
	sv->ledger_fd = ledgers_make(needs, sv->config.settings->services.count);
	return MIN(sv->ledger_fd, 0);
}

/* --- signals --- */

static void on_signal(uv_signal_t *handle, int number)
{
	struct sv *sv = handle->data;

	switch (number) {
	case SIGTERM:
		sv_drain(sv, "SIGTERM", SV_AS_CONFIGURED);
		break;
	case SIGINT:
		sv_kill(sv, "SIGINT");
		break;
	case SIGUSR1:
		sv_order(sv, &(struct link_record){.type = LINK_REOPEN, .text = "SIGUSR1"});
		break;
	case SIGHUP:
		sv_order(sv, &(struct link_record){.type = LINK_RELOAD, .text = "SIGHUP"});
		break;
	default:
		children_sweep(sv->children);
	}
}

static int watch_signals(struct sv *sv)
{
	static const int numbers[SV_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
	int bad = 0;

	for (int i = 0; !bad && i < SV_SIGNALS; i++) {
		uv_signal_init(&sv->loop, &sv->signals[i]);
		sv->signals[i].data = sv;
		bad = uv_signal_start(&sv->signals[i], on_signal, numbers[i]);
	}
	return bad;
}

/* --- the parts --- */

static void on_unusable(void *user, uint32_t service, int error, const char *why)
{
	struct sv *sv = user;

	services_failed(sv->services, service, why);
}

static void on_exited(void *user)
{
	sv_look(user);
}

static int make_baton(struct sv *sv, const struct supervisor_options *options)
{
	static const struct baton_ops ops = {.announce = sv_announce, .order = sv_order};
	static const char *const role[] = {"--role=acceptor", NULL};
	struct baton_world world = {.loop = &sv->loop,
		.config = &sv->config,
		.children = sv->children,
		.image = options->acceptor_image ? options->acceptor_image : LAUNCH_SELF,
		.arguments = options->acceptor_image ? options->acceptor_arguments : role,
		.ledger_fd = &sv->ledger_fd,
		.control_fd = sv->rundir.control.fd,
		.log_fd = logs_acceptor_fd(sv->logs),
		.nofile = sv->acceptor_nofile,
		.created_ms = sv->started_ms,
		.created_wall_ms = sv->started_wall_ms,
		.upgraded_wall_ms = &sv->upgraded_wall_ms,
		.ops = &ops,
		.user = sv};

	return baton_new(&world, &sv->baton);
}

static int make_workers(struct sv *sv)
{
	static const struct workers_ops ops = {.unusable = on_unusable, .exited = on_exited};
	struct workers_world world = {.loop = &sv->loop,
		.config = &sv->config,
		.ledger_fd = &sv->ledger_fd,
		.children = sv->children,
		.services = sv->services,
		.outlet = baton_outlet(sv->baton),
		.logs = sv->logs,
		.secrets = sv->secrets,
		.nofile = sv->nofile,
		.ops = &ops,
		.user = sv};

	return workers_new(&world, &sv->workers);
}

static int make_thefts(struct sv *sv)
{
	struct thefts_world world = {.loop = &sv->loop,
		.config = &sv->config,
		.children = sv->children,
		.workers = sv->workers,
		.outlet = baton_outlet(sv->baton),
		.nofile = &sv->acceptor_nofile,
		.log = logs_acceptor_fd(sv->logs)};

	return thefts_new(&world, &sv->thefts);
}

static void on_origin(void *user)
{
	const struct sv *sv = user;

	reload_announce(sv->reload);
}

static int make_origin(struct sv *sv)
{
	int bad = origin_new(&sv->loop, on_origin, sv, &sv->origin);

	return bad ? bad : origin_set(sv->origin, sv->file.settings);
}

int sv_make_parts(struct sv *sv, const struct supervisor_options *options, json_t *saved)
{
	int bad = children_new(&sv->loop, &sv->children);

	if (!bad)
		bad = logs_new(&sv->loop, sv->children, &sv->config, saved, &sv->logs);
	if (!bad && sv->ledger_fd < 0)
		bad = sv_make_ledger(sv);
	if (!bad)
		bad = make_baton(sv, options);
	if (!bad)
		bad = closures_new(settings_text(sv->config.settings, sv->config.settings->state_dir), &sv->closures);
	if (!bad)
		bad = services_new(&sv->loop, &sv->config, sv->closures, baton_outlet(sv->baton),
			sv->adopted, &sv->services);
	if (!bad)
		bad = make_workers(sv);
	if (!bad)
		bad = delivery_new(&sv->loop, sv->secrets, sv->services, sv->workers, &sv->delivery);
	if (!bad)
		bad = certs_new(&sv->loop, sv->secrets, sv->services, baton_outlet(sv->baton), &sv->certs);
	if (!bad)
		bad = make_thefts(sv);
	if (!bad)
		bad = sv_make_records(sv);
	if (!bad)
		bad = images_new(&sv->loop, sv->services, sv->workers, &sv->images);
	if (!bad)
		bad = memory_new(&sv->loop, sv->services, sv->workers, &sv->memory);
	if (!bad)
		bad = ops_new(baton_outlet(sv->baton), &sv->ops);
	if (!bad)
		bad = reload_new(sv, &sv->reload);
	if (!bad)
		bad = make_origin(sv);
	if (!bad)
		bad = timer_new(&sv->loop, sv_on_limit, sv, &sv->limit);
	return bad ? bad : watch_signals(sv);
}

void sv_adapt(struct sv *sv, unsigned changes)
{
	const struct settings *s = sv->config.settings;

	log_set_debug(s->debug);
	rundir_adjust(&sv->rundir, s, changes & SCHEMA_CONTROL);
}

/* Backwards: what holds something of another goes first. */
static void free_parts(struct sv *sv)
{
	log_to(STDERR_FILENO);
	reload_free(sv->reload);
	origin_free(sv->origin);
	thefts_free(sv->thefts);
	records_free(sv->records);
	ops_free(sv->ops);
	images_free(sv->images);
	memory_free(sv->memory);
	delivery_free(sv->delivery);
	certs_free(sv->certs);
	if (sv->workers)
		workers_free(sv->workers);
	if (sv->services)
		services_free(sv->services);
	baton_free(sv->baton);
	if (sv->children)
		children_free(sv->children);
	logs_free(sv->logs);
	timer_free(sv->limit);
	closures_free(sv->closures);
	for (int i = 0; i < SV_SIGNALS; i++)
		if (sv->signals[i].data)
			uv_close((uv_handle_t *)&sv->signals[i], NULL);
	uv_run(&sv->loop, UV_RUN_DEFAULT);
	uv_loop_close(&sv->loop);
	base_close(&sv->ledger_fd);
}

int sv_serve(struct sv *sv)
{
	sv_manager_start(sv);
	uv_run(&sv->loop, UV_RUN_DEFAULT);
	sv_manager_stop(sv);
	free_parts(sv);
	rundir_close(&sv->rundir);
	former_free(sv->former);
	adopted_free(sv->adopted);
	secrets_free(sv->secrets);
	reader_result_free(&sv->config);
	reader_result_free(&sv->file);
	return SUPERVISOR_DONE;
}

static int run(struct sv *sv, const struct supervisor_options *options)
{
	char quoted[LOG_QUOTE_BYTES];
	int bad = uv_loop_init(&sv->loop);

	if (!bad)
		bad = sv_make_parts(sv, options, NULL);
	if (bad) {
		fprintf(stderr, "dispatcher: cannot start: %s\n", strerror(-bad));
		free_parts(sv);
		return SUPERVISOR_FAILED;
	}
	logs_start(sv->logs);
	log_to(logs_own_fd(sv->logs));
	log_event(EV_START, "version=%s pid=%d config=%s", VERSION, getpid(),
		log_quote(settings_text(sv->config.settings, sv->config.settings->config_file), quoted));
	sv_take_over(sv);
	sv_warn_of_closures(sv);
	services_open(sv->services);
	baton_start(sv->baton);
	return sv_serve(sv);
}

int supervisor_main(const struct supervisor_options *options)
{
	struct sv sv = {.config.fd = -1,
		.file.fd = -1,
		.ledger_fd = -1,
		.started_ms = clock_mono_ms(),
		.started_wall_ms = clock_wall_ms(),
		.loaded_wall_ms = clock_wall_ms()};
	int status, bad = adopt_inherited(&sv);

	if (bad) {
		fprintf(stderr, "dispatcher: cannot start: %s\n", strerror(-bad));
		return SUPERVISOR_FAILED;
	}
	status = read_config(&sv, options->config);
	if (!status)
		status = read_keys(&sv);
	if (status) {
		adopted_free(sv.adopted);
		secrets_free(sv.secrets);
		reader_result_free(&sv.config);
		reader_result_free(&sv.file);
		return status;
	}
	log_set_debug(sv.config.settings->debug);
	settle_process(&sv);
	if (!take_rundir(&sv) && run(&sv, options) == SUPERVISOR_DONE)
		return SUPERVISOR_DONE;
	rundir_close(&sv.rundir);
	adopted_free(sv.adopted);
	secrets_free(sv.secrets);
	reader_result_free(&sv.config);
	reader_result_free(&sv.file);
	return SUPERVISOR_FAILED;
}
