/* Clients of the control socket. A client is hostile until its credentials are checked, slow until it
 * proves otherwise, and costs one small object: a request is at most one line of 4 KiB that must be
 * whole within a second, and its answer is made in pieces as the client reads.
 *
 * Nobody can keep others out. Everybody is accepted at once; where there is no place, the one of the
 * same user that has been silent longest makes it, and no user has more than a share of the places.
 * Root and the owner have places of their own. What others ask is answered one request at a time with a
 * pause between, so that a storm of requests costs connections nothing that could be felt; and after a
 * burst of connects the listener rests for a moment. */
#include "dispatcher/acceptor/control.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/acceptor/verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_BYTES 4096
#define REQUEST_MS 1000	 /* for a whole request */
#define SILENCE_MS 10000 /* without a byte read of an answer */
#define ANSWER_MS 60000	 /* for a whole answer */
#define OWN_PLACES 32	 /* of root and the owner together */
#define OTHER_PLACES 32
#define USER_PLACES 8 /* of each other user */
#define TURN_MS 10    /* between two answers to other users */
#define BURST 64      /* connects in BURST_MS; then the listener rests until they are over */
#define BURST_MS 20
#define MOST_GROUPS 256
#define AGAIN_MS 100

struct client {
	struct client *older, *newer; /* by their last sign of life */
	struct control *control;
	int fd;
	struct verbs_asker who;
	bool is_own;   /* root's or the owner's */
	bool is_ready; /* its request is whole and waits for its turn */
	bool answers;
	char request[REQUEST_BYTES];
	size_t got;
	struct answer answer;
	uint64_t until_ms; /* of the whole answer */
	unsigned closing;  /* handles that are still to be closed */
	uv_poll_t poll;
	uv_timer_t timer;
};

struct control {
	struct acceptor *acceptor;
	int fd;
	uv_poll_t poll;
	uv_timer_t again, turn;
	struct client *oldest, *newest;
	unsigned own, others;
	uint64_t turn_ms, burst_ms; /* of the last turn; when the burst began */
	unsigned burst;
};

static void on_connect(uv_poll_t *poll, int status, int events);

/* --- the list, the longest silent first --- */

static void unlink_client(struct client *c)
{
	struct control *control = c->control;

	if (c->older)
		c->older->newer = c->newer;
	else
		control->oldest = c->newer;
	if (c->newer)
		c->newer->older = c->older;
	else
		control->newest = c->older;
	c->older = c->newer = NULL;
}

static void append_client(struct client *c)
{
	struct control *control = c->control;

	c->older = control->newest;
	if (c->older)
		c->older->newer = c;
	else
		control->oldest = c;
	control->newest = c;
}

static void has_moved(struct client *c)
{
	unlink_client(c);
	append_client(c);
}

/* --- the end of a client --- */

static void client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;

	if (--c->closing)
		return;
	if (c->answer.is_last)
		uv_stop(&c->control->acceptor->loop);
	close(c->fd);
	answer_deinit(&c->answer);
	free(c);
}

static void client_close(struct client *c)
{
	if (c->closing)
		return;
	c->closing = 2;
	unlink_client(c);
	if (c->is_own)
		c->control->own--;
	else
		c->control->others--;
	uv_close((uv_handle_t *)&c->poll, client_closed);
	uv_close((uv_handle_t *)&c->timer, client_closed);
}

static void on_deadline(uv_timer_t *timer)
{
	client_close(timer->data);
}

