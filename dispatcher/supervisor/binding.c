/* Every socket is non-blocking and close-on-exec from birth, and says IPV6_V6ONLY explicitly, so that
 * 0.0.0.0 and [::] are two listeners whatever bindv6only says. */
#include "dispatcher/supervisor/binding.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/adopted.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

static bool is_wildcard(const struct addr *addr)
{
	static const uint8_t any[sizeof(addr->ip)];

	return memcmp(addr->ip, any, sizeof(any)) == 0;
}

static int open_inet(const struct sockaddr_storage *sa, socklen_t len, int backlog)
{
	OWNS_FD int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa->ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)sa, len) < 0 || listen(fd, backlog) < 0)
		return -errno;
	return base_steal_fd(&fd);
}

static int open_tcp(struct binding *b, int backlog)
{
	const struct addr *addr = &b->listener->addr;
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(addr, &sa);
	int fd = len ? open_inet(&sa, len, backlog) : -EAFNOSUPPORT;

	if (fd >= 0) {
		b->sock.fd = fd;
		return 0;
	}
	if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && is_wildcard(addr))
		return BINDING_SKIPPED;
	return fd;
}

static int adopt(struct binding *b, int fd, int backlog)
{
	OWNS_FD int owned = fd;
	int bad;

	if (!b->path && listen(fd, backlog) < 0)
		return -errno;
	bad = b->path ? unixsock_adopt(&b->sock, b->path, fd, !b->lent, backlog) : 0;
	if (!bad)
		b->sock.fd = base_steal_fd(&owned);
	return bad;
}

int binding_open(struct binding *b, struct adopted *adopted, const struct settings *s,
	const struct service_settings *svc, const struct settings_listener *listener)
{
	enum adopted_origin origin = ADOPTED_LEFT;
	int fd;

	*b = (struct binding){.listener = listener, .sock.fd = -1};
	if (listener->addr.family == AF_UNIX)
		b->path = settings_text(s, listener->path);
	fd = adopted ? adopted_take(adopted, &listener->addr, b->path, &origin) : -1;
	b->lent = fd >= 0 && origin == ADOPTED_LENT;
	if (fd >= 0)
		return adopt(b, fd, (int)svc->backlog);
	if (adopted && adopted_covers(adopted, &listener->addr))
		return BINDING_COVERED;
	if (!b->path)
		return open_tcp(b, (int)svc->backlog);
	return unixsock_open(&b->sock, b->path, UNIXSOCK_DEAD, svc->socket_mode, svc->socket_uid,
		svc->socket_gid, (int)svc->backlog);
}

/* A socket filter sees a segment from its TCP header on; byte 13 holds the flags. A connection that is
 * under way needs only its ACK to get in, and that passes (tcp(7) does not tell; the test does). Some
 * kernels refuse filters without root: then the last few clients are reset by the close. A backlog of
 * nothing instead would be worse: it drops the ACK of a client that then waits for ever. */
static void drop_new_syns(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void binding_stop(struct binding *b)
{
	if (b->sock.fd < 0 || b->lent)
		return;
	if (b->path)
		unixsock_unlink(&b->sock, b->path);
	else
		drop_new_syns(b->sock.fd);
}

bool binding_is_empty(const struct binding *b)
{
	struct pollfd p = {.fd = b->sock.fd, .events = POLLIN};

	return poll(&p, 1, 0) <= 0;
}

void binding_adjust(const struct binding *b, const struct service_settings *svc)
{
	if (b->sock.fd < 0 || b->lent)
		return;
	listen(b->sock.fd, (int)svc->backlog);
	if (b->path)
		unixsock_allow(&b->sock, b->path, svc->socket_mode, svc->socket_uid, svc->socket_gid);
}

void binding_close(struct binding *b)
{
	if (b->sock.fd >= 0)
		b->gone_ms = clock_mono_ms();
	if (b->path)
		unixsock_close(&b->sock, b->path);
	else
		base_close(&b->sock.fd);
}
