/* It shows that it is ready in its report page, as to the acceptor; the bell stays unarmed, so that the
 * doorbell is untouched for whoever gets the worker. */
#include "dispatcher/supervisor/canary.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/page.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define LOOK_MS 10
#define PATIENCE_MS 30000 /* without START_TIMEOUT */

struct canary {
	struct worker_world world;
	struct worker *worker;
	uint32_t service;
	const struct page *page; /* its head */
	uint64_t deadline_ms, start_ms;
	struct timer *look;
	char why[LINK_TEXT_BYTES + 64]; /* empty: nothing went wrong yet */
	bool told;
	canary_done *done;
	void *user;
};

static void on_became(void *user, struct worker *w, enum worker_state before)
{
}

static void on_unusable(void *user, struct worker *w, int error, const char *why)
{
	struct canary *c = user;

	snprintf(c->why, sizeof(c->why), "%s", why);
}

static void on_reaped(void *user, struct worker *w)
{
}

static const struct worker_ops worker_ops = {
	.became = on_became, .unusable = on_unusable, .reaped = on_reaped};

static void unmap(struct canary *c)
{
	if (c->page)
		munmap((void *)c->page, sizeof(*c->page));
	c->page = NULL;
}

static void find_out_why(struct canary *c)
{
	const struct worker *w = c->worker;
	char status[LOG_STATUS_BYTES], line[PAGE_LINE_BYTES] = "";

	if (*c->why)
		return;
	if (c->page && w->kind != LINK_NATIVE)
		page_copy_line(c->page, line);
	if (*w->unfit || *line) {
		snprintf(c->why, sizeof(c->why), "a worker for trial cannot serve: %s",
			*w->unfit ? w->unfit : line);
		return;
	}
	if (w->state == WORKER_EXITED && w->error)
		snprintf(c->why, sizeof(c->why), "cannot be started: %s", strerror(w->error));
	else if (w->state == WORKER_EXITED)
		snprintf(c->why, sizeof(c->why),
			"a worker for trial ended before it was ready (%s); the log has what it wrote",
			log_status(w->status, status));
	else
		snprintf(c->why, sizeof(c->why), "a worker for trial was not ready within %.1f s",
			(double)c->start_ms / 1000);
}

static void tell(struct canary *c, const char *error)
{
	timer_stop(c->look);
	if (c->told)
		return;
	c->told = true;
	c->done(c->user, c, error);
}

static void on_look(void *user)
{
	struct canary *c = user;
	bool alive = worker_lives(c->worker);

	if (alive && c->page && atomic_load(&c->page->ready)) {
		tell(c, NULL);
	} else if (!alive || clock_mono_ms() >= c->deadline_ms) {
		find_out_why(c);
		tell(c, c->why);
	} else {
		timer_in(c->look, LOOK_MS);
	}
}

int canary_start(const struct worker_world *world, const struct settings *s, uint32_t service,
	uint32_t serial, uint32_t sink, canary_done *done, void *user, struct canary **ret_canary)
{
	const struct service_settings *svc = settings_service(s, service);
	struct canary *c = calloc(1, sizeof(*c));
	int bad;

	if (!c)
		return -ENOMEM;
	c->world = *world;
	c->world.ops = &worker_ops;
	c->world.user = c;
	c->service = service;
	c->done = done;
	c->user = user;
	c->start_ms = svc->start_ms ? svc->start_ms : PATIENCE_MS;
	c->deadline_ms = clock_mono_ms() + c->start_ms;
	bad = timer_new(world->loop, on_look, c, &c->look);
	if (!bad)
		bad = worker_new(&c->world, service, WORKER_NO_SLOT, serial, &c->worker);
	if (bad) {
		canary_free(c);
		return bad;
	}
	c->worker->is_trial = true;
	worker_start(c->worker, s, svc, sink);
	if (c->worker->parts.page >= 0)
		c->page = page_map(c->worker->parts.page, sizeof(*c->page), 0);
	timer_in(c->look, LOOK_MS);
	*ret_canary = c;
	return 0;
}

uint32_t canary_service(const struct canary *c)
{
	return c->service;
}

bool canary_has_ended(const struct canary *c)
{
	return !worker_lives(c->worker);
}

struct worker *canary_steal(struct canary *c)
{
	struct worker *w = c->worker;

	c->worker = NULL;
	canary_free(c);
	return w;
}

struct canary *canary_free(struct canary *c)
{
	if (!c)
		return NULL;
	if (c->worker) {
		worker_signal(c->worker, SIGKILL);
		worker_free(c->worker);
	}
	unmap(c);
	timer_free(c->look);
	free(c);
	return NULL;
}
