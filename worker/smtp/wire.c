/* Every wait is a poll() with the time-out: a server that hangs costs its own client's thread that
 * long and nobody else anything. */
#include "worker/smtp/wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int wait_for(const struct wire *w, short events)
{
	struct pollfd p = {.fd = w->fd, .events = events};
	int got;

	do
		got = poll(&p, 1, (int)w->timeout_ms);
	while (got < 0 && errno == EINTR);
	return got > 0 ? 0 : got < 0 ? -errno : -ETIMEDOUT;
}

static int connect_to(struct wire *w, const struct sockaddr *addr, socklen_t len)
{
	int error = 0, bad = 0;
	socklen_t size = sizeof(error);

	w->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return -errno;
	if (!connect(w->fd, addr, len))
		return 0;
	if (errno != EINPROGRESS)
		bad = -errno;
	if (!bad)
		bad = wait_for(w, POLLOUT);
	if (!bad && !getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size))
		bad = -error;
	if (bad)
		wire_close(w);
	return bad;
}

static int connect_unix(struct wire *w, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
	return connect_to(w, (struct sockaddr *)&addr, sizeof(addr));
}

int wire_connect(struct wire *w, const struct peer *to, unsigned timeout_ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
	int bad = -EHOSTUNREACH, one = 1;

	*w = (struct wire){.fd = -1, .timeout_ms = timeout_ms};
	if (!*to->port)
		return connect_unix(w, to->host);
	if (getaddrinfo(to->host, to->port, &hints, &found))
		return bad;
	for (struct addrinfo *a = found; a && bad; a = a->ai_next)
		bad = connect_to(w, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
	if (!bad)
		setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return bad;
}

int wire_send(struct wire *w, const char *data, size_t len)
{
	while (len) {
		ssize_t sent = send(w->fd, data, len, MSG_NOSIGNAL);
		int bad = 0;

		if (sent > 0) {
			data += sent;
			len -= (size_t)sent;
		} else if (errno == EAGAIN) {
			bad = wait_for(w, POLLOUT);
		} else if (errno != EINTR) {
			bad = -errno;
		}
		if (bad)
			return bad;
	}
	return 0;
}

static int fill(struct wire *w)
{
	int bad = wait_for(w, POLLIN);
	ssize_t got = bad ? 0 : recv(w->fd, w->in, sizeof(w->in), 0);

	if (bad || got <= 0)
		return bad ? bad : got < 0 ? -errno : -ECONNRESET;
	w->at = 0;
	w->end = (size_t)got;
	return 0;
}

int wire_line(struct wire *w, char ret_line[WIRE_LINE_BYTES])
{
	size_t len = 0;

	for (;;) {
		int bad = w->at == w->end ? fill(w) : 0;
		char c;

		if (bad)
			return bad;
		c = w->in[w->at++];
		if (c == '\n')
			break;
		if (len < WIRE_LINE_BYTES - 1)
			ret_line[len++] = c;
	}
	if (len && ret_line[len - 1] == '\r')
		len--;
	ret_line[len] = '\0';
	return 0;
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
