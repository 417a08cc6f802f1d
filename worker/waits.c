/* A call tries first and polls only when it must wait, for the socket and for one eventfd that all
 * threads share: it becomes readable when the deadline begins and stays so. Sockets are never made
 * blocking, so nothing that a client does can hold a thread beyond that. */
#include "worker/waits.h"
#include "common/base.h"
#include "common/clock.h"
#include "worker/lines.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

int cancel_init(struct cancel *c)
{
	atomic_init(&c->canceled, false);
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c->fd < 0 ? -errno : 0;
}

void cancel_now(struct cancel *c)
{
	atomic_store(&c->canceled, true);
	eventfd_write(c->fd, 1);
}

void cancel_deinit(struct cancel *c)
{
	base_close(&c->fd);
}

void waits_begin(struct waits *ws, struct cancel *cancel)
{
	ws->cancel = cancel;
	ws->tls = NULL;
	ws->at = ws->end = 0;
}

static bool is_canceled(struct waits *ws)
{
	return atomic_load_explicit(&ws->cancel->canceled, memory_order_relaxed);
}

static int wait_for(struct waits *ws, int fd, short events, uint32_t timeout_ms)
{
	struct pollfd p[2] = {
		{.fd = fd, .events = events}, {.fd = ws->cancel->fd, .events = POLLIN}};
	int limit_ms = timeout_ms ? (int)MIN(timeout_ms, (uint32_t)INT_MAX) : -1;
	int ready;

	do
		ready = poll(p, 2, limit_ms);
	while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	if (!ready)
		return -ETIMEDOUT;
	return p[1].revents ? -ECANCELED : 0;
}

/* For what the last call wants that answered -EAGAIN. */
static int wait_again(struct waits *ws, int fd, short events, uint32_t timeout_ms)
{
	if (ws->tls) {
		tlsconn_push(ws->tls);
		events = tlsconn_wants(ws->tls) == EPOLLOUT ? POLLOUT : POLLIN;
	}
	return wait_for(ws, fd, events, timeout_ms);
}

int waits_handshake(struct waits *ws, int fd, struct tlsconn *tls)
{
	uint64_t all_ms = tlsconn_handshake_ms(tls), end_ms = clock_mono_ms() + all_ms;
	int bad;

	ws->tls = tls;
	while ((bad = tlsconn_handshake(tls)) == -EAGAIN) {
		uint64_t now = clock_mono_ms();

		if (all_ms && now >= end_ms)
			return -ETIMEDOUT;
		bad = wait_again(ws, fd, POLLIN,
			all_ms ? (uint32_t)MIN(end_ms - now, (uint64_t)INT_MAX) : 0);
		if (bad)
			return bad;
	}
	return bad;
}

static ssize_t put(struct waits *ws, int fd, const void *data, size_t len)
{
	ssize_t sent;

	if (ws->tls)
		return tlsconn_write(ws->tls, data, len);
	sent = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

static ssize_t get(struct waits *ws, int fd, void *buf, size_t size)
{
	ssize_t got;

	if (ws->tls)
		return tlsconn_read(ws->tls, buf, size);
	got = recv(fd, buf, size, MSG_DONTWAIT);
	return got < 0 ? -errno : got;
}

int waits_write(struct waits *ws, int fd, uint32_t timeout_ms, const void *data, size_t len)
{
	const char *next = data;
	int bad = fd < 0 ? -EPIPE : 0;

	while (len && !bad) {
		ssize_t sent = put(ws, fd, next, len);

		if (sent >= 0) {
			next += sent;
			len -= (size_t)sent;
		} else if (sent == -EAGAIN) {
			bad = wait_again(ws, fd, POLLOUT, timeout_ms);
		} else if (sent != -EINTR) {
			bad = (int)sent;
		}
	}
	return bad;
}

static ssize_t receive(struct waits *ws, int fd, uint32_t timeout_ms, void *buf, size_t size)
{
	int bad = fd < 0 ? -EPIPE : 0;

	while (!bad) {
		ssize_t got;

		if (is_canceled(ws))
			return -ECANCELED;
		got = get(ws, fd, buf, size);
		if (got >= 0)
			return got;
		if (got == -EAGAIN)
			bad = wait_again(ws, fd, POLLIN, timeout_ms);
		else if (got != -EINTR)
			bad = (int)got;
	}
	return bad;
}

ssize_t waits_read(struct waits *ws, int fd, uint32_t timeout_ms, void *buf, size_t size)
{
	size_t len = MIN(size, ws->end - ws->at);

	if (!len)
		return receive(ws, fd, timeout_ms, buf, size);
	memcpy(buf, ws->input + ws->at, len);
	ws->at += len;
	return (ssize_t)len;
}

static int fill(struct waits *ws, int fd, uint32_t timeout_ms)
{
	ssize_t got = receive(ws, fd, timeout_ms, ws->input, sizeof(ws->input));

	if (got <= 0)
		return got ? (int)got : -ENODATA;
	ws->at = 0;
	ws->end = (size_t)got;
	return 0;
}

/* Moves input up to and with the next LF to buf + *len, as far as it fits; true: LF was there. */
static bool take_line(struct waits *ws, char *buf, size_t size, size_t *len)
{
	const char *from = ws->input + ws->at;
	const char *end = memchr(from, '\n', ws->end - ws->at);
	size_t bytes = end ? (size_t)(end - from) : ws->end - ws->at;

	if (*len + bytes < size)
		memcpy(buf + *len, from, bytes);
	*len += bytes;
	ws->at += bytes + (end ? 1 : 0);
	return end;
}

ssize_t waits_read_line(struct waits *ws, int fd, uint32_t timeout_ms, char *buf, size_t size)
{
	size_t len = 0;

	while (!take_line(ws, buf, size, &len)) {
		int bad = fill(ws, fd, timeout_ms);

		if (bad)
			return bad;
	}
	return len < size ? (ssize_t)lines_trim(buf, len) : -EMSGSIZE;
}
