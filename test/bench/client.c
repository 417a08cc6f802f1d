/* One thread, one epoll, a fixed table of slots: the client must cost the same for every server
 * that it is pointed at, because its own CPU is the unit in which servers are compared.
 *
 *   slot   IDLE -> (WRITING) -> READING -> IDLE again, for the next connection
 *   hold   IDLE -> (WRITING) -> READING -> HELD ... READING -> OVER
 *
 * With a rate, a connection that could not begin when it was due counts from then: what a slow server
 * makes others wait is part of its latency.
 *
 * A connection ends with RST (SO_LINGER 0) unless the plan says otherwise: a client that closes
 * first would keep each port in TIME_WAIT for a minute and run out of them in seconds. */
#include "test/bench/client.h"
#include "common/base.h"
#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define PAYLOAD_MAX 4096
#define EVENTS 256
#define SWEEP_MS 100

enum phase { IDLE, WRITING, READING, HELD, OVER, PHASES };

struct slot {
	int fd;
	enum phase phase;
	uint32_t got;
	uint64_t started_ns;
};

struct client {
	const struct client_plan *plan;
	struct client_result *result;
	struct slot *slots;
	uint32_t slot_count;
	uint32_t in_phase[PHASES];
	uint64_t started; /* connections begun */
	uint64_t next_source;
	uint64_t begun_ns, now_ns;
	bool letting_go; /* hold mode: the second echo is under way */
	int epoll;
	int error; /* of the client itself: stop */
	uint8_t payload[PAYLOAD_MAX];
	size_t say_bytes; /* of it */
};

static void slot_set(struct client *c, struct slot *s, enum phase phase)
{
	c->in_phase[s->phase]--;
	s->phase = phase;
	c->in_phase[phase]++;
}

static void slot_end(struct client *c, struct slot *s)
{
	base_close(&s->fd);
	slot_set(c, s, c->plan->mode == CLIENT_HOLD ? OVER : IDLE);
}

static void slot_failed(struct client *c, struct slot *s, enum client_failure why)
{
	c->result->failed[why]++;
	slot_end(c, s);
}

static enum client_failure failure_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		return CLIENT_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return CLIENT_RESET;
	case ETIMEDOUT:
		return CLIENT_TIMEOUT;
	default:
		return CLIENT_OTHER;
	}
}

static void slot_watch(struct client *c, struct slot *s, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};

	if (epoll_ctl(c->epoll, op, s->fd, &event) < 0)
		c->error = -errno;
}

/* Sources are taken in turn. The port is chosen at connect, so that each source has all of them. */
static int bind_source(struct client *c, int fd)
{
	static const int on = 1;
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (!c->plan->sources || c->plan->to.ss_family != AF_INET)
		return 0;
	in.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(c->next_source++ % c->plan->sources));
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
		return -errno;
	return bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ? -errno : 0;
}

