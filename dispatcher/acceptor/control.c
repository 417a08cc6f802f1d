/* Clients of the control socket. A client is hostile until its credentials are checked, slow until it
 * proves otherwise, and costs one small object: a request is at most one line of 4 KiB, an answer is made
 * once and written as the client reads, and whoever is not through in time is closed. */
#include "dispatcher/acceptor/control.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/acceptor/status.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS 32
#define REQUEST_BYTES 4096
#define DEADLINE_MS 10000
#define MOST_GROUPS 256
#define AGAIN_MS 100

struct client {
	struct control *control;
	int fd;
	struct ucred who;
	char request[REQUEST_BYTES];
	size_t got;
	char *answer; /* owned; NULL while the request is being read */
	size_t len, sent;
	unsigned closing; /* handles that are still to be closed */
	bool is_last;	  /* the acceptor ends behind this answer */
	uv_poll_t poll;
	uv_timer_t timer;
};

struct control {
	struct acceptor *acceptor;
	int fd;
	uv_poll_t poll;
	uv_timer_t again;
	unsigned clients;
};

static void on_connect(uv_poll_t *poll, int status, int events);

static void client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	if (--c->closing)
		return;
	if (c->is_last)
		uv_stop(&c->control->acceptor->loop);
	close(c->fd);
	if (c->control->clients-- == CLIENTS)
		uv_poll_start(&c->control->poll, UV_READABLE, on_connect);
	free(c->answer);
	free(c);
}

static void client_close(struct client *c)
{
	if (c->closing)
		return;
	c->closing = 2;
	uv_close((uv_handle_t *)&c->poll, client_closed);
	uv_close((uv_handle_t *)&c->timer, client_closed);
}

static void on_deadline(uv_timer_t *timer)
{
	client_close(timer->data);
}

static bool in_group(int fd, uint32_t gid)
{
	gid_t groups[MOST_GROUPS];
	socklen_t len = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* Root, the owner of the dispatcher, and members of ADMIN_GROUP. */
static bool may_ask(const struct client *c)
{
	uint32_t admin_gid = c->control->acceptor->settings->admin_gid;

	if (!c->who.uid || c->who.uid == getuid())
		return true;
	return admin_gid != SETTINGS_NO_ID && (c->who.gid == admin_gid || in_group(c->fd, admin_gid));
}

/* Puts the head line and the body together. body (free'd here) may be NULL. */
static void answer(struct client *c, int status, const char *error, char *body)
{
	json_t *head = json_pack("{s:i, s:s?}", "status", status, "error", error);
	char *line = head ? json_dumps(head, JSON_COMPACT) : NULL;
	size_t size = (line ? strlen(line) : 0) + (body ? strlen(body) : 0) + 3;

	c->answer = malloc(size);
	if (c->answer && line)
		c->len = (size_t)snprintf(c->answer, size, "%s\n%s", line, body ? body : "");
	free(line);
	free(body);
	json_decref(head);
}

static void answer_json(struct client *c, json_t *document, const char *service)
{
	char error[128];

	if (!document) {
		snprintf(error, sizeof(error), "there is no service %.80s", service ? service : "");
		answer(c, 1, error, NULL);
		return;
	}
	answer(c, 0, NULL, json_dumps(document, JSON_INDENT(1)));
	json_decref(document);
}

static void do_status(struct client *c, const char *service)
{
	answer_json(c, status_document(c->control->acceptor, service), service);
}

static void do_connections(struct client *c, const char *service)
{
	answer_json(c, status_connections(c->control->acceptor, service), service);
}

static void do_config(struct client *c, const char *service)
{
	char *text = NULL, error[128];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int missing = out ? settings_print(c->control->acceptor->settings, service, out) : -ENOMEM;

	if (out)
		fclose(out);
	if (!missing) {
		answer(c, 0, NULL, text);
		return;
	}
	snprintf(error, sizeof(error), "there is no service %.80s", service ? service : "");
	answer(c, 1, error, NULL);
	free(text);
}

static void do_shutdown(struct client *c, const char *how)
{
	struct acceptor *a = c->control->acceptor;
	bool now = how && !strcmp(how, "now");

	if (how && !now) {
		answer(c, 2, "shutdown takes no argument but now", NULL);
		return;
	}
	log_event(EV_CONTROL, "verb=shutdown uid=%u pid=%d", c->who.uid, c->who.pid);
	if (a->uplink.alive)
		uplink_shutdown(&a->uplink, now);
	else /* nobody is left to tell: workers finish at the end of their channel */
		c->is_last = true;
	answer(c, 0, NULL, NULL);
}

static void do_version(struct client *c, const char *none)
{
	answer(c, 0, NULL, strdup(VERSION "\n"));
}

static const struct {
	const char *name;
	void (*run)(struct client *c, const char *argument);
} verbs[] = {
	{"status", do_status},
	{"connections", do_connections},
	{"config", do_config},
	{"shutdown", do_shutdown},
	{"version", do_version},
};

static void run(struct client *c)
{
	json_t *request = json_loadb(c->request, c->got, 0, NULL);
	const char *verb = json_string_value(json_object_get(request, "verb"));
	json_t *args = json_object_get(request, "args");
	const char *argument = json_string_value(json_array_get(args, 0));
	size_t i;

	for (i = 0; verb && i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].name, verb))
			break;
	log_debug(LOG_STATISTICS, "verb=%s uid=%u pid=%d",
		verb && i < ARRAY_LEN(verbs) ? verbs[i].name : "unknown", c->who.uid, c->who.pid);
	if (!verb || i == ARRAY_LEN(verbs))
		answer(c, 2, "unknown verb", NULL);
	else if (json_array_size(args) > 1)
		answer(c, 2, "too many arguments", NULL);
	else
		verbs[i].run(c, argument);
	json_decref(request);
}

