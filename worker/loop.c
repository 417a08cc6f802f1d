/* The path of a connection must cost few system calls. A uv_poll per client takes seven where epoll
 * itself takes two, and an epoll set of ours inside libuv's takes a second epoll_wait for each
 * wake-up. So it is the other way round: libuv's loop stands in our set as one descriptor and runs,
 * without waiting, when it has something to do. That is what uv_backend_fd and uv_backend_timeout
 * are for; the latter is 0 as well while handles were started whose descriptors libuv has not told
 * the kernel yet. */
#include "worker/loop.h"
#include "common/base.h"

#include <errno.h>

int loop_init(struct loop *l)
{
	int bad = uv_loop_init(&l->uv);

	if (bad)
		return bad;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	return loop_add(l, uv_backend_fd(&l->uv), EPOLLIN, NULL);
}

void loop_deinit(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_NOWAIT);
	uv_loop_close(&l->uv); /* fails if the author left handles open */
	base_close(&l->epoll);
}

static int control(struct loop *l, int op, int fd, uint32_t events, void *who)
{
	struct epoll_event e = {.events = events, .data.ptr = who};

	return epoll_ctl(l->epoll, op, fd, &e) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, int fd, uint32_t events, void *who)
{
	return control(l, EPOLL_CTL_ADD, fd, events, who);
}

int loop_change(struct loop *l, int fd, uint32_t events, void *who)
{
	return control(l, EPOLL_CTL_MOD, fd, events, who);
}

void loop_remove(struct loop *l, int fd)
{
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int loop_wait(struct loop *l)
{
	int timeout_ms, count;

	uv_update_time(&l->uv); /* the author may have been slow */
	timeout_ms = uv_backend_timeout(&l->uv);
	count = epoll_wait(l->epoll, l->ready, LOOP_AT_ONCE, timeout_ms);
	uv_update_time(&l->uv);
	l->uv_due = !timeout_ms || count <= 0;
	for (int i = 0; i < count; i++)
		if (!l->ready[i].data.ptr)
			l->uv_due = true;
	return MAX(count, 0);
}

void loop_run_uv(struct loop *l)
{
	if (l->uv_due)
		uv_run(&l->uv, UV_RUN_NOWAIT);
}