static int open_socket(struct client *c, int *ret_fd)
{
	static const struct linger at_once = {.l_onoff = 1};
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	OWNS_FD int fd = socket(c->plan->to.ss_family, type, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (!c->plan->fin && setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0)
		return -errno;
	r = bind_source(c, fd);
	if (r < 0)
		return r;
	*ret_fd = base_steal_fd(&fd);
	return 0;
}

/* Sends the payload; a socket that is still connecting answers EAGAIN and is tried again when it is
 * writable. It is short enough for any send buffer, so it goes as a whole. */
static void slot_say(struct client *c, struct slot *s)
{
	s->got = 0;
	if (send(s->fd, c->payload, c->say_bytes, MSG_NOSIGNAL) >= 0) {
		if (s->phase == WRITING)
			slot_watch(c, s, EPOLL_CTL_MOD, EPOLLIN);
		slot_set(c, s, READING);
	} else if (errno == EAGAIN) {
		slot_watch(c, s, EPOLL_CTL_MOD, EPOLLOUT);
		slot_set(c, s, WRITING);
	} else {
		slot_failed(c, s, failure_of(errno));
	}
}

/* When the next connection is to begin. */
static uint64_t due_ns(const struct client *c)
{
	return c->begun_ns + c->started * 1000000000u / c->plan->rate;
}

static void slot_start(struct client *c, struct slot *s)
{
	uint64_t due = c->plan->rate ? due_ns(c) : 0;

	c->started++;
	c->error = open_socket(c, &s->fd);
	if (c->error < 0)
		return;
	s->started_ns = due ? due : clock_mono_ns();
	s->got = 0;
	if (connect(s->fd, (const struct sockaddr *)&c->plan->to, c->plan->to_len) < 0 &&
		errno != EINPROGRESS) {
		slot_failed(c, s, failure_of(errno));
		return;
	}
	slot_set(c, s, READING);
	slot_watch(c, s, EPOLL_CTL_ADD, EPOLLIN);
	if (c->plan->mode != CLIENT_SHORT || c->plan->request)
		slot_say(c, s);
}

static void slot_answered(struct client *c, struct slot *s)
{
	if (!c->letting_go)
		histogram_add(&c->result->latency_ns, clock_mono_ns() - s->started_ns);
	if (c->plan->mode == CLIENT_HOLD && !c->letting_go) {
		slot_set(c, s, HELD);
		return;
	}
	c->result->done++;
	slot_end(c, s);
}

/* What is read is compared at once, against the same stretch of what was sent. */
static void slot_read(struct client *c, struct slot *s)
{
	uint8_t buf[PAYLOAD_MAX];
	ssize_t got = recv(s->fd, buf, sizeof(buf), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got < 0) {
		slot_failed(c, s, failure_of(errno));
	} else if (!got || s->phase == HELD) {
		slot_failed(c, s, CLIENT_CUT);
	} else if (c->plan->mode == CLIENT_SHORT) {
		slot_answered(c, s);
	} else if (s->got + (size_t)got > c->plan->payload_bytes ||
		memcmp(buf, c->payload + s->got, (size_t)got)) {
		slot_failed(c, s, CLIENT_MISMATCH);
	} else {
		s->got += (uint32_t)got;
		if (s->got == c->plan->payload_bytes)
			slot_answered(c, s);
	}
}

static bool will_start(const struct client *c)
{
	const struct client_plan *p = c->plan;

	return c->started < p->count && !c->error &&
		(!p->time_ms || c->now_ns - c->begun_ns < p->time_ms * 1000000u);
}

static bool may_start(const struct client *c)
{
	return will_start(c) && (!c->plan->rate || c->now_ns >= due_ns(c));
}

/* The next connection begins in the slot that became free, before other events are looked at:
 * the server always has work waiting, as from clients that know nothing of each other. */
static void slot_event(struct client *c, struct slot *s)
{
	if (s->phase == WRITING)
		slot_say(c, s);
	else if (s->phase == READING || s->phase == HELD)
		slot_read(c, s);
	if (s->phase == IDLE && may_start(c))
		slot_start(c, s);
}

/* A slot is idle, and the number of connections on the way stays below the plan's. */
static void start_more(struct client *c)
{
	uint32_t busy = c->in_phase[WRITING] + c->in_phase[READING];

	for (uint32_t i = 0; i < c->slot_count && may_start(c); i++) {
		struct slot *s = &c->slots[i];

		if (busy >= c->plan->concurrency)
			return;
		if (s->phase != IDLE)
			continue;
		slot_start(c, s);
		busy += s->phase == WRITING || s->phase == READING;
	}
}

static void sweep(struct client *c)
{
	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct slot *s = &c->slots[i];

		if ((s->phase == WRITING || s->phase == READING) &&
			c->now_ns > s->started_ns + c->plan->timeout_ms * 1000000u)
			slot_failed(c, s, CLIENT_TIMEOUT);
	}
}

