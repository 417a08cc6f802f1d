/* An acceptor finds: 0 /dev/null, 1 and 2 its log pipe, LINK_FD its link, and nothing else; everything
 * else comes over the link. */
#include "dispatcher/supervisor/bearer.h"
#include "common/base.h"
#include "common/chan.h"
#include "config/settings.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/child.h"
#include "dispatcher/supervisor/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#define ACCEPTOR_OOM_SCORE (-500)

static void on_child(void *user, int status)
{
	struct bearer *bearer = user;

	bearer->child = NULL;
	bearer->ops->ended(bearer, status);
}

static int launch_acceptor(struct bearer *bearer, const struct baton_world *w,
	const struct settings *settings, int link)
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[] = {null, w->log_fd, w->log_fd, link};
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

int bearer_start(struct bearer *place, const struct baton_world *world, const struct settings *settings,
	int *ret_link)
{
	OWNS_FD int ours = -1;
	OWNS_FD int theirs = -1;
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	ours = ends[0];
	theirs = ends[1];
	place->up = false;
	bad = launch_acceptor(place, world, settings, theirs);
	if (bad)
		return bad;
	*ret_link = base_steal_fd(&ours);
	return 0;
}

void bearer_signal(const struct bearer *bearer, int number)
{
	if (bearer && bearer->child)
		child_signal(bearer->child, number);
}
