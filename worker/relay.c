/* Nothing is read from one side as long as the other has not taken what was read before, so a relay
 * holds one piece each way, however slow either side is.
 *
 * An end is passed on for itself: the client's close_notify becomes end of file for the program,
 * the program's shutdown becomes close_notify, and the other way stays open. It is over when the
 * program has ended its side and all of that was sent, and either the client has ended too or
 * nobody is left to hear him. A client that vanished without a word makes the program's end of the
 * pair break.
 *
 * An end that wants nothing leaves the loop: a side that has hung up would wake it again and again.
 */
#include "worker/relay.h"
#include "common/base.h"
#include "worker/events.h"
#include "worker/eventtls.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define PIECES_PER_TURN 4

struct relay {
	struct output
		*in; /* what the program did not take yet; c->output: what the client did not */
	int pair;
	bool polled;
	uint8_t watched;
	bool client_ended, program_ended, passed_end, said_goodbye, hung_up;
};

void *relay_tag(struct worker_conn *c)
{
	return (char *)c + 1;
}

struct worker_conn *relay_untag(void *who)
{
	return (struct worker_conn *)((uintptr_t)who & ~(uintptr_t)1);
}

int relay_start(struct worker_conn *c)
{
	struct relay *r = calloc(1, sizeof(*r));
	int pair[2];

	if (!r)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		free(r);
		return -errno;
	}
	r->pair = pair[0];
	c->relay = r;
	return pair[1];
}

/* The program takes no more. */
static void hang_up(struct relay *r)
{
	r->hung_up = true;
	r->in = output_free(r->in);
}

static void to_program(struct worker_conn *c, const char *data, size_t len)
{
	struct relay *r = c->relay;
	int answer = data ? output_write(&r->in, r->pair, NULL, data, len)
			  : output_flush(&r->in, r->pair, NULL);

	if (answer < 0)
		hang_up(r);
	if (r->in || !r->client_ended || r->passed_end)
		return;
	shutdown(r->pair, SHUT_WR);
	r->passed_end = true;
}

/* False: nothing came. */
static bool from_client(struct worker_conn *c)
{
	struct relay *r = c->relay;
	char *input = c->worker->events->input;
	ssize_t got;

	if (r->in || r->client_ended || r->hung_up)
		return false;
	got = tlsconn_read(c->tls, input, INPUT_BYTES);
	if (got < 0) {
		if (got != -EAGAIN)
			events_fail(c, (int)got);
		return false;
	}
	r->client_ended = !got;
	to_program(c, got ? input : NULL, (size_t)got);
	return got;
}

static bool to_client(struct worker_conn *c, const char *data, size_t len)
{
	int answer = output_write(&c->output, c->fd, c->tls, data, len);

	if (answer < 0)
		events_fail(c, answer);
	return answer == 0;
}

static bool from_program(struct worker_conn *c)
{
	struct relay *r = c->relay;
	char *input = c->worker->events->input;
	ssize_t got;

	if (c->output || r->program_ended)
		return false;
	got = recv(r->pair, input, INPUT_BYTES, MSG_DONTWAIT);
	if (got > 0)
		return to_client(c, input, (size_t)got);
	r->program_ended = !got || (errno != EAGAIN && errno != EINTR);
	return false;
}

static bool has_hung_up(const struct relay *r)
{
	struct pollfd p = {.fd = r->pair};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void end_or_go_on(struct worker_conn *c)
{
	struct relay *r = c->relay;

	if (!r->program_ended || c->output)
		return;
	if (!r->hung_up && has_hung_up(r))
		hang_up(r);
	if (!r->said_goodbye)
		r->said_goodbye = tlsconn_goodbye(c->tls, false) == 0;
	if (r->said_goodbye && (r->client_ended || r->hung_up))
		relay_drop(c);
}

static void flush_client(struct worker_conn *c)
{
	int answer = output_flush(&c->output, c->fd, c->tls);

	if (answer < 0)
		events_fail(c, answer);
}

void relay_turn(struct worker_conn *c)
{
	flush_client(c);
	if (c->relay)
		to_program(c, NULL, 0);
	for (int i = 0; i < PIECES_PER_TURN && c->relay; i++)
		if (!from_client(c))
			break;
	for (int i = 0; i < PIECES_PER_TURN && c->relay; i++)
		if (!from_program(c))
			break;
	if (c->relay)
		end_or_go_on(c);
	if (c->relay && c->state == CONN_CLOSING)
		events_deadline(c, LINGER_MS);
}

static uint32_t client_events(const struct worker_conn *c)
{
	const struct relay *r = c->relay;

	if (c->output || (r->program_ended && !r->said_goodbye))
		return EPOLLOUT;
	return r->in || r->client_ended || r->hung_up ? 0 : eventtls_reads(c);
}

static uint32_t program_events(const struct worker_conn *c)
{
	const struct relay *r = c->relay;
	uint32_t events = r->in ? EPOLLOUT : 0;

	if (!c->output && !r->program_ended)
		events |= EPOLLIN;
	if (!events && r->program_ended && !r->hung_up)
		events = EPOLLHUP; /* is always told, but not of what has left the loop */
	return events;
}

void relay_watch(struct worker_conn *c)
{
	struct loop *l = &c->worker->loop;
	struct relay *r = c->relay;
	int bad;

	tlsconn_push(c->tls);
	bad = events_watch(l, c->fd, c, client_events(c), &c->polled, &c->watched);

	if (!bad)
		bad = events_watch(
			l, r->pair, relay_tag(c), program_events(c), &r->polled, &r->watched);
	if (bad)
		events_fail(c, bad);
}

void relay_drop(struct worker_conn *c)
{
	struct loop *l = &c->worker->loop;
	struct relay *r = c->relay;

	if (!r)
		return;
	c->relay = NULL;
	events_watch(l, r->pair, NULL, 0, &r->polled, &r->watched);
	events_watch(l, c->fd, NULL, 0, &c->polled, &c->watched);
	c->output = output_free(c->output);
	c->tls = tlsconn_free(c->tls);
	base_close(&c->fd);
	base_close(&r->pair);
	output_free(r->in);
	free(r);
}
