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

#define LEASE_TRIES 2 /* each waits for a former acceptor that is busy or hangs */

static struct sv *of_lease(struct news *news)
{
	return (struct sv *)((char *)news - offsetof(struct sv, lease));
}

/* Whatever it has is in sv->adopted, or a line of the log says why not. */
static void ask_former(struct sv *sv)
{
	struct former_world world = {.settings = sv->config.settings,
		.children = sv->children,
		.settings_fd = sv->config.fd,
		.log_fd = logs_own_fd(sv->logs)};
	int bad = former_take_consume(
		&world, base_steal_fd(&sv->rundir.former), sv->adopted, &sv->former);

	if (bad)
		log_event(EV_INTERNAL, "where=takeover why=\"%s\"", strerror(-bad));
}

/* If the heir has died the former acceptor accepts again, and would do so for ever beside ours: another
 * heir has to tell it to retire, while the path of the control socket leads there still. */
static void renew_lease(struct sv *sv)
{
	bool holds = former_holds(sv->former);

	for (int i = 0; i < LEASE_TRIES && !holds; i++) {
		sv->former = former_free(sv->former);
		if (!rundir_find_former(&sv->rundir) && sv->rundir.former < 0)
			return; /* it has gone */
		if (sv->rundir.former >= 0)
			ask_former(sv);
		holds = former_holds(sv->former);
	}
	if (holds)
		return;
	sv->former = former_free(sv->former);
	log_event(EV_TAKEOVER_FAILED,
		"why=\"the former acceptor cannot be told to retire: it accepts beside ours until it is killed\"");
}

static void retire_former(struct sv *sv)
{
	if (sv->former && former_done(sv->former))
		log_event(EV_TAKEOVER_FAILED, "why=\"the process that tells the former acceptor to retire "
			"has ended: it may accept beside ours\"");
	sv->former = former_free(sv->former);
	adopted_drop(sv->adopted, ADOPTED_LEFT);
}

static int say_lease(struct news *news, int fd)
{
	struct sv *sv = of_lease(news);
	struct link_record r = {.type = LINK_LEASE, .number = !sv->succeeds};
	int answer;

	if (sv->succeeds && sv->former)
		renew_lease(sv);
	answer = link_send(fd, &r, NULL, 0);
	if (answer || !sv->succeeds)
		return answer;
	rundir_publish(&sv->rundir);
	retire_former(sv);
	return 0;
}

void sv_take_over(struct sv *sv)
{
	sv->lease.say = say_lease;
	if (sv->rundir.former >= 0)
		ask_former(sv);
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
