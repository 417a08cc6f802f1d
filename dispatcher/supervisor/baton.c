/* Only one process may accept, offer and write the ledger: the next acceptor is given the baton when the
 * kernel says that the last one has ended, never before. It is told everything, then LINK_GO.
 *
 * Who dies within 10 s of its start again and again is started ever later (backoff.c); but one that had
 * begun to accept and was killed by SIGKILL did not crash by itself, and is replaced at once.
 *
 * Where one is replaced on purpose, the next is started first and told to get ready (LINK_PREPARE); if
 * it fails, the present one has noticed nothing. One that fails later is replaced as any other.
 *
 *     STEADY -> PREPARES -> PREPARED -> SWITCHES -> STEADY
 *       ^          |           |
 *       +----------+-----------+ failed, discarded
 */
#include "dispatcher/supervisor/baton.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/backoff.h"
#include "dispatcher/supervisor/bearer.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define STOP_LIMIT_MS 1000
#define PREPARE_LIMIT_MS 5000
#define ORDERS_A_TURN 256
#define BEARERS 3 /* who has the baton, who is prepared, who was discarded and is about to end */

enum baton_phase { BATON_STEADY, BATON_PREPARES, BATON_PREPARED, BATON_SWITCHES };

struct baton {
	struct baton_world world;
	struct outlet outlet; /* the holder's link */
	struct news hello, park_news, go;
	int park[2]; /* what an acceptor had in hand when it ended, on its way to the next: LINK_PARK */
	struct bearer bearers[BEARERS];
	struct bearer *holder; /* NULL: none runs */
	struct bearer *next;   /* NULL: none is being or has been prepared */
	int next_link;
	struct watch *next_watch;
	enum baton_phase phase;
	uint32_t starts;
	struct backoff backoff;
	struct timer *again; /* until the next start */
	struct timer *limit; /* of the preparation, of the holder's end */
	baton_prepared_fn *prepared;
	void *prepared_user;
	void (*swap)(void *user);
	void (*done)(void *user);
	void *switch_user;
	bool stopping;
	void (*stopped)(void *user);
	void *stopped_user;
};

static const unsigned may_follow[] = {
	[BATON_STEADY] = BIT(BATON_PREPARES),
	[BATON_PREPARES] = BIT(BATON_PREPARED) | BIT(BATON_STEADY),
	[BATON_PREPARED] = BIT(BATON_SWITCHES) | BIT(BATON_STEADY),
	[BATON_SWITCHES] = BIT(BATON_STEADY),
};

static void set_phase(struct baton *b, enum baton_phase phase)
{
	ASSERT(may_follow[b->phase] & BIT(phase));
	b->phase = phase;
}

/* --- what a holder is told --- */

static struct baton *of_hello(struct news *news)
{
	return (struct baton *)((char *)news - offsetof(struct baton, hello));
}

static int say_hello(struct news *news, int fd)
{
	const struct baton *b = of_hello(news);
	const struct baton_world *w = &b->world;
	struct link_record r = {.type = LINK_HELLO,
		.pid = getpid(),
		.number = b->starts,
		.created_ms = w->created_ms,
		.created_wall_ms = w->created_wall_ms,
		.id = w->upgraded_wall_ms ? *w->upgraded_wall_ms : 0};
	int fds[] = {w->config->fd, *w->ledger_fd, w->control_fd, w->log_fd};

	snprintf(r.text, sizeof(r.text), "%s", VERSION);
	return link_send(fd, &r, fds, ARRAY_LEN(fds));
}

static int say_park(struct news *news, int fd)
{
	const struct baton *b = (struct baton *)((char *)news - offsetof(struct baton, park_news));
	struct link_record r = {.type = LINK_PARK};

	return link_send(fd, &r, b->park, ARRAY_LEN(b->park));
}

static int say_go(struct news *news, int fd)
{
	struct link_record r = {.type = LINK_GO};

	return link_send(fd, &r, NULL, 0);
}

/* --- one process --- */

static struct bearer *free_place(struct baton *b)
{
	for (int i = 0; i < BEARERS; i++)
		if (bearer_is_free(&b->bearers[i]))
			return &b->bearers[i];
	return NULL;
}

