/* An acceptor finds: 0 /dev/null, 1 and 2 its log pipe, LINK_FD its link, LINK_LIFE_FD a pipe that it only
 * holds, and nothing else; everything else comes over the link.
 *
 * It has ended when its keeper has ended, too, which parks what was in hand: both hold the one writing
 * end of the pipe. A keeper that takes too long is killed, with the process group, which is theirs. */
#include "dispatcher/supervisor/bearer.h"
#include "common/base.h"
#include "common/chan.h"
#include "config/settings.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define ACCEPTOR_OOM_SCORE (-500)
#define KEEPER_LIMIT_MS 1000 /* it needs less than one; but it needs a CPU */

static void end(struct bearer *bearer)
{
	timer_stop(bearer->limit);
	bearer->life = watch_free(bearer->life);
	base_close(&bearer->life_fd);
	bearer->ops->ended(bearer, bearer->status);
}

static void on_life(void *user, unsigned events)
{
	struct bearer *bearer = user;

	if (bearer->child)
		watch_set(bearer->life, 0); /* on_child tells the rest, and looks again */
	else
		end(bearer);
}

static void on_limit(void *user)
{
	struct bearer *bearer = user;

	if (bearer->late) {
		end(bearer); /* whoever holds the pipe now is none of ours */
		return;
	}
	bearer->late = true;
	kill(-bearer->pid, SIGKILL);
	timer_in(bearer->limit, KEEPER_LIMIT_MS);
}

static void on_child(void *user, int status)
{
	struct bearer *bearer = user;

	bearer->child = NULL;
	bearer->status = status;
	watch_set(bearer->life, WATCH_READ);
	timer_in(bearer->limit, KEEPER_LIMIT_MS);
}

static int launch_acceptor(struct bearer *bearer, const struct baton_world *w,
	const struct settings *settings, int link, int life)
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[] = {null, w->log_fd, w->log_fd, link, life};
	struct launch l = {.title = "dispatcher: acceptor",
		.image = w->image,
		.arguments = w->arguments,
		.uid = settings->uid,
		.gid = settings->gid,
		.umask = 077,
		.oom_score_adj = ACCEPTOR_OOM_SCORE,
		.fds = fds,
		.fd_count = ARRAY_LEN(fds)};
	int bad;

	l.limits[RLIMIT_NOFILE] = (struct spec_limit){1, w->nofile, w->nofile};
	l.limits[RLIMIT_CORE] = (struct spec_limit){.set = 1};
	if (null < 0)
		return -errno;
	bad = launch(&l, &bearer->pid, NULL);
	return bad ? bad : child_watch(w->children, bearer->pid, on_child, bearer, &bearer->child);
}

/* Watches the reading end of a new pipe; returns the writing end or -errno. */
static int make_life(struct bearer *place)
{
	int ends[2], bad;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	bad = watch_new(place->loop, ends[0], WATCH_READ, on_life, place, &place->life);
	if (bad) {
		close(ends[0]);
		close(ends[1]);
		return bad;
	}
	place->life_fd = ends[0];
	return ends[1];
}

int bearer_start(struct bearer *place, const struct baton_world *world, const struct settings *settings,
	int *ret_link)
{
	OWNS_FD int ours = -1;
	OWNS_FD int theirs = -1;
	OWNS_FD int life = -1;
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	ours = ends[0];
	theirs = ends[1];
	life = make_life(place);
	if (life < 0)
		return life;
	place->up = place->late = false;
	bad = launch_acceptor(place, world, settings, theirs, life);
	if (bad) {
		place->life = watch_free(place->life);
		base_close(&place->life_fd);
		return bad;
	}
	*ret_link = base_steal_fd(&ours);
	return 0;
}

void bearer_signal(const struct bearer *bearer, int number)
{
	if (bearer && bearer->child)
		child_signal(bearer->child, number);
}

int bearer_init(struct bearer *place, struct uv_loop_s *loop, const struct bearer_ops *ops, void *owner)
{
	*place = (struct bearer){.life_fd = -1, .loop = loop, .ops = ops, .owner = owner};
	return timer_new(loop, on_limit, place, &place->limit);
}

void bearer_deinit(struct bearer *place)
{
	place->life = watch_free(place->life);
	base_close(&place->life_fd);
	place->limit = timer_free(place->limit);
}

bool bearer_is_free(const struct bearer *place)
{
	return !place->life;
}
