/* worker_main: from the first descriptor to the exit status.
 *
 * The dispatcher leaves four descriptors behind the standard ones and says so in the environment.
 * Started by hand, a small dispatcher of our own makes the same four, so that everything behind
 * this file is one path. */
#include "common/base.h"
#include "worker/byhand.h"
#include "worker/core.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#define ENVIRONMENT_MARK "DISPATCHER_WORKER"

/* As the dispatcher's exec step leaves them. */
enum { CHANNEL_FD = 3, PAGE_FD, BELL_FD, DOORBELL_FD };

static int complain(const char *program, const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, strerror(-error));
	return error;
}

static int copy_ops(struct worker *w, const struct worker_ops *ops)
{
	bool events;

	if (ops->size < offsetof(struct worker_ops, on_open) || ops->size % sizeof(void *))
		return -EINVAL;
	memcpy(&w->ops, ops, MIN(ops->size, sizeof(w->ops)));
	events = w->ops.on_open || w->ops.on_data || w->ops.on_line;
	if (events == !!w->ops.handle || (w->ops.on_data && w->ops.on_line))
		return -EINVAL;
	w->style = events ? &events_style : &threads_style;
	return 0;
}

static int inherit(struct link_fds *ret_fds)
{
	unsetenv(ENVIRONMENT_MARK);
	for (int fd = CHANNEL_FD; fd <= DOORBELL_FD; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	*ret_fds = (struct link_fds){CHANNEL_FD, PAGE_FD, BELL_FD, DOORBELL_FD};
	return 0;
}

static int read_setup(struct worker *w, struct link_fds *fds)
{
	OWNS_MEM void *record = NULL;
	size_t len;
	int bad = inbox_first(fds->channel, &record, &len);

	if (!bad)
		bad = setup_init(&w->setup, record, len);
	if (!bad)
		bad = report_init(
			&w->report, fds->page, fds->bell, fds->doorbell, w->setup.ring_len);
	base_close(&fds->page);
	base_close(&fds->bell);
	return bad;
}

static void on_term(uv_signal_t *term, int number)
{
	core_leave(term->data);
}

static int init_loop(struct worker *w, int channel)
{
	int bad = loop_init(&w->loop);

	if (bad)
		return bad;
	signal(SIGPIPE, SIG_IGN);
	uv_signal_init(&w->loop.uv, &w->term);
	w->term.data = w;
	uv_signal_start(&w->term, on_term, SIGTERM);
	inbox_raise_limit(w->setup.limits.max_conns);
	bad = inbox_init(&w->inbox, &w->loop, channel, &core_inbox_ops, w);
	return bad ? bad : w->style->init(w);
}

static int serve(struct worker *w)
{
	int bad = 0;

	if (w->ops.on_start && w->ops.on_start(w))
		return -ECANCELED; /* the author has said why */
	if (w->byhand)
		bad = byhand_start(w->byhand, w);
	if (bad)
		return bad;
	core_live(w, LIFE_SERVING);
	report_ready(&w->report);
	inbox_start(&w->inbox);
	core_run(w);
	if (w->ops.on_stop)
		w->ops.on_stop(w);
	return 0;
}

static void deinit_loop(struct worker *w)
{
	uv_close((uv_handle_t *)&w->term, NULL);
	inbox_close(&w->inbox);
	w->style->deinit(w);
	if (w->byhand)
		byhand_close(w->byhand);
	loop_deinit(&w->loop);
}

static int run(struct worker *w, struct link_fds *fds, const char *program)
{
	int bad = read_setup(w, fds);

	if (!bad)
		bad = init_loop(w, fds->channel);
	if (bad)
		return complain(program, "cannot start", bad);
	bad = serve(w);
	deinit_loop(w);
	return bad;
}

static int begin(
	struct worker *w, int argc, char **argv, const struct worker_ops *ops, struct link_fds *fds)
{
	const char *slash = strrchr(argv[0], '/');
	const char *program = slash ? slash + 1 : argv[0];
	int bad = copy_ops(w, ops);

	if (bad)
		return complain(program, "on_open, on_data or on_line, or handle: one style", bad);
	if (getenv(ENVIRONMENT_MARK)) {
		bad = inherit(fds);
		if (bad)
			return complain("worker", "not started by the dispatcher", bad);
		return run(w, fds, "worker");
	}
	w->program = program;
	bad = byhand_new(argc, argv, &w->byhand, fds);
	if (bad)
		return bad;
	return run(w, fds, program);
}

int worker_main(int argc, char **argv, const struct worker_ops *ops)
{
	struct link_fds fds = {-1, -1, -1, -1};
	struct worker *w = calloc(1, sizeof(*w));
	int bad = -ENOMEM;

	if (w) {
		secure_init(&w->secure);
		bad = begin(w, argc, argv, ops, &fds);
		report_deinit(&w->report);
		conns_deinit(&w->conns);
		secure_deinit(&w->secure);
		setup_deinit(&w->setup);
		byhand_free(w->byhand);
	}
	base_close(&fds.channel);
	base_close(&fds.page);
	base_close(&fds.bell);
	base_close(&fds.doorbell);
	free(w);
	return bad < 0 ? 1 : 0;
}