static int start_bearer(struct baton *b, const struct settings *settings, struct bearer **ret_bearer,
	int *ret_link)
{
	struct bearer *place = free_place(b);
	int bad = place ? bearer_start(place, &b->world, settings, ret_link) : -EBUSY;

	if (!bad)
		*ret_bearer = place;
	return bad;
}

/* Gives bearer, whose link this is, the baton. */
static void hand_over(struct baton *b, struct bearer *bearer, int link)
{
	b->holder = bearer;
	b->starts++;
	if (outlet_open_consume(&b->outlet, link)) {
		bearer_signal(bearer, SIGKILL);
		return;
	}
	outlet_push(&b->outlet, &b->hello);
	outlet_push(&b->outlet, &b->park_news);
	b->world.ops->announce(b->world.user);
	outlet_push(&b->outlet, &b->go);
}

void baton_start(struct baton *b)
{
	uint64_t now = clock_mono_ms();
	struct bearer *bearer;
	int link, bad;

	backoff_started(&b->backoff, now);
	bad = start_bearer(b, b->world.config->settings, &bearer, &link);
	if (!bad) {
		hand_over(b, bearer, link);
		return;
	}
	log_event(EV_INTERNAL, "where=acceptor why=\"cannot start: %s\"", strerror(-bad));
	timer_in(b->again, backoff_died(&b->backoff, now));
}

/* --- the next one --- */

static void drop_link(struct baton *b)
{
	b->next_watch = watch_free(b->next_watch);
	base_close(&b->next_link);
}

/* Whatever became of it: nobody is prepared any more. */
static void forget_next(struct baton *b)
{
	drop_link(b);
	bearer_signal(b->next, SIGKILL);
	b->next = NULL;
}

static void next_failed(struct baton *b, const char *why)
{
	bool was_awaited = b->phase == BATON_PREPARES;

	forget_next(b);
	if (b->phase == BATON_SWITCHES)
		return; /* another is started in its place */
	timer_stop(b->limit);
	set_phase(b, BATON_STEADY);
	if (was_awaited)
		b->prepared(b->prepared_user, why);
}

static void on_next(void *user, unsigned events)
{
	struct baton *b = user;
	struct link_record r;
	int fds[CHAN_MAX_FDS], answer;
	unsigned count = 0;

	answer = link_recv(b->next_link, &r, fds, &count);
	while (count)
		close(fds[--count]);
	if (answer == CHAN_EMPTY)
		return;
	if (answer == CHAN_GONE) {
		watch_set(b->next_watch, 0); /* its end follows, and says more */
		return;
	}
	if (answer || r.type != LINK_PREPARED || b->phase != BATON_PREPARES) {
		next_failed(b, "the new acceptor does not understand the supervisor");
		return;
	}
	timer_stop(b->limit);
	set_phase(b, BATON_PREPARED);
	b->prepared(b->prepared_user, NULL);
}

static int ask_next(struct baton *b, int settings_fd)
{
	struct link_record r = {.type = LINK_PREPARE};
	int bad = watch_new(b->world.loop, b->next_link, WATCH_READ, on_next, b, &b->next_watch);

	if (!bad)
		bad = link_send(b->next_link, &r, &settings_fd, 1);
	return bad == CHAN_GONE ? 0 : bad; /* its end follows, and says more */
}

int baton_prepare(struct baton *b, const struct settings *settings, int settings_fd,
	baton_prepared_fn *prepared, void *user)
{
	int bad;

	if (!baton_is_steady(b))
		return -EBUSY;
	bad = start_bearer(b, settings, &b->next, &b->next_link);
	if (bad)
		return bad;
	bad = ask_next(b, settings_fd);
	if (bad) {
		forget_next(b);
		return bad > 0 ? -EAGAIN : bad;
	}
	b->prepared = prepared;
	b->prepared_user = user;
	set_phase(b, BATON_PREPARES);
	timer_in(b->limit, PREPARE_LIMIT_MS);
	return 0;
}

void baton_discard(struct baton *b)
{
	if (b->phase != BATON_PREPARES && b->phase != BATON_PREPARED)
		return;
	timer_stop(b->limit);
	forget_next(b);
	set_phase(b, BATON_STEADY);
}

/* --- the change --- */

