/* The honest half of the hostile worker: setup, offers, echo, reports. One thread, poll(2). */
#include "test/integration/workers/raw.h"
#include "common/base.h"
#include "common/chan.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>

static void read_setup_fact(struct raw *r, const struct msg_value *v)
{
	if (v->fact == MSG_RING)
		msg_u32(v, &r->ring_len);
	else if (v->fact == MSG_WORKER)
		msg_u32(v, &r->serial);
	else if (v->fact == MSG_PARAMETER && r->param_count < ARRAY_LEN(r->params))
		snprintf(r->params[r->param_count++], sizeof(r->params[0]), "%.*s", (int)v->len_bytes,
			(const char *)v->data);
}

void raw_wait(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

void raw_init(struct raw *r)
{
	static char buf[MSG_SETUP_BYTES];
	struct msg_reader reader;
	struct msg_value v;
	unsigned fd_count;
	size_t len;
	int fds[1];

	*r = (struct raw){0};
	raw_wait(RAW_CHANNEL);
	if (chan_recv(RAW_CHANNEL, buf, sizeof(buf), &len, fds, 0, &fd_count))
		errx(1, "no setup message");
	if (msg_open(&reader, buf, len) || reader.type != MSG_SETUP)
		errx(1, "not a setup message");
	while (msg_next(&reader, &v) > 0)
		read_setup_fact(r, &v);
	r->page = page_map(RAW_PAGE, page_bytes(r->ring_len), true);
	r->bell = page_map(RAW_BELL, sizeof(*r->bell), false);
	if (!r->page || !r->bell)
		err(1, "mmap");
}

const char *raw_param(const struct raw *r, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < r->param_count; i++)
		if (!strncasecmp(r->params[i], name, len) && r->params[i][len] == '=')
			return r->params[i] + len + 1;
	return NULL;
}

void raw_ring(struct raw *r)
{
	page_ring(r->bell, RAW_DOORBELL, &r->rung);
}

static void take(struct raw *r, const void *buf, size_t len, const int *fds)
{
	struct msg_conn offered[MSG_MAX_CONNS];
	unsigned count;

	if (msg_read_offer(buf, len, offered, MSG_MAX_CONNS, &count))
		errx(1, "malformed offer");
	for (unsigned i = 0; i < count && r->count < RAW_CONNS; i++)
		r->conns[r->count++] = (struct raw_conn){fds[i], offered[i].slot};
	page_add_taken(r->page, count);
}

static void obey(struct raw *r, const struct msg_reader *opened)
{
	struct msg_reader reader = *opened;
	struct msg_value v;
	uint64_t nonce;

	if (reader.type == MSG_RETIRE)
		r->retiring = !r->deaf;
	if (reader.type == MSG_REOPEN)
		dprintf(STDOUT_FILENO, "asked to open its log again\n");
	while (msg_next(&reader, &v) > 0)
		if (v.fact == MSG_NONCE && !msg_u64(&v, &nonce))
			page_set_beat(r->page, nonce);
}

bool raw_read(struct raw *r)
{
	static char buf[MSG_SETUP_BYTES];
	struct msg_reader reader;
	int fds[MSG_MAX_CONNS];
	unsigned fd_count;
	size_t len;
	int answer = chan_recv(RAW_CHANNEL, buf, sizeof(buf), &len, fds, MSG_MAX_CONNS, &fd_count);

	if (answer == CHAN_GONE)
		r->retiring = !r->deaf;
	if (answer || msg_open(&reader, buf, len))
		return false;
	if (reader.type == MSG_OFFER)
		take(r, buf, len, fds);
	else
		obey(r, &reader);
	return reader.type == MSG_OFFER;
}

/* True if the connection goes on. */
static bool echo(struct raw_conn *c)
{
	char buf[4096];
	ssize_t got = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	return got > 0 && send(c->fd, buf, (size_t)got, MSG_NOSIGNAL) == got;
}

static void finish(struct raw *r, unsigned at)
{
	close(r->conns[at].fd);
	page_add_done(r->page, r->conns[at].slot);
	r->conns[at] = r->conns[--r->count];
}

void raw_turn(struct raw *r, int ms)
{
	struct pollfd p[RAW_CONNS + 1] = {{.fd = RAW_CHANNEL, .events = POLLIN}};
	unsigned count = r->count;

	if (r->retiring && !count)
		exit(0);
	for (unsigned i = 0; i < count; i++)
		p[i + 1] = (struct pollfd){.fd = r->conns[i].fd, .events = POLLIN};
	if (poll(p, count + 1, ms) < 0)
		return;
	for (unsigned i = count; i-- > 0;)
		if (p[i + 1].revents && !echo(&r->conns[i]))
			finish(r, i);
	if (p[0].revents)
		raw_read(r);
	raw_ring(r);
}