static void on_client(uv_poll_t *poll, int status, int events);

static void write_answer(struct client *c)
{
	while (c->sent < c->len) {
		ssize_t put = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_NOSIGNAL);

		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		c->sent += (size_t)put;
		uv_timer_start(&c->timer, on_deadline, DEADLINE_MS, 0);
	}
	client_close(c);
}

static void read_request(struct client *c)
{
	ssize_t got = read(c->fd, c->request + c->got, sizeof(c->request) - c->got);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		client_close(c);
		return;
	}
	c->got += (size_t)got;
	if (!memchr(c->request, '\n', c->got)) {
		if (c->got == sizeof(c->request))
			client_close(c);
		return;
	}
	run(c);
	if (c->answer)
		uv_poll_start(&c->poll, UV_WRITABLE, on_client);
	else
		client_close(c);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
	struct client *c = poll->data;

	if (c->answer)
		write_answer(c);
	else
		read_request(c);
}

static int start_client(struct control *control, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->who);

	if (!c)
		return -ENOMEM;
	c->control = control;
	c->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->who, &len) < 0 || !may_ask(c) ||
		uv_poll_init(&control->acceptor->loop, &c->poll, fd)) {
		free(c);
		return -EPERM;
	}
	uv_timer_init(&control->acceptor->loop, &c->timer);
	c->poll.data = c->timer.data = c;
	control->clients++;
	uv_timer_start(&c->timer, on_deadline, DEADLINE_MS, 0);
	uv_poll_start(&c->poll, UV_READABLE, on_client);
	return 0;
}

static void on_again(uv_timer_t *again)
{
	struct control *control = again->data;

	if (control->clients < CLIENTS)
		uv_poll_start(&control->poll, UV_READABLE, on_connect);
}

static void rest(struct control *control)
{
	uv_poll_stop(&control->poll);
	uv_timer_start(&control->again, on_again, AGAIN_MS, 0);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct control *control = poll->data;
	int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR) /* no descriptors: never spin */
			rest(control);
		return;
	}
	if (start_client(control, fd) < 0)
		close(fd);
	if (control->clients == CLIENTS)
		uv_poll_stop(poll);
}

int control_open_consume(struct acceptor *a, int fd)
{
	struct control *control = calloc(1, sizeof(*control));
	int error = control ? 0 : -ENOMEM;

	if (!error)
		error = uv_poll_init(&a->loop, &control->poll, fd);
	if (error) {
		close(fd);
		free(control);
		return error;
	}
	control->acceptor = a;
	control->fd = fd;
	control->poll.data = control->again.data = control;
	uv_timer_init(&a->loop, &control->again);
	a->control = control;
	return uv_poll_start(&control->poll, UV_READABLE, on_connect);
}