int baton_switch(struct baton *b, void (*swap)(void *user), void (*done)(void *user), void *user)
{
	if (b->phase != BATON_PREPARED)
		return -ESRCH;
	set_phase(b, BATON_SWITCHES);
	b->swap = swap;
	b->done = done;
	b->switch_user = user;
	timer_stop(b->again);
	bearer_signal(b->holder, SIGTERM);
	timer_in(b->limit, b->holder ? STOP_LIMIT_MS : 0);
	return 0;
}

static void change(struct baton *b)
{
	timer_stop(b->limit);
	set_phase(b, BATON_STEADY);
	if (b->swap)
		b->swap(b->switch_user);
	if (!b->next) {
		baton_start(b);
		return;
	}
	b->next_watch = watch_free(b->next_watch);
	backoff_started(&b->backoff, clock_mono_ms());
	log_event(EV_ACCEPTOR_REPLACED, "pid=%d", b->next->pid);
	hand_over(b, b->next, base_steal_fd(&b->next_link));
	b->next = NULL;
}

static void accepts(struct baton *b)
{
	void (*done)(void *user) = b->phase == BATON_SWITCHES ? NULL : b->done;

	b->holder->up = true;
	if (!done)
		return;
	b->done = NULL;
	done(b->switch_user);
}

/* --- orders --- */

/* Takes what the acceptor has ordered, also what it left when it died: a result that it had seen must
 * not be told to the next one. Returns as link_recv does when there is no more, 0 when there may be. */
static int take_orders(struct baton *b)
{
	int fds[CHAN_MAX_FDS], answer = b->outlet.fd < 0 ? CHAN_GONE : 0;

	for (int i = 0; !answer && i < ORDERS_A_TURN; i++) {
		struct link_record order;
		unsigned count = 0;

		answer = link_recv(b->outlet.fd, &order, fds, &count);
		if (answer)
			break;
		while (count)
			close(fds[--count]);
		if (order.type == LINK_UP)
			accepts(b);
		b->world.ops->order(b->world.user, &order);
	}
	return answer;
}

/* A link that broke, or said what is no record, leaves an acceptor that can do nothing useful. */
static void on_broken(void *user, int error)
{
	struct baton *b = user;

	if (error)
		log_event(EV_INTERNAL, "where=link why=\"%s\"", strerror(-error));
	outlet_close(&b->outlet);
	bearer_signal(b->holder, SIGKILL);
}

static void on_readable(void *user, int fd)
{
	struct baton *b = user;
	int answer = take_orders(b);

	if (answer == CHAN_GONE || answer < 0)
		on_broken(b, answer < 0 ? answer : 0);
}

/* --- ends --- */

static void look_whether_all_have_gone(struct baton *b)
{
	if (!b->stopping)
		return;
	for (int i = 0; i < BEARERS; i++)
		if (!bearer_is_free(&b->bearers[i]))
			return;
	timer_stop(b->limit);
	b->stopped(b->stopped_user);
}

