/* Raw accept4 under uv_poll. uv_listen is not used: at EMFILE it closes clients that wait. */
#include "dispatcher/acceptor/listener.h"
#include "common/base.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	l->ops->ready(l);
}

static bool is_wildcard(const struct addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->ip, zero, sizeof(zero));
}

int listener_open_consume(struct listener *l, uv_loop_t *loop, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	OWNS_FD int owned = fd;
	int error;

	if (l->closing) {
		base_close(&l->next_fd);
		l->next_fd = base_steal_fd(&owned);
		return 0;
	}
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	addr_from_sockaddr(&l->local, (struct sockaddr *)&sa, len);
	l->bound = l->local;
	l->is_unix = l->local.family == AF_UNIX;
	if (!l->is_unix && is_wildcard(&l->local))
		l->local = (struct addr){0};
	error = uv_poll_init(loop, &l->poll, fd);
	if (error)
		return error;
	l->poll.data = l;
	l->fd = base_steal_fd(&owned);
	l->polling = false;
	if (l->wanted)
		listener_poll(l, true);
	return 0;
}

bool listener_has(const struct listener *l, const struct addr *local)
{
	if (l->is_unix || local->family == AF_UNIX)
		return l->is_unix && local->family == AF_UNIX;
	return l->bound.port == local->port &&
		(is_wildcard(&l->bound) || !memcmp(l->bound.ip, local->ip, sizeof(local->ip)));
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	l->closing = false;
	if (l->next_fd >= 0)
		listener_open_consume(l, handle->loop, base_steal_fd(&l->next_fd));
}

void listener_close(struct listener *l)
{
	base_close(&l->next_fd);
	if (l->fd < 0 || l->closing)
		return;
	uv_poll_stop(&l->poll);
	l->polling = false;
	l->closing = true;
	uv_close((uv_handle_t *)&l->poll, on_closed);
	base_close(&l->fd); /* not later: the port is free when somebody is told so */
}

void listener_poll(struct listener *l, bool wanted)
{
	l->wanted = wanted;
	if (l->fd < 0 || l->closing || l->polling == wanted)
		return;
	l->polling = wanted;
	if (wanted)
		uv_poll_start(&l->poll, UV_READABLE, on_poll);
	else
		uv_poll_stop(&l->poll);
}

static uint32_t unix_waiting(const struct listener *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

uint32_t listener_waiting(const struct listener *l)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->fd < 0 || l->closing)
		return 0;
	if (l->is_unix)
		return unix_waiting(l);
	if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 1;
	return info.tcpi_unacked;
}

void listener_figures(const struct listener *l, uint32_t *ret_now, uint32_t *ret_max,
	uint32_t *ret_drops)
{
	struct tcp_info info = {0};
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info), memory_len = sizeof(memory);

	*ret_now = *ret_max = *ret_drops = 0;
	if (l->fd < 0 || l->closing)
		return;
	if (!getsockopt(l->fd, SOL_SOCKET, SO_MEMINFO, memory, &memory_len))
		*ret_drops = memory[SK_MEMINFO_DROPS];
	if (l->is_unix) {
		*ret_now = unix_waiting(l);
		return;
	}
	getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	*ret_now = info.tcpi_unacked;
	*ret_max = info.tcpi_sacked;
}

int listener_accept(const struct listener *l, int *ret_fd, struct addr *ret_peer)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		addr_from_sockaddr(ret_peer, (struct sockaddr *)&sa, len);
		*ret_fd = fd;
		return 0;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return LISTENER_STARVED;
	case EAGAIN:
	case EINTR:
	case ECONNABORTED: /* accept(2): this and the network errors belong to the one client */
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPERM: /* a firewall rule */
		return LISTENER_NONE;
	default:
		return -errno;
	}
}
