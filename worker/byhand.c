/* `worker -l 127.0.0.1:2525`: the worker listens for itself, for gdb and for tests. The
 * dispatcher's side of the protocol runs in the same loop, so the library's own paths are those of
 * every day: setup and offers come over a channel, reports go back by page and bell. */
#include "worker/byhand.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/page.h"
#include "worker/arguments.h"
#include "worker/core.h"
#include "worker/handtls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define WINDOW 64 /* offers that the worker has not read yet */

struct door {
	struct byhand *byhand;
	uv_poll_t poll;
};

struct byhand {
	struct worker *worker;
	struct arguments args;
	struct page *page;
	struct bell *bell;
	int channel, page_fd, bell_fd, doorbell;
	uint32_t *free_slots, free_count, ring_len;
	uint64_t given, done; /* connections */
	bool started, paused;
	struct door doors[ARGUMENTS_MAX_LISTENERS];
	uv_poll_t rung;
	uv_signal_t interrupt, term;
	uv_timer_t kill;
};

static int make_page(struct byhand *b)
{
	size_t bytes = page_bytes(b->ring_len);

	b->page_fd = page_memory("worker-page", bytes);
	if (b->page_fd < 0)
		return b->page_fd;
	b->page = page_map(b->page_fd, bytes, 1);
	if (!b->page)
		return -errno;
	b->page->version = PAGE_VERSION;
	b->page->ring_len = b->ring_len;
	return 0;
}

static int make_bell(struct byhand *b)
{
	b->bell_fd = page_memory("worker-bell", sizeof(struct bell));
	if (b->bell_fd < 0)
		return b->bell_fd;
	b->bell = page_map(b->bell_fd, sizeof(struct bell), 1);
	return b->bell ? 0 : -errno;
}