static void holder_died(struct baton *b, const struct bearer *bearer, int status)
{
	uint64_t again_ms = 0;
	char text[LOG_STATUS_BYTES];

	if (!bearer->up || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		again_ms = backoff_died(&b->backoff, clock_mono_ms());
	log_event(EV_ACCEPTOR_EXIT, "pid=%d status=%s again_ms=%llu", bearer->pid,
		log_status(status, text), (unsigned long long)again_ms);
	if (again_ms)
		timer_in(b->again, again_ms);
	else
		baton_start(b);
}

static void holder_ended(struct baton *b, const struct bearer *bearer, int status)
{
	take_orders(b);
	outlet_close(&b->outlet);
	b->holder = NULL;
	if (b->stopping)
		return;
	if (b->phase == BATON_SWITCHES)
		change(b);
	else
		holder_died(b, bearer, status);
}

static void next_ended(struct baton *b, int status)
{
	char why[80], text[LOG_STATUS_BYTES];

	snprintf(why, sizeof(why), "the new acceptor ended (%s)", log_status(status, text));
	next_failed(b, why);
}

static void on_ended(struct bearer *bearer, int status)
{
	struct baton *b = bearer->owner;

	if (bearer == b->holder)
		holder_ended(b, bearer, status);
	else if (bearer == b->next)
		next_ended(b, status);
	look_whether_all_have_gone(b);
}

static void on_again(void *user)
{
	baton_start(user);
}

static void on_limit(void *user)
{
	struct baton *b = user;

	if (b->holder && (b->stopping || b->phase == BATON_SWITCHES))
		bearer_signal(b->holder, SIGKILL);
	else if (b->phase == BATON_SWITCHES && !b->stopping)
		change(b);
	else if (b->phase == BATON_PREPARES)
		next_failed(b, "the new acceptor did not get ready within 5 s");
}

void baton_stop(struct baton *b, void (*stopped)(void *user), void *user)
{
	b->stopping = true;
	b->stopped = stopped;
	b->stopped_user = user;
	timer_stop(b->again);
	if (b->phase == BATON_PREPARES || b->phase == BATON_PREPARED)
		next_failed(b, "every acceptor ends");
	else
		forget_next(b);
	bearer_signal(b->holder, SIGTERM);
	timer_in(b->limit, STOP_LIMIT_MS);
	look_whether_all_have_gone(b);
}

static void start_after_all(void *user)
{
	struct baton *b = user;

	b->stopping = false;
	if (b->phase == BATON_SWITCHES)
		change(b); /* which the end of all had interrupted */
	else
		baton_start(b);
}

void baton_go_on(struct baton *b)
{
	if (!b->stopping)
		return;
	b->stopped = start_after_all;
	b->stopped_user = b;
	look_whether_all_have_gone(b);
}

bool baton_is_steady(const struct baton *b)
{
	return b->phase == BATON_STEADY && !b->stopping && !b->done;
}

void baton_save(const struct baton *b, json_t *root)
{
	snapshot_put(root, "acceptor_starts", b->starts);
	snapshot_put_fd(root, "park_in_fd", b->park[0]);
	snapshot_put_fd(root, "park_out_fd", b->park[1]);
}

void baton_restore(struct baton *b, json_t *root)
{
	int in = snapshot_fd(root, "park_in_fd"), out = snapshot_fd(root, "park_out_fd");

	b->starts = (uint32_t)snapshot_number(root, "acceptor_starts", 0);
	if (in < 0 || out < 0)
		return;
	base_close(&b->park[0]);
	base_close(&b->park[1]);
	b->park[0] = in;
	b->park[1] = out;
}

/* --- life --- */

int baton_new(const struct baton_world *world, struct baton **ret_baton)
{
	static const struct outlet_ops ops = {.readable = on_readable, .broken = on_broken};
	static const struct bearer_ops bearer_ops = {.ended = on_ended};
	struct baton *b = calloc(1, sizeof(*b));
	int bad;

	if (!b)
		return -ENOMEM;
	b->world = *world;
	for (int i = 0; i < BEARERS; i++)
		b->bearers[i].life_fd = -1;
	b->hello.say = say_hello;
	b->go.say = say_go;
	b->park_news.say = say_park;
	b->next_link = b->park[0] = b->park[1] = -1;
	bad = chan_pair(b->park);
	if (!bad)
		bad = outlet_init(&b->outlet, world->loop, &ops, b);
	for (int i = 0; !bad && i < BEARERS; i++)
		bad = bearer_init(&b->bearers[i], world->loop, &bearer_ops, b);
	if (!bad)
		bad = timer_new(world->loop, on_again, b, &b->again);
	if (!bad)
		bad = timer_new(world->loop, on_limit, b, &b->limit);
	if (bad)
		baton_free(b);
	else
		*ret_baton = b;
	return bad;
}

struct baton *baton_free(struct baton *b)
{
	if (!b)
		return NULL;
	drop_link(b);
	base_close(&b->park[0]);
	base_close(&b->park[1]);
	for (int i = 0; i < BEARERS; i++)
		bearer_deinit(&b->bearers[i]);
	outlet_deinit(&b->outlet);
	timer_free(b->again);
	timer_free(b->limit);
	free(b);
	return NULL;
}

bool baton_accepts(const struct baton *b)
{
	return b->holder && b->holder->up;
}

void baton_kill(struct baton *b)
{
	bearer_signal(b->holder, SIGKILL);
}

struct outlet *baton_outlet(struct baton *b)
{
	return &b->outlet;
}

struct baton_world *baton_world(struct baton *b)
{
	return &b->world;
}
