/* After a supervisor was killed: its acceptor serves on, and the next dispatcher succeeds it. Until
 * our acceptor accepts, whatever happens to us must leave the former one as it was: reachable at
 * the control socket, and accepting as soon as the lease ends. An acceptor of ours that loses its
 * supervisor before that retires, as nobody could find it. Then, in one go: ours learns that all is
 * its own, the control socket takes its place, and the former acceptor retires. */
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/former.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/state.h"

#include <string.h>

static struct sv *of_lease(struct news *news)
{
	return (struct sv *)((char *)news - offsetof(struct sv, lease));
}

static int say_lease(struct news *news, int fd)
{
	struct sv *sv = of_lease(news);
	struct link_record r = {.type = LINK_LEASE, .number = !sv->succeeds};
	int answer = link_send(fd, &r, NULL, 0);

	if (answer || !sv->succeeds)
		return answer;
	rundir_publish(&sv->rundir);
	former_done(sv->former);
	sv->former = former_free(sv->former);
	adopted_drop(sv->adopted, ADOPTED_LEFT);
	return 0;
}

void sv_take_over(struct sv *sv)
{
	struct former_world world = {.settings = sv->config.settings,
		.children = sv->children,
		.settings_fd = sv->config.fd,
		.log_fd = logs_own_fd(sv->logs)};
	int bad = 0;

	sv->lease.say = say_lease;
	if (sv->rundir.former >= 0)
		bad = former_take_consume(
			&world, base_steal_fd(&sv->rundir.former), sv->adopted, &sv->former);
	if (bad)
		log_event(EV_INTERNAL, "where=takeover why=\"%s\"", strerror(-bad));
	if (!sv->former)
		rundir_publish(&sv->rundir);
	adopted_match(sv->adopted, sv->config.settings);
}

void sv_announce_lease(struct sv *sv)
{
	if (sv->former)
		outlet_push(baton_outlet(sv->baton), &sv->lease);
}

void sv_accepts(struct sv *sv)
{
	sv->succeeds = true;
	sv_answered(sv);
	sv_announce_lease(sv);
}
