/* Everything but accept(): what the program does to get its listeners, and what it asks about them.
 */
#include "worker/notify/notify.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int option_of(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, option, &value, &len) < 0 ? -1 : value;
}

/* --- bind --- */

static bool read_name(const struct caller *c, struct sockaddr_storage *ret_name, socklen_t *ret_len)
{
	int len = (int)c->args[2];

	if (len < (int)sizeof(struct sockaddr_in) || (size_t)len > sizeof(*ret_name))
		return false;
	memset(ret_name, 0, sizeof(*ret_name));
	*ret_len = (socklen_t)len;
	return !caller_read(c, c->args[1], ret_name, (size_t)len) && caller_waits(c);
}

static uint64_t covered_by(const struct notify *n, int fd, const struct sockaddr_storage *name,
	socklen_t len, int domain)
{
	bool is_dual = domain == AF_INET6 && option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
	struct addr bound;

	if (name->ss_family != domain || (domain != AF_INET && domain != AF_INET6) ||
		option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return 0;
	addr_from_sockaddr(&bound, (const struct sockaddr *)name, len);
	return adapter_covers(&n->adapter, &bound, is_dual);
}

enum swallowed { NOT_OURS = 1, ELSEWHERE };

/* 0: swallowed; NOT_OURS, ELSEWHERE (a stream socket of the program itself); or -errno. */
static int swallow(struct notify *n, int fd, const struct sockaddr_storage *name, socklen_t len)
{
	int domain = option_of(fd, SOL_SOCKET, SO_DOMAIN);
	uint64_t cookie = spots_cookie(fd), mask = covered_by(n, fd, name, len, domain);
	struct spot *spot;

	if (spots_find(&n->spots, cookie))
		return -EINVAL; /* bound already */
	if (!mask || !cookie)
		return option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM ? ELSEWHERE : NOT_OURS;
	spot = spots_add(&n->spots, cookie);
	if (!spot)
		return -ENOMEM;
	spot->mask = mask;
	spot->domain = domain;
	spot->protocol = option_of(fd, SOL_SOCKET, SO_PROTOCOL);
	spot->name = *name;
	spot->name_len = MIN(
		len, domain == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	return 0;
}

/* The program uses another address, which is its right; but if it gets no further, this is why. */
static void note_stray(
	struct notify *n, const char *does, const struct sockaddr_storage *name, socklen_t len)
{
	char text[ADDR_TEXT_BYTES], line[PAGE_LINE_BYTES];
	struct addr addr;

	addr_from_sockaddr(&addr, (const struct sockaddr *)name, len);
	if (n->is_ready || !addr.port || (addr.family != AF_INET && addr.family != AF_INET6))
		return;
	snprintf(line, sizeof(line), "adapter: %s %s, which is no PORT of this service", does,
		addr_format(&addr, text));
	report_line(&n->report, line);
	n->told_stray = true;
}

static void on_bind(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	struct sockaddr_storage name;
	socklen_t len;
	int result = read_name(c, &name, &len) ? swallow(n, fd, &name, len) : NOT_OURS;

	if (result <= 0) {
		caller_answer(c, result);
		return;
	}
	if (result == ELSEWHERE)
		note_stray(n, "binds", &name, len); /* it may be taken, by another worker */
	caller_continue(c);
}

/* --- listen --- */

void answer_progress(struct notify *n)
{
	uint64_t missing = adapter_every(&n->adapter) & ~spots_covered(&n->spots);
	char text[ADDR_TEXT_BYTES], line[PAGE_LINE_BYTES];

	if (n->is_ready)
		return;
	if (!missing) {
		n->is_ready = true;
		report_line(&n->report, "");
		report_ready(&n->report);
	} else if (!n->told_stray) {
		snprintf(line, sizeof(line), "adapter: does not listen on %s",
			addr_format(&n->adapter.listeners[__builtin_ctzll(missing)].addr, text));
		report_line(&n->report, line);
	}
}

/* Our end of the pair instead of the program's socket. 0 or -errno. */
static int take_over(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	int number = (int)c->args[0], ours, bad;
	struct epoll_event event = {.events = EPOLLRDHUP};
	struct stat st = {.st_ino = 0};

	fstat(fd, &st);
	options_read(fd, &spot->options);
	ours = spots_open_bell(spot, fcntl(fd, F_GETFL) & O_NONBLOCK);
	if (ours < 0)
		return ours;
	event.data.fd = spot->bell;
	bad = caller_replace(c, number, ours, caller_closes_on_exec(c, number));
	if (!bad && epoll_ctl(n->epoll, EPOLL_CTL_ADD, spot->bell, &event) < 0)
		bad = -errno;
	if (!bad)
		watchers_move(c, number, st.st_ino, ours);
	close(ours);
	if (bad)
		spots_remove(&n->spots, spot);
	return bad;
}

static void on_listen(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(name);
	int bad;

	if (!spot) {
		if (!getsockname(fd, (struct sockaddr *)&name, &len))
			note_stray(n, "listens on", &name, len);
		caller_continue(c);
		return;
	}
	bad = spot->bell < 0 ? take_over(n, c, fd, spot) : 0;
	caller_answer(c, bad);
	if (bad)
		return;
	answer_progress(n);
	accepts_offered(n);
}

/* --- what it asks --- */

static void on_getsockname(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	if (spot)
		caller_answer(
			c, addresses_put(c, c->args[1], c->args[2], &spot->name, spot->name_len));
	else
		caller_continue(c);
}

static int value_of(const struct spot *spot, int option)
{
	switch (option) {
	case SO_TYPE:
		return SOCK_STREAM;
	case SO_PROTOCOL:
		return spot->protocol;
	case SO_DOMAIN:
		return spot->domain;
	default:
		return 1; /* SO_ACCEPTCONN */
	}
}

static void on_getsockopt(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	int value, len, bad;

	if (!spot || spot->bell < 0) {
		caller_continue(c);
		return;
	}
	value = value_of(spot, (int)c->args[2]);
	bad = caller_read(c, c->args[4], &len, sizeof(len));
	if (!bad && len < 0)
		bad = -EINVAL;
	len = MIN(len, (int)sizeof(value));
	if (!bad)
		bad = caller_write(c, c->args[3], &value, (size_t)len);
	if (!bad)
		bad = caller_write(c, c->args[4], &len, sizeof(len));
	caller_answer(c, bad);
}

/* Options of the listening itself are the dispatcher's. */
static void on_setsockopt(struct notify *n, const struct caller *c, int fd, struct spot *spot)
{
	if (spot && spot->bell >= 0)
		caller_answer(c, 0);
	else
		caller_continue(c);
}

/* --- */

typedef void answer(struct notify *n, const struct caller *c, int fd, struct spot *spot);

static const struct {
	int number;
	answer *call;
} answers[] = {
	{SYS_getsockname, on_getsockname},
	{SYS_bind, on_bind},
	{SYS_listen, on_listen},
	{SYS_getsockopt, on_getsockopt},
	{SYS_setsockopt, on_setsockopt},
};

static void answer_for_socket(struct notify *n, const struct caller *c, answer *call)
{
	OWNS_FD int fd = caller_dup(c, (int)c->args[0]);

	if (fd >= 0) {
		call(n, c, fd, spots_find(&n->spots, spots_cookie(fd)));
		return;
	}
	if (errno == EPERM && !n->is_ready) {
		report_line(&n->report, "adapter: does not let itself be looked at, see prctl(2), "
					"PR_SET_DUMPABLE");
		n->told_stray = true;
	}
	caller_continue(c); /* the kernel has the right error */
}

void answer_call(struct notify *n, const struct caller *c)
{
	if (c->number == SYS_accept4 || c->number == SYS_accept) {
		accepts_call(n, c);
		return;
	}
	if (c->number == SYS_io_uring_setup) {
		caller_answer(c, -ENOSYS);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].number == c->number) {
			answer_for_socket(n, c, answers[i].call);
			return;
		}
	caller_continue(c);
}
