/* The kernel keeps a registration by file and number. When listen() puts the channel in the place
 * of the program's socket, the registration is gone with the socket, and is made again. When the
 * program closes its listener, the channel lives on (the dispatcher holds it), and the kernel would
 * go on to report it for ever; so it is taken out. Only by the process that put it in: a child that
 * closes its copy of a listener must not take it from its parent, with whom it shares the epoll
 * instance. */
#include "worker/adapter/epoll.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#define REGISTRATIONS 256

enum { FREE, BUSY, USED };

struct registration {
	_Atomic int state;
	int epoll_fd, fd;
	pid_t owner;
	struct epoll_event event;
};

static struct registration registrations[REGISTRATIONS];
static _Atomic bool has_edges; /* one of them was ever for edges */

static struct registration *next_of(struct registration *r, int epoll_fd, int fd)
{
	for (r = r ? r + 1 : registrations; r < registrations + REGISTRATIONS; r++)
		if (atomic_load(&r->state) == USED && (fd < 0 || r->fd == fd) &&
			(epoll_fd < 0 || r->epoll_fd == epoll_fd))
			return r;
	return NULL;
}

static void note(int epoll_fd, int fd, const struct epoll_event *event)
{
	for (struct registration *r = registrations; r < registrations + REGISTRATIONS; r++) {
		int state = FREE;

		if (!atomic_compare_exchange_strong(&r->state, &state, BUSY))
			continue;
		r->epoll_fd = epoll_fd;
		r->fd = fd;
		r->owner = getpid();
		r->event = *event;
		atomic_store(&r->state, USED);
		fds_set(&shim.fds, epoll_fd, fd_word(FD_EPOLL, 0, 0));
		return;
	}
}

static void follow(int epoll_fd, int operation, int fd, const struct epoll_event *event)
{
	struct registration *r = next_of(NULL, epoll_fd, fd);

	if (event && (event->events & EPOLLET))
		atomic_store(&has_edges, true);
	if (operation == EPOLL_CTL_DEL && r)
		atomic_store(&r->state, FREE);
	else if (operation == EPOLL_CTL_MOD && r)
		r->event = *event;
	else if (operation == EPOLL_CTL_ADD)
		note(epoll_fd, fd, event);
}

/* EPOLLEXCLUSIVE wakes one registration of the channel, which may be that of another listener than
 * the offer is for; so with several listeners all are woken. */
static int register_listener(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	struct epoll_event shared = *event;
	int r;

	if (shim.config.listener_count > 1)
		shared.events &= ~(uint32_t)EPOLLEXCLUSIVE;
	r = REAL(epoll_ctl)(epoll_fd, operation, fd, &shared);
	if (!r)
		follow(epoll_fd, operation, fd, &shared);
	return r;
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	enum fd_kind kind = fd_kind(fds_get(&shim.fds, fd));
	int r;

	if ((kind == FD_BOUND || kind == FD_LISTENER) && event)
		return register_listener(epoll_fd, operation, fd, event);
	r = REAL(epoll_ctl)(epoll_fd, operation, fd, event);
	if (!r && (kind == FD_BOUND || kind == FD_LISTENER))
		follow(epoll_fd, operation, fd, event);
	return r;
}

/* The one who registered has ended, or is this process. */
static bool is_ours(const struct registration *r)
{
	return r->owner == getpid() || (kill(r->owner, 0) < 0 && errno == ESRCH);
}

static void change(const struct registration *r, int operation)
{
	struct epoll_event event = r->event;

	REAL(epoll_ctl)(r->epoll_fd, operation, r->fd, &event);
}

void epoll_leave(int fd)
{
	int before = errno;

	for (struct registration *r = next_of(NULL, -1, fd); r; r = next_of(r, -1, fd))
		if (is_ours(r))
			change(r, EPOLL_CTL_DEL);
	errno = before;
}

void epoll_return(int fd)
{
	int before = errno;

	for (struct registration *r = next_of(NULL, -1, fd); r; r = next_of(r, -1, fd))
		if (is_ours(r))
			change(r, EPOLL_CTL_ADD);
	errno = before;
}

void epoll_forget(int fd)
{
	epoll_leave(fd);
	for (struct registration *r = next_of(NULL, -1, fd); r; r = next_of(r, -1, fd))
		atomic_store(&r->state, FREE);
}

void epoll_closed(int epoll_fd)
{
	for (struct registration *r = next_of(NULL, epoll_fd, -1); r; r = next_of(r, epoll_fd, -1))
		atomic_store(&r->state, FREE);
}

bool epoll_wants_edges(void)
{
	return atomic_load_explicit(&has_edges, memory_order_relaxed);
}

void epoll_wake(int fd)
{
	int before = errno;

	for (struct registration *r = next_of(NULL, -1, fd); r; r = next_of(r, -1, fd))
		if (r->event.events & EPOLLET)
			change(r, EPOLL_CTL_MOD);
	errno = before;
}