/* Waits for events until `until_ns`, the next sweep, or the next connection that may begin. */
static int wait(struct client *c, struct epoll_event *events, uint64_t sweep_ns, uint64_t until_ns)
{
	uint64_t wake_ns = MIN(until_ns, sweep_ns), left;
	struct timespec ts;

	if (c->plan->rate && c->in_phase[IDLE] && will_start(c))
		wake_ns = MIN(wake_ns, due_ns(c));
	left = wake_ns > c->now_ns ? wake_ns - c->now_ns : 0;
	ts = (struct timespec){.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u)};
	return epoll_pwait2(c->epoll, events, EVENTS, &ts, NULL);
}

/* Waits for events and serves them. */
static void turn(struct client *c, uint64_t *sweep_ns, uint64_t until_ns)
{
	struct epoll_event events[EVENTS];
	int count = wait(c, events, *sweep_ns, until_ns);

	c->now_ns = clock_mono_ns();
	if (count < 0 && errno != EINTR)
		c->error = -errno;
	for (int i = 0; i < count; i++)
		slot_event(c, events[i].data.ptr);
	if (c->now_ns < *sweep_ns)
		return;
	*sweep_ns = c->now_ns + SWEEP_MS * 1000000u;
	sweep(c);
}

static void until_none_is_on_the_way(struct client *c)
{
	uint64_t sweep_ns = 0;

	do {
		start_more(c);
		turn(c, &sweep_ns, CLOCK_NEVER);
	} while (!c->error && (will_start(c) || c->in_phase[WRITING] + c->in_phase[READING] > 0));
}

static void hold_and_let_go(struct client *c)
{
	uint64_t sweep_ns = 0, until_ns = clock_mono_ns() + c->plan->hold_ms * 1000000u;

	if (c->plan->on_held)
		c->plan->on_held(c->in_phase[HELD]);
	for (c->now_ns = clock_mono_ns(); c->now_ns < until_ns && !c->error;)
		turn(c, &sweep_ns, until_ns);
	c->letting_go = true;
	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct slot *s = &c->slots[i];

		if (s->phase != HELD)
			continue;
		s->started_ns = clock_mono_ns();
		slot_say(c, s);
	}
	until_none_is_on_the_way(c);
}

static int client_init(struct client *c)
{
	const struct client_plan *p = c->plan;

	ASSERT(p->payload_bytes && p->payload_bytes <= PAYLOAD_MAX && p->concurrency && p->count);
	c->slot_count = (uint32_t)p->count;
	if (p->mode != CLIENT_HOLD && p->count > p->concurrency)
		c->slot_count = p->concurrency;
	c->slots = calloc(c->slot_count, sizeof(*c->slots));
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!c->slots || c->epoll < 0)
		return -errno;
	for (uint32_t i = 0; i < c->slot_count; i++)
		c->slots[i].fd = -1;
	c->in_phase[IDLE] = c->slot_count;
	for (size_t i = 0; i < sizeof(c->payload); i++)
		c->payload[i] = (uint8_t)('!' + i % 90);
	c->say_bytes = p->payload_bytes;
	if (p->request) {
		c->say_bytes = MIN(strlen(p->request), sizeof(c->payload));
		memcpy(c->payload, p->request, c->say_bytes);
	}
	return 0;
}

static void client_deinit(struct client *c)
{
	for (uint32_t i = 0; c->slots && i < c->slot_count; i++)
		base_close(&c->slots[i].fd);
	free(c->slots);
	base_close(&c->epoll);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int client_run(const struct client_plan *plan, struct client_result *ret_result)
{
	struct client c = {.plan = plan, .result = ret_result, .epoll = -1};
	uint64_t cpu_before = cpu_ns();
	int r;

	memset(ret_result, 0, sizeof(*ret_result));
	r = client_init(&c);
	if (r == 0) {
		c.begun_ns = c.now_ns = clock_mono_ns();
		until_none_is_on_the_way(&c);
		if (plan->mode == CLIENT_HOLD && !c.error)
			hold_and_let_go(&c);
		ret_result->elapsed_ns = clock_mono_ns() - c.begun_ns;
		ret_result->cpu_ns = cpu_ns() - cpu_before;
		r = c.error;
	}
	client_deinit(&c);
	return r;
}
