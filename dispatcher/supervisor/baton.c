/* Only one process may accept, offer and write the ledger: the next acceptor is started when the
 * kernel says that the last one has ended, never before. It is told everything, then LINK_GO.
 *
 * Who dies within 10 s of its start again and again is started ever later (backoff.c); but one that had
 * begun to accept and was killed by SIGKILL did not crash by itself, and is replaced at once. */
#include "dispatcher/supervisor/baton.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "config/settings.h"
#include "dispatcher/supervisor/backoff.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define STOP_LIMIT_MS 1000
#define ORDERS_A_TURN 256
#define ACCEPTOR_OOM_SCORE (-500)

struct baton {
	struct baton_world world;
	struct outlet outlet;
	struct news hello, go;
	struct child *child;
	pid_t pid;
	bool up; /* it has begun to accept */
	uint32_t starts;
	struct backoff backoff;
	struct timer *timer; /* until the next start, or the limit of the stop */
	bool stopping;
	void (*stopped)(void *user);
	void *user;
};

static struct baton *of_hello(struct news *news)
{
	return (struct baton *)((char *)news - offsetof(struct baton, hello));
}

static int say_hello(struct news *news, int fd)
{
	const struct baton *b = of_hello(news);
	const struct baton_world *w = &b->world;
	struct link_record r = {.type = LINK_HELLO,
		.pid = getpid(),
		.number = b->starts,
		.created_ms = w->created_ms,
		.created_wall_ms = w->created_wall_ms};
	int fds[] = {w->settings_fd, w->ledger_fd, w->bells_fd, w->control_fd, w->log_fd};

	return link_send(fd, &r, fds, ARRAY_LEN(fds));
}

static int say_go(struct news *news, int fd)
{
	struct link_record r = {.type = LINK_GO};

	return link_send(fd, &r, NULL, 0);
}

static void on_child(void *user, int status);

static int launch_acceptor(struct baton *b, int link)
{
	const struct baton_world *w = &b->world;
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[] = {null, w->log_fd, w->log_fd, link};
	struct launch l = {.title = "dispatcher: acceptor",
		.image = w->image,
		.arguments = w->arguments,
		.uid = w->settings->uid,
		.gid = w->settings->gid,
		.umask = 077,
		.oom_score_adj = ACCEPTOR_OOM_SCORE,
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	int bad;

	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, w->nofile, w->nofile};
	l.limits[RLIMIT_CORE] = (struct spec_limit){.set = 1};
	if (null < 0)
		return -errno;
	bad = launch(&l, &b->pid, NULL);
	return bad ? bad : child_watch(w->children, b->pid, on_child, b, &b->child);
}

static int start_acceptor(struct baton *b)
{
	OWNS_FD int theirs = -1;
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	theirs = ends[1];
	bad = outlet_open_consume(&b->outlet, ends[0]);
	if (!bad)
		bad = launch_acceptor(b, theirs);
	if (bad) {
		outlet_close(&b->outlet);
		return bad;
	}
	b->up = false;
	b->starts++;
	outlet_push(&b->outlet, &b->hello);
	b->world.ops->announce(b->world.user);
	outlet_push(&b->outlet, &b->go);
	return 0;
}

void baton_start(struct baton *b)
{
	uint64_t now = clock_mono_ms();
	int bad;

	backoff_started(&b->backoff, now);
	bad = start_acceptor(b);
	if (!bad)
		return;
	log_event(EV_INTERNAL, "where=acceptor why=\"cannot start: %s\"", strerror(-bad));
	timer_in(b->timer, backoff_died(&b->backoff, now));
}

static void gone(struct baton *b)
{
	timer_stop(b->timer);
	b->stopped(b->user);
}

/* Takes what the acceptor has ordered, also what it left when it died: a result that it had seen must
 * not be told to the next one. Returns as link_recv does when there is no more, 0 when there may be. */
static int take_orders(struct baton *b)
{
	int fds[CHAN_MAX_FDS], answer = b->outlet.fd < 0 ? CHAN_GONE : 0;

	for (int i = 0; !answer && i < ORDERS_A_TURN; i++) {
		struct link_record order;
		unsigned count = 0;

		answer = link_recv(b->outlet.fd, &order, fds, &count);
		if (answer)
			break;
		while (count)
			close(fds[--count]);
		if (order.type == LINK_UP)
			b->up = true;
		b->world.ops->order(b->world.user, &order);
	}
	return answer;
}

static void on_child(void *user, int status)
{
	struct baton *b = user;
	uint64_t again_ms = 0;
	char text[LOG_STATUS_BYTES];

	b->child = NULL;
	take_orders(b);
	outlet_close(&b->outlet);
	if (b->stopping) {
		gone(b);
		return;
	}
	if (!b->up || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		again_ms = backoff_died(&b->backoff, clock_mono_ms());
	log_event(EV_ACCEPTOR_EXIT, "pid=%d status=%s again_ms=%llu", b->pid, log_status(status, text),
		(unsigned long long)again_ms);
	if (again_ms)
		timer_in(b->timer, again_ms);
	else
		baton_start(b);
}

static void on_timer(void *user)
{
	struct baton *b = user;

	if (!b->stopping)
		baton_start(b);
	else if (b->child)
		child_signal(b->child, SIGKILL);
}

/* A link that broke, or said what is no record, leaves an acceptor that can do nothing useful. */
static void on_broken(void *user, int error)
{
	struct baton *b = user;

	if (error)
		log_event(EV_INTERNAL, "where=link why=\"%s\"", strerror(-error));
	outlet_close(&b->outlet);
	if (b->child)
		child_signal(b->child, SIGKILL);
}

static void on_readable(void *user, int fd)
{
	struct baton *b = user;
	int answer = take_orders(b);

	if (answer == CHAN_GONE || answer < 0)
		on_broken(b, answer < 0 ? answer : 0);
}

int baton_new(const struct baton_world *world, struct baton **ret_baton)
{
	static const struct outlet_ops ops = {.readable = on_readable, .broken = on_broken};
	struct baton *b = calloc(1, sizeof(*b));
	int bad;

	if (!b)
		return -ENOMEM;
	b->world = *world;
	b->hello.say = say_hello;
	b->go.say = say_go;
	bad = outlet_init(&b->outlet, world->loop, &ops, b);
	if (!bad)
		bad = timer_new(world->loop, on_timer, b, &b->timer);
	if (bad)
		baton_free(b);
	else
		*ret_baton = b;
	return bad;
}

struct baton *baton_free(struct baton *b)
{
	if (!b)
		return NULL;
	outlet_deinit(&b->outlet);
	timer_free(b->timer);
	free(b);
	return NULL;
}

struct outlet *baton_outlet(struct baton *b)
{
	return &b->outlet;
}

void baton_stop(struct baton *b, void (*stopped)(void *user), void *user)
{
	b->stopping = true;
	b->stopped = stopped;
	b->user = user;
	if (!b->child) {
		gone(b);
		return;
	}
	child_signal(b->child, SIGTERM);
	timer_in(b->timer, STOP_LIMIT_MS);
}