/* A head line for who gets no answer, if it listens. */
static void tell(int fd, int status, const char *error)
{
	char line[160];
	int len = snprintf(line, sizeof(line), "{\"status\":%d,\"error\":\"%s\"}\n", status, error);

	(void)!send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void turn_out(struct client *c)
{
	if (!c->answers)
		tell(c->fd, ANSWER_BUSY, "the dispatcher has too many clients: ask again");
	client_close(c);
}

/* --- who --- */

static bool in_group(int fd, gid_t own, uint32_t gid)
{
	gid_t groups[MOST_GROUPS];
	socklen_t len = sizeof(groups);

	if (gid == SETTINGS_NO_ID)
		return false;
	if (own == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* Root, or without root the user of all of us. Where there is root, this process's own user is just
 * another one: it may be one that other programs have, too. */
static bool is_owner(const struct settings *s, uid_t uid)
{
	return !uid || (s->uid == SETTINGS_NO_ID && uid == getuid());
}

static bool identify(struct client *c)
{
	const struct settings *s = c->control->acceptor->settings;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	c->who = (struct verbs_asker){.uid = peer.uid, .pid = peer.pid};
	c->is_own = is_owner(s, peer.uid);
	if (c->is_own || in_group(c->fd, peer.gid, s->admin_gid))
		c->who.role = ROLE_ADMIN;
	else if (in_group(c->fd, peer.gid, s->status_gid))
		c->who.role = ROLE_STATUS;
	return c->who.role != ROLE_NOBODY;
}

/* --- places --- */

/* The longest silent of those that count with c: its user's, or all that are as much its own. */
static struct client *longest_silent(const struct client *c, bool of_its_user)
{
	for (struct client *i = c->control->oldest; i; i = i->newer)
		if (i->is_own == c->is_own && (!of_its_user || i->who.uid == c->who.uid))
			return i;
	return NULL;
}

static unsigned places_of_user(const struct client *c)
{
	unsigned count = 0;

	for (const struct client *i = c->control->oldest; i; i = i->newer)
		count += !i->is_own && i->who.uid == c->who.uid;
	return count;
}

static void make_place(const struct client *c)
{
	struct control *control = c->control;
	struct client *leaves = NULL;

	if (c->is_own && control->own >= OWN_PLACES)
		leaves = longest_silent(c, false);
	else if (!c->is_own && places_of_user(c) >= USER_PLACES)
		leaves = longest_silent(c, true);
	else if (!c->is_own && control->others >= OTHER_PLACES)
		leaves = longest_silent(c, false);
	if (leaves)
		turn_out(leaves);
}

/* --- the answer --- */

static void on_client(uv_poll_t *poll, int status, int events);

static void start_answer(struct client *c)
{
	c->is_ready = false;
	c->answers = true;
	verbs_run(c->control->acceptor, &c->who, c->request, c->got, &c->answer);
	has_moved(c);
	c->until_ms = clock_mono_ms() + ANSWER_MS;
	uv_timer_start(&c->timer, on_deadline, SILENCE_MS, 0);
	uv_poll_start(&c->poll, UV_WRITABLE, on_client);
}


static void on_turn(uv_timer_t *turn)
{
	struct control *control = turn->data;
	struct client *c = control->oldest;

	while (c && !c->is_ready)
		c = c->newer;
	if (!c) {
		uv_timer_stop(turn);
		return;
	}
	control->turn_ms = clock_mono_ms();
	start_answer(c);
}

/* At once, unless it must wait for its turn. */
static void request_is_whole(struct client *c)
{
	struct control *control = c->control;
	bool is_waiting = uv_is_active((uv_handle_t *)&control->turn);

	if (c->is_own) {
		start_answer(c);
		return;
	}
	if (!is_waiting && clock_mono_ms() - control->turn_ms >= TURN_MS) {
		control->turn_ms = clock_mono_ms();
		start_answer(c);
		return;
	}
	c->is_ready = true;
	uv_timer_stop(&c->timer);
	uv_poll_stop(&c->poll);
	if (!is_waiting)
		uv_timer_start(&control->turn, on_turn, TURN_MS, TURN_MS);
}

/* One piece at a time: between two pieces others have their turn. */
static void write_answer(struct client *c)
{
	struct answer *an = &c->answer;

	while (an->sent < an->len) {
		ssize_t put = send(c->fd, an->text + an->sent, an->len - an->sent, MSG_NOSIGNAL);

		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			client_close(c);
			return;
		}
		an->sent += (size_t)put;
		has_moved(c);
		uv_timer_start(&c->timer, on_deadline, SILENCE_MS, 0);
	}
	if (clock_mono_ms() <= c->until_ms && answer_next(an))
		return;
	if (an->then)
		an->then(c->control->acceptor, c->fd);
	client_close(c);
}

/* --- the request --- */

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
	has_moved(c);
	if (memchr(c->request, '\n', c->got))
		request_is_whole(c);
	else if (c->got == sizeof(c->request))
		client_close(c);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
	struct client *c = poll->data;

	if (c->answers)
		write_answer(c);
	else
		read_request(c);
}

/* --- who comes --- */

static int start_client(struct control *control, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->control = control;
	c->fd = fd;
	if (!identify(c)) {
		tell(fd, ANSWER_REFUSED, "only root, the dispatcher's own user, ADMIN_GROUP and STATUS_GROUP may ask");
		free(c);
		return -EPERM;
	}
	if (uv_poll_init(&control->acceptor->loop, &c->poll, fd)) {
		free(c);
		return -EMFILE;
	}
	uv_timer_init(&control->acceptor->loop, &c->timer);
	c->poll.data = c->timer.data = c;
	make_place(c);
	append_client(c);
	if (c->is_own)
		control->own++;
	else
		control->others++;
	uv_timer_start(&c->timer, on_deadline, REQUEST_MS, 0);
	uv_poll_start(&c->poll, UV_READABLE, on_client);
	return 0;
}

static void on_again(uv_timer_t *again)
{
	struct control *control = again->data;

	uv_poll_start(&control->poll, UV_READABLE, on_connect);
}

static void rest(struct control *control, uint64_t ms)
{
	uv_poll_stop(&control->poll);
	uv_timer_start(&control->again, on_again, ms, 0);
}

/* Whoever connects in a loop costs us no more than a bounded share of the time. */
static void count_burst(struct control *control)
{
	uint64_t now_ms = clock_mono_ms();

	if (now_ms - control->burst_ms >= BURST_MS) {
		control->burst_ms = now_ms;
		control->burst = 0;
	}
	if (++control->burst >= BURST)
		rest(control, control->burst_ms + BURST_MS - now_ms);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct control *control = poll->data;
	int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR) /* no descriptors: never spin */
			rest(control, AGAIN_MS);
		return;
	}
	if (start_client(control, fd) < 0)
		close(fd);
	count_burst(control);
}

int control_new_consume(struct acceptor *a, int fd)
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
	control->poll.data = control->again.data = control->turn.data = control;
	uv_timer_init(&a->loop, &control->again);
	uv_timer_init(&a->loop, &control->turn);
	a->control = control;
	return 0;
}

void control_open(struct control *control)
{
	uv_poll_start(&control->poll, UV_READABLE, on_connect);
}