/* The worker's ends; the memory's descriptors go to it too. */
static int make_links(struct byhand *b, struct link_fds *ret_fds)
{
	int ends[2], bell[2], bad = make_page(b);

	if (!bad)
		bad = make_bell(b);
	if (!bad)
		bad = chan_pair(ends);
	if (bad)
		return bad;
	b->channel = ends[0];
	ret_fds->channel = ends[1];
	if (pipe2(bell, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	b->doorbell = bell[0];
	ret_fds->doorbell = bell[1];
	ret_fds->page = base_steal_fd(&b->page_fd);
	ret_fds->bell = base_steal_fd(&b->bell_fd);
	return 0;
}

static int send_setup(struct byhand *b)
{
	OWNS_MEM uint8_t *buf = malloc(MSG_SETUP_BYTES);
	struct msg_writer m;
	int64_t len;

	if (!buf)
		return -ENOMEM;
	msg_begin(&m, buf, MSG_SETUP_BYTES, MSG_SETUP);
	arguments_put(&b->args, &m);
	msg_put_u32(&m, MSG_WORKER, 1);
	msg_put_u32(&m, MSG_RING, b->ring_len);
	len = msg_end(&m);
	return len < 0 ? (int)len : chan_send(b->channel, buf, (size_t)len, NULL, 0);
}

static int make_slots(struct byhand *b)
{
	uint32_t count = b->args.max_conns;

	b->ring_len = page_ring_len(count);
	b->free_slots = calloc(count, sizeof(*b->free_slots));
	if (!b->free_slots)
		return -ENOMEM;
	while (b->free_count < count) {
		b->free_slots[b->free_count] = count - 1 - b->free_count;
		b->free_count++;
	}
	return 0;
}

int byhand_new(int argc, char **argv, struct byhand **ret_byhand, struct link_fds *ret_fds)
{
	struct byhand *b = calloc(1, sizeof(*b));
	int bad;

	if (!b)
		return -ENOMEM;
	b->channel = b->page_fd = b->bell_fd = b->doorbell = -1;
	bad = arguments_init(&b->args, argc, argv);
	if (!bad)
		bad = arguments_listen(&b->args);
	if (!bad)
		bad = make_slots(b);
	if (!bad)
		bad = make_links(b, ret_fds);
	if (!bad)
		bad = send_setup(b);
	if (!bad && b->args.tls_cert)
		bad = handtls_send(b->channel, b->args.program, b->args.tls_cert, b->args.tls_key);
	if (bad) {
		byhand_free(b);
		return bad;
	}
	*ret_byhand = b;
	return 0;
}

static void collect(struct byhand *b)
{
	struct page_claims claims;

	page_read(b->page, &claims);
	for (; b->done < claims.done; b->done++)
		b->free_slots[b->free_count++] = page_done_slot(b->page, b->ring_len, b->done);
}

static bool has_room(const struct byhand *b)
{
	struct page_claims claims;

	page_read(b->page, &claims);
	return b->free_count && b->given - claims.taken < WINDOW;
}

static void on_door(uv_poll_t *poll, int status, int events);

/* Listens while there is room; else asks to be rung and looks again before it sleeps. */
static void go_on(struct byhand *b)
{
	bool pause;

	collect(b);
	if (!has_room(b)) {
		page_arm(b->bell);
		collect(b);
	}
	pause = !has_room(b);
	if (pause == b->paused)
		return;
	b->paused = pause;
	for (unsigned i = 0; i < b->args.listener_count; i++)
		if (pause)
			uv_poll_stop(&b->doors[i].poll);
		else
			uv_poll_start(&b->doors[i].poll, UV_READABLE, on_door);
}

static void offer(struct byhand *b, uint32_t listener, int fd, const struct sockaddr_storage *sa,
	socklen_t len)
{
	struct msg_conn conn = {.listener = listener, .accepted_ms = clock_mono_ms()};
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer m;

	conn.slot = b->free_slots[b->free_count - 1];
	addr_from_sockaddr(&conn.peer, (const struct sockaddr *)sa, len);
	msg_begin(&m, buf, sizeof(buf), MSG_OFFER);
	msg_put_conn(&m, &conn);
	if (chan_send(b->channel, buf, (size_t)msg_end(&m), &fd, 1) == 0) {
		b->free_count--;
		b->given++;
	}
	close(fd);
}

static void on_door(uv_poll_t *poll, int status, int events)
{
	struct door *door = poll->data;
	struct byhand *b = door->byhand;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	uint32_t listener = (uint32_t)(door - b->doors);
	int fd = accept4(b->args.listeners[listener].fd, (struct sockaddr *)&sa, &len,
		SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		offer(b, listener, fd, &sa, len);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		worker_log(b->worker, WORKER_ERROR, "accept: %s", strerror(errno));
	go_on(b);
}

static void on_rung(uv_poll_t *poll, int status, int events)
{
	struct byhand *b = poll->data;
	char bytes[64];

	while (read(b->doorbell, bytes, sizeof(bytes)) > 0)
		;
	if (b->worker->life == LIFE_SERVING)
		go_on(b);
}

static void on_kill(uv_timer_t *timer)
{
	_exit(1);
}

/* SIGTERM or SIGINT: goodbye; the second one, or the kill time-out, ends it at once. */
static void on_signal(uv_signal_t *handle, int number)
{
	struct byhand *b = handle->data;

	if (uv_is_active((uv_handle_t *)&b->kill))
		_exit(1);
	for (unsigned i = 0; i < b->args.listener_count; i++)
		uv_poll_stop(&b->doors[i].poll);
	b->paused = true;
	uv_timer_start(&b->kill, on_kill, b->args.kill_timeout_ms, 0);
	core_leave(b->worker);
}

int byhand_start(struct byhand *b, struct worker *w)
{
	int bad = uv_poll_init(&w->loop.uv, &b->rung, b->doorbell);

	if (bad)
		return bad;
	b->worker = w;
	uv_signal_init(&w->loop.uv, &b->interrupt);
	uv_signal_init(&w->loop.uv, &b->term);
	uv_timer_init(&w->loop.uv, &b->kill);
	b->rung.data = b->interrupt.data = b->term.data = b->kill.data = b;
	for (unsigned i = 0; i < b->args.listener_count; i++) {
		uv_poll_init(&w->loop.uv, &b->doors[i].poll, b->args.listeners[i].fd);
		b->doors[i].poll.data = &b->doors[i];
		b->doors[i].byhand = b;
	}
	b->started = b->paused = true;
	uv_signal_start(&b->interrupt, on_signal, SIGINT);
	uv_signal_start(&b->term, on_signal, SIGTERM);
	uv_poll_start(&b->rung, UV_READABLE, on_rung);
	go_on(b);
	arguments_announce(&b->args);
	return 0;
}

void byhand_close(struct byhand *b)
{
	if (!b->started)
		return;
	uv_close((uv_handle_t *)&b->rung, NULL);
	uv_close((uv_handle_t *)&b->interrupt, NULL);
	uv_close((uv_handle_t *)&b->term, NULL);
	uv_close((uv_handle_t *)&b->kill, NULL);
	for (unsigned i = 0; i < b->args.listener_count; i++)
		uv_close((uv_handle_t *)&b->doors[i].poll, NULL);
}

struct byhand *byhand_free(struct byhand *b)
{
	if (!b)
		return NULL;
	if (b->page)
		munmap(b->page, page_bytes(b->ring_len));
	if (b->bell)
		munmap(b->bell, sizeof(struct bell));
	base_close(&b->channel);
	base_close(&b->page_fd);
	base_close(&b->bell_fd);
	base_close(&b->doorbell);
	arguments_deinit(&b->args);
	free(b->free_slots);
	free(b);
	return NULL;
}
