/* From the first record on nobody is accepted here; who waits, waits in the backlog that both
 * share. If the lease ends without a word the next dispatcher has failed, and everything goes on as
 * before. */
#include "dispatcher/acceptor/lease.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/acceptor/line.h"
#include "dispatcher/acceptor/pump.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/*   GIVES -> GIVEN -> the end: DONE was said, or nothing */
struct lease {
	struct acceptor *acceptor;
	int fd;
	uv_poll_t poll;
	uint32_t service, listener; /* the next to be given */
	bool given;
};

const char *lease_refusal(const struct acceptor *a, uid_t uid)
{
	bool has_own_user = a->settings->uid != SETTINGS_NO_ID;

	if (uid && (has_own_user || uid != getuid()))
		return "only who may start the dispatcher may take it over";
	if (a->uplink.alive && !uplink_has_hung_up(&a->uplink))
		return "the supervisor lives";
	if (!a->going || a->lease || a->retires)
		return "it is being taken over already";
	return NULL;
}

static void set_lent(struct acceptor *a, bool lent)
{
	for (uint32_t i = 0; i < a->service_count; i++) {
		a->services[i].lent = lent;
		pump_run(&a->services[i], clock_mono_ms());
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct lease *lease = handle->data;

	close(lease->fd);
	free(lease);
}

static void end(struct lease *lease)
{
	lease->acceptor->lease = NULL;
	uv_close((uv_handle_t *)&lease->poll, on_closed);
}

/* Whoever had the listeners may have begun to close them. */
static void open_again(const struct service *svc)
{
	int none = 0;

	for (uint32_t i = 0; svc->state == LINK_OPEN && i < svc->listener_count; i++)
		if (svc->listeners[i].fd >= 0)
			setsockopt(svc->listeners[i].fd, SOL_SOCKET, SO_DETACH_FILTER, &none,
				sizeof(none));
}

static void resume(struct lease *lease)
{
	struct acceptor *a = lease->acceptor;

	end(lease);
	for (uint32_t i = 0; i < a->service_count; i++)
		open_again(&a->services[i]);
	set_lent(a, false);
	log_event(
		EV_TAKEOVER_FAILED, "why=\"the next dispatcher has gone: this acceptor goes on\"");
}

/* What was accepted here is served here; who waits belongs to the other one now. */
static void retire_service(struct service *svc, uint64_t now_ms)
{
	for (uint32_t i = 0; i < svc->listener_count; i++)
		listener_close(&svc->listeners[i]);
	svc->waiting = 0;
	if (!svc->pool || svc->drained)
		return;
	if (svc->state != LINK_CLOSING)
		svc->close_deadline_ms = CLOCK_NEVER;
	svc->state = LINK_CLOSING;
	svc->drain_from_ms = now_ms;
	svc->drain_until_ms = CLOCK_NEVER;
	pump_run(svc, now_ms);
	svc->ops->changed(svc);
}

void lease_retire(struct acceptor *a)
{
	uint32_t connections = 0;

	for (uint32_t i = 0; i < a->service_count; i++)
		connections += a->services[i].conns.open;
	log_event(EV_ACCEPTOR_RETIRES, "pid=%d connections=%u", (int)getpid(), connections);
	a->retires = true;
	for (uint32_t i = 0; i < a->service_count; i++)
		retire_service(&a->services[i], clock_mono_ms());
	lease_look(a);
}

void lease_look(struct acceptor *a)
{
	for (uint32_t i = 0; a->retires && i < a->service_count; i++)
		if (a->services[i].attached || a->services[i].stash.count || line_count(&a->services[i]))
			return;
	if (a->retires)
		uv_stop(&a->loop);
}

static void on_event(uv_poll_t *poll, int status, int events);

/* 0, CHAN_FULL, CHAN_GONE or -errno. */
static int send_record(struct lease *lease, enum takeover_type type, const int *fd)
{
	struct takeover_record r = {.magic = TAKEOVER_MAGIC, .type = type};

	return chan_send(lease->fd, &r, sizeof(r), fd, fd ? 1 : 0);
}

/* False: there is none left. */
static bool find_next(struct lease *lease, int *ret_fd)
{
	const struct acceptor *a = lease->acceptor;

	for (; lease->service < a->service_count; lease->service++, lease->listener = 0) {
		const struct service *svc = &a->services[lease->service];

		for (; lease->listener < svc->listener_count; lease->listener++) {
			const struct listener *l = &svc->listeners[lease->listener];

			if (l->fd >= 0 && !l->closing) {
				*ret_fd = l->fd;
				return true;
			}
		}
	}
	return false;
}

static void give(struct lease *lease)
{
	int fd, answer = 0;

	while (find_next(lease, &fd)) {
		answer = send_record(lease, TAKEOVER_LISTENER, &fd);
		if (answer)
			break;
		lease->listener++;
	}
	if (!answer)
		answer = send_record(lease, TAKEOVER_ALL, NULL);
	if (answer == CHAN_FULL)
		return;
	if (answer) {
		resume(lease);
		return;
	}
	lease->given = true;
	uv_poll_start(&lease->poll, UV_READABLE, on_event);
}

static void succeeded(struct lease *lease)
{
	struct acceptor *a = lease->acceptor;

	end(lease);
	lease_retire(a);
}

static void hear(struct lease *lease)
{
	struct takeover_record r;
	ssize_t got = recv(lease->fd, &r, sizeof(r), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got == (ssize_t)sizeof(r) && r.magic == TAKEOVER_MAGIC && r.type == TAKEOVER_DONE)
		succeeded(lease);
	else
		resume(lease);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct lease *lease = poll->data;

	if (lease->given || events & UV_READABLE)
		hear(lease);
	else
		give(lease);
}

void lease_begin(struct acceptor *a, int connection)
{
	struct lease *lease = a->lease || a->retires ? NULL : calloc(1, sizeof(*lease));

	if (!lease)
		return;
	lease->acceptor = a;
	lease->fd = fcntl(connection, F_DUPFD_CLOEXEC, 0);
	if (lease->fd < 0 || uv_poll_init(&a->loop, &lease->poll, lease->fd)) {
		base_close(&lease->fd);
		free(lease);
		return;
	}
	lease->poll.data = lease;
	a->lease = lease;
	set_lent(a, true);
	uv_poll_start(&lease->poll, UV_READABLE | UV_WRITABLE, on_event);
}
