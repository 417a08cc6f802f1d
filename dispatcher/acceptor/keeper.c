/* What the acceptor has accepted and not yet offered exists in its descriptor table alone. Killed, it
 * would take these clients with it; so the table is shared (clone(2), CLONE_FILES) with a process that
 * does nothing, cannot be reached by anybody, and has no memory of its own: it waits for the acceptor's
 * end, sends what was in hand into a channel of the supervisor's, and ends. The next acceptor takes it
 * from there.
 *
 * The one socket that accept4() has returned and that stands nowhere yet is found by looking: the kernel
 * gives the lowest number that is free, so no number below it is. */
#include "dispatcher/acceptor/keeper.h"
#include "common/addr.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/acceptor/hand.h"
#include "dispatcher/acceptor/refusal.h"
#include "dispatcher/acceptor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#define TRIES 100
#define TRY_AGAIN_NS 1000000

/* --- telling sockets apart --- */

struct name {
	struct sockaddr_storage sa;
	socklen_t len;
};

static bool local_name(int fd, struct name *ret_name)
{
	memset(ret_name, 0, sizeof(*ret_name));
	ret_name->len = sizeof(ret_name->sa);
	return getsockname(fd, (struct sockaddr *)&ret_name->sa, &ret_name->len) == 0;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static bool may_come_from(const struct name *listener, int fd)
{
	static const uint8_t any[16];
	struct addr bound, local;
	struct name name;

	if (option(fd, SO_TYPE) != SOCK_STREAM || option(fd, SO_ACCEPTCONN) || !local_name(fd, &name) ||
		name.sa.ss_family != listener->sa.ss_family)
		return false;
	if (name.sa.ss_family == AF_UNIX)
		return name.len == listener->len && !memcmp(&name.sa, &listener->sa, name.len);
	addr_from_sockaddr(&bound, (const struct sockaddr *)&listener->sa, listener->len);
	addr_from_sockaddr(&local, (const struct sockaddr *)&name.sa, name.len);
	return bound.port == local.port &&
		(!memcmp(bound.ip, any, sizeof(any)) || !memcmp(bound.ip, local.ip, sizeof(any)));
}

static bool is_entered(const struct hand *hand, int fd)
{
	const struct hand_service *h = &hand->services[hand->service];

	for (unsigned i = 0; i < HAND_PLACES; i++)
		if (h->places[i].fd == fd)
			return true;
	for (unsigned i = 0; i < HAND_ENDING; i++)
		if (hand->ending[i] == fd)
			return true;
	return false;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* The descriptor that was accepted last and stands nowhere, or -1. */
static int find_unentered(const struct hand *hand)
{
	struct name listener;

	if (!hand->listener || !local_name(hand->listener, &listener))
		return -1;
	for (int fd = STDERR_FILENO + 1; is_open(fd); fd++)
		if (may_come_from(&listener, fd) && !is_entered(hand, fd))
			return fd;
	return -1;
}

/* --- parking --- */

static void send_record(const struct hand *hand, const struct park_record *r, const int *fds,
	unsigned fd_count)
{
	struct timespec wait = {.tv_nsec = TRY_AGAIN_NS};

	for (int i = 0; i < TRIES; i++) {
		if (chan_send(hand->park, r, sizeof(*r), fds, fd_count) != CHAN_FULL)
			return;
		nanosleep(&wait, NULL);
	}
}

static void begin_record(struct park_record *r, const struct hand_service *h)
{
	*r = (struct park_record){.version = PARK_VERSION, .handed = h->handed};
	memcpy(r->service, h->name, sizeof(r->service));
}

/* Those of places. What was being offered stands in one record, whether it is still open or not. */
static void park_places(const struct hand *hand, const struct hand_service *h, uint32_t places, bool offering)
{
	struct park_record r;
	int fds[HAND_BATCH];
	unsigned fd_count = 0;

	begin_record(&r, h);
	for (unsigned i = 0; i < HAND_PLACES; i++) {
		int fd = h->places[i].fd;
		bool has_fd = fd && is_open(fd);

		if (!(places & BIT(i)) || !(offering || has_fd))
			continue;
		if (r.count == HAND_BATCH) {
			send_record(hand, &r, fds, fd_count);
			r.count = fd_count = 0;
		}
		r.entries[r.count++] = (struct park_entry){
			.conn = h->places[i].conn, .has_fd = has_fd, .offering = offering};
		if (has_fd)
			fds[fd_count++] = fd;
	}
	if (r.count)
		send_record(hand, &r, fds, fd_count);
}

static void park_service(const struct hand *hand, const struct hand_service *h)
{
	uint32_t offering = (uint32_t)h->offering;

	park_places(hand, h, offering, true);
	park_places(hand, h, ~offering, false);
}

static void park_unentered(const struct hand *hand, int fd)
{
	struct park_record r;

	begin_record(&r, &hand->services[hand->service]);
	r.entries[r.count++] = (struct park_entry){.conn = HAND_NO_CONN, .has_fd = 1};
	send_record(hand, &r, &fd, 1);
}

void keeper_rescue(const struct hand *hand)
{
	int unentered;

	if (!hand->park)
		return;
	unentered = find_unentered(hand);
	for (uint32_t i = 0; i < hand->service_count; i++)
		park_service(hand, &hand->services[i]);
	if (unentered >= 0)
		park_unentered(hand, unentered);
	for (unsigned i = 0; i < HAND_ENDING; i++)
		if (hand->ending[i])
			refusal_throw_away(hand->ending[i]); /* closed with bytes unread, it would be reset */
}

/* --- the process --- */

_Noreturn static void keep(const struct hand *hand, int acceptor, void (*become)(void *user), void *user)
{
	struct pollfd p = {.fd = acceptor, .events = POLLIN};

	become(user);
	signal(SIGTERM, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sandbox_enter_keeper(); /* without it, it still reads nothing that anybody sends */
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	keeper_rescue(hand);
	_exit(0);
}

/* fork(2) would do, but for the one flag that it has not. Nobody waits for the child: it outlives us. */
int keeper_start(const struct hand *hand, void (*become)(void *user), void *user)
{
	int acceptor = (int)syscall(SYS_pidfd_open, getpid(), 0);
	long pid;

	if (acceptor < 0 || fcntl(acceptor, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	signal(SIGCHLD, SIG_IGN);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		keep(hand, acceptor, become, user);
	return pid < 0 ? -errno : 0;
}
