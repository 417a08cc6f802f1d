/* One record per readiness: a recvmsg that finds nothing costs more than the wake-up it might save.
 *
 * Descriptors: while connections are few against the limit nothing is asked. Near the limit, as
 * many descriptors as a record may bring are made and closed again. If that fails, the record stays
 * in the channel, where the dispatcher can still take it back, until a connection closes or 100 ms
 * pass. */
#include "worker/inbox.h"
#include "common/base.h"
#include "common/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#define AGAIN_MS 100
#define PER_CONN 4   /* descriptors that a connection of an ordinary server needs */
#define RESERVE  256 /* and the server itself */

void inbox_raise_limit(unsigned max_conns)
{
	rlim_t need = (rlim_t)max_conns * PER_CONN + 2 * RESERVE;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= need)
		return;
	r.rlim_cur = MIN(need, r.rlim_max);
	setrlimit(RLIMIT_NOFILE, &r);
}

int inbox_first(int fd, void **ret_buf, size_t *ret_len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	OWNS_MEM void *buf = malloc(MSG_SETUP_BYTES);
	unsigned count;
	int bad;

	if (!buf)
		return -ENOMEM;
	while ((bad = chan_recv(fd, buf, MSG_SETUP_BYTES, ret_len, NULL, 0, &count)) == CHAN_EMPTY)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
	if (bad)
		return bad < 0 ? bad : -ECONNRESET;
	*ret_buf = buf;
	buf = NULL;
	return 0;
}

static bool can_hold(unsigned wanted)
{
	int fds[MSG_MAX_CONNS];
	unsigned got = 0;

	while (got < wanted) {
		fds[got] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
		if (fds[got] < 0)
			break;
		got++;
	}
	for (unsigned i = 0; i < got; i++)
		close(fds[i]);
	return got == wanted;
}

static bool has_room(const struct inbox *in)
{
	if ((rlim_t)in->ops->open_conns(in->arg) * PER_CONN + RESERVE < in->limit)
		return true;
	return can_hold(MSG_MAX_CONNS);
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void take_offer(struct inbox *in, size_t len, const int *fds, unsigned fd_count)
{
	struct msg_conn conns[MSG_MAX_CONNS];
	unsigned count;
	int bad = msg_read_offer(in->buf, len, conns, MSG_MAX_CONNS, &count);

	if (!bad && count == fd_count) {
		in->ops->offer(in->arg, conns, fds, count);
		return;
	}
	close_all(fds, fd_count);
	in->ops->failed(in->arg, bad ? bad : -EBADMSG);
}

static void take_record(struct inbox *in, size_t len, const int *fds, unsigned fd_count)
{
	struct msg_reader r;
	int bad = msg_open(&r, in->buf, len);

	if (!bad && r.type == MSG_OFFER) {
		take_offer(in, len, fds, fd_count);
		return;
	}
	if (!bad && (r.type == MSG_TLS || r.type == MSG_TICKETS) && fd_count == 1) {
		in->ops->memory(in->arg, r.type, fds[0]);
		return;
	}
	close_all(fds, fd_count);
	if (bad)
		in->ops->failed(in->arg, bad);
	else
		in->ops->control(in->arg, &r);
}

static void on_again(uv_timer_t *again)
{
	inbox_room(again->data);
}

static void pause_polling(struct inbox *in)
{
	if (in->polled)
		loop_remove(in->loop, in->fd);
	in->polled = false;
}

static void wait_for_room(struct inbox *in)
{
	in->waiting = true;
	pause_polling(in);
	uv_timer_start(&in->again, on_again, AGAIN_MS, 0);
}

static void receive(struct inbox *in)
{
	int fds[MSG_MAX_CONNS];
	unsigned count;
	size_t len;
	int answer;

	answer = chan_recv(in->fd, in->buf, sizeof(in->buf), &len, fds, MSG_MAX_CONNS, &count);
	if (!answer) {
		take_record(in, len, fds, count);
	} else if (answer == CHAN_GONE) {
		inbox_stop(in);
		in->ops->gone(in->arg);
	} else if (answer < 0) {
		in->ops->failed(in->arg, answer);
		if (answer != -EMSGSIZE)
			wait_for_room(in); /* such as ENOMEM: never spin */
	}
}

void inbox_receive(struct inbox *in)
{
	if (has_room(in))
		receive(in);
	else
		wait_for_room(in);
}

int inbox_init(struct inbox *in, struct loop *loop, int fd, const struct inbox_ops *ops, void *arg)
{
	struct rlimit r = {.rlim_cur = 0};

	in->loop = loop;
	in->fd = fd;
	in->ops = ops;
	in->arg = arg;
	in->polled = in->waiting = false;
	getrlimit(RLIMIT_NOFILE, &r);
	in->limit = r.rlim_cur;
	in->again.data = in;
	return uv_timer_init(&loop->uv, &in->again);
}

void inbox_start(struct inbox *in)
{
	in->polled = loop_add(in->loop, in->fd, EPOLLIN, in) == 0;
	if (!in->polled)
		wait_for_room(in);
}

void inbox_stop(struct inbox *in)
{
	in->waiting = false;
	uv_timer_stop(&in->again);
	pause_polling(in);
}

void inbox_room(struct inbox *in)
{
	if (!in->waiting)
		return;
	in->waiting = false;
	uv_timer_stop(&in->again);
	inbox_start(in);
}

void inbox_close(struct inbox *in)
{
	inbox_stop(in);
	uv_close((uv_handle_t *)&in->again, NULL);
}
