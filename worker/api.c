/* The calls of worker.h that are the same in both styles. */
#include "common/base.h"
#include "worker/core.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <stdarg.h>

#define TEXT_BYTES 1024

int worker_write(struct worker_conn *c, const void *data, size_t len)
{
	return c->worker->style->write(c, data, len);
}

PRINTF_LIKE(2, 0)
static int write_long(struct worker_conn *c, const char *format, va_list args)
{
	OWNS_MEM char *text = NULL;
	int len = vasprintf(&text, format, args);

	if (len < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return worker_write(c, text, (size_t)len);
}

int worker_printf(struct worker_conn *c, const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list args, again;
	int len, answer;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(text, sizeof(text), format, args);
	if (len < 0)
		answer = -EINVAL;
	else if ((size_t)len < sizeof(text))
		answer = worker_write(c, text, (size_t)len);
	else
		answer = write_long(c, format, again);
	va_end(again);
	va_end(args);
	return answer;
}

void worker_close(struct worker_conn *c)
{
	c->worker->style->close(c);
}

void worker_set_timeout(struct worker_conn *c, unsigned ms)
{
	c->worker->style->set_timeout(c, ms);
}

ssize_t worker_read(struct worker_conn *c, void *buf, size_t size)
{
	return c->worker->style->read(c, buf, size);
}

ssize_t worker_read_line(struct worker_conn *c, char *buf, size_t size)
{
	return c->worker->style->read_line(c, buf, size);
}

int worker_starttls(struct worker_conn *c)
{
	return c->worker->style->starttls(c);
}

int worker_may_starttls(const struct worker_conn *c)
{
	return !c->tls && secure_any(c->worker);
}

const struct worker_tls *worker_conn_tls(const struct worker_conn *c)
{
	return c->tls ? tlsconn_facts(c->tls) : NULL;
}

struct worker *worker_of(const struct worker_conn *c)
{
	return c->worker;
}

void worker_conn_set_data(struct worker_conn *c, void *data)
{
	c->data = data;
}

void *worker_conn_data(const struct worker_conn *c)
{
	return c->data;
}

static struct addr local_addr(const struct worker_conn *c)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr a = {0};

	if (c->local)
		return *c->local;
	if (c->fd >= 0 && getsockname(c->fd, (struct sockaddr *)&sa, &len) == 0)
		addr_from_sockaddr(&a, (struct sockaddr *)&sa, len);
	return a;
}

const char *worker_conn_peer(const struct worker_conn *c, char ret_text[WORKER_ADDR_BYTES])
{
	_Static_assert(WORKER_ADDR_BYTES == ADDR_TEXT_BYTES, "worker.h promises enough room");
	return addr_format(&c->peer, ret_text);
}

const char *worker_conn_local(const struct worker_conn *c, char ret_text[WORKER_ADDR_BYTES])
{
	struct addr local = local_addr(c);

	return addr_format(&local, ret_text);
}

static socklen_t to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_addr)
{
	socklen_t len = addr_to_sockaddr(a, ret_addr);

	if (len || a->family != AF_UNIX)
		return len;
	ret_addr->ss_family = AF_UNIX;
	return sizeof(ret_addr->ss_family);
}

socklen_t worker_conn_peer_addr(const struct worker_conn *c, struct sockaddr_storage *ret_addr)
{
	return to_sockaddr(&c->peer, ret_addr);
}

socklen_t worker_conn_local_addr(const struct worker_conn *c, struct sockaddr_storage *ret_addr)
{
	struct addr local = local_addr(c);

	return to_sockaddr(&local, ret_addr);
}

const char *worker_conn_listener(const struct worker_conn *c)
{
	return c->listener;
}

int worker_conn_fd(const struct worker_conn *c)
{
	return c->relay ? -1 : c->fd;
}

int worker_conn_take_fd(struct worker_conn *c)
{
	return c->worker->style->take_fd(c);
}

const char *worker_service(const struct worker *w)
{
	return w->setup.service;
}

unsigned worker_serial(const struct worker *w)
{
	return w->setup.serial;
}

const char *worker_param(const struct worker *w, const char *name)
{
	return setup_param(&w->setup, name);
}

char *const *worker_command(const struct worker *w)
{
	return w->setup.command;
}

const struct worker_limits *worker_limits(const struct worker *w)
{
	return &w->setup.limits;
}

struct worker_conn *worker_next(const struct worker *w, const struct worker_conn *c)
{
	struct worker_conn *next = c ? c->next : w->conns.open;

	while (next && next->hidden)
		next = next->next;
	return next;
}

struct uv_loop_s *worker_loop(struct worker *w)
{
	return &w->loop.uv;
}

void worker_set_data(struct worker *w, void *data)
{
	w->data = data;
}

void *worker_data(const struct worker *w)
{
	return w->data;
}
