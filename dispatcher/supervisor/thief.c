/* Each message leaves the victim's queue by one read, so that exactly one process has it: the victim,
 * if it wakes up, or the thief. Never MSG_PEEK, which duplicates the sockets.
 *
 * Between its read and its send a connection exists in this process alone, so the thief must not be
 * killed there: it says MOVES in the loot, and the supervisor abandons it only while it READS. Each
 * connection is recorded before it is sent. If the thief crashes in between, the record promises a
 * target something that never comes; the acceptor finds that when it steals from that target, whose
 * queue is empty. The other order would make an honest target report more than the acceptor knows it
 * was given, and be killed for lying.
 *
 * What fits nowhere goes back into the victim's channel and ends the theft. Control messages are kept
 * and go back at the end; pings not, as the acceptor sends new ones, nor certificates and ticket keys, as
 * the supervisor does. */
#include "dispatcher/supervisor/thief.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "common/msg.h"
#include "dispatcher/link.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define KEPT_MAX 8
#define PUT_BACK_TRIES 500
#define PUT_BACK_WAIT_NS 2000000

struct record {
	uint8_t *data;
	size_t len;
	int fds[CHAN_MAX_FDS];
	unsigned fd_count;
};

struct kept {
	uint8_t *data;
	size_t len;
};

struct thief {
	struct link_loot *loot;
	uint32_t rooms[LINK_TARGETS];
	uint32_t target_count;
	struct record now; /* the message in hand */
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
};

static void close_fds(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

/* There is room, as this was just taken out; only descriptors in flight may be too many a while. */
static int put_back(const void *data, size_t len, const int *fds, unsigned fd_count)
{
	struct timespec wait = {.tv_nsec = PUT_BACK_WAIT_NS};
	int answer = CHAN_FULL;

	for (int i = 0; i < PUT_BACK_TRIES && answer == CHAN_FULL; i++) {
		if (i)
			nanosleep(&wait, NULL);
		answer = chan_send(THIEF_VICTIM_OUT, data, len, fds, fd_count);
	}
	return answer;
}

/* False: abandoned meanwhile. */
static bool read_ended(struct thief *t)
{
	uint32_t phase = THIEF_READS;

	return atomic_compare_exchange_strong(&t->loot->phase, &phase, THIEF_MOVES);
}

/* --- giving --- */

static uint32_t roomiest(const struct thief *t)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < t->target_count; i++)
		if (t->rooms[i] > t->rooms[best])
			best = i;
	return best;
}

static void record_moved(struct thief *t, const struct msg_conn *conns, unsigned count,
	uint32_t target)
{
	uint32_t at = atomic_load(&t->loot->count);

	for (unsigned i = 0; i < count; i++) {
		t->loot->moved[at + i].conn = conns[i].slot;
		t->loot->moved[at + i].target = target;
	}
	atomic_store(&t->loot->count, at + count);
}

static size_t encode(const struct msg_conn *conns, unsigned count, uint8_t buf[MSG_OFFER_BYTES])
{
	struct msg_writer w;
	int64_t len;

	msg_begin(&w, buf, MSG_OFFER_BYTES, MSG_OFFER);
	for (unsigned i = 0; i < count; i++)
		msg_put_conn(&w, &conns[i]);
	len = msg_end(&w);
	ASSERT(len > 0);
	return (size_t)len;
}

/* Gives some of the connections to one target. Returns how many; 0: it took none, and has no room. */
static unsigned give_some(struct thief *t, const struct msg_conn *conns, const int *fds,
	unsigned count)
{
	uint32_t target = roomiest(t);
	unsigned some = MIN(count, t->rooms[target]);
	uint8_t buf[MSG_OFFER_BYTES];
	size_t len = encode(conns, some, buf);

	record_moved(t, conns, some, target);
	if (chan_send((int)(THIEF_TARGETS + target), buf, len, fds, some)) {
		atomic_fetch_sub(&t->loot->count, some);
		t->rooms[target] = 0;
		return 0;
	}
	t->rooms[target] -= some;
	close_fds(fds, some);
	return some;
}

static bool has_room(const struct thief *t)
{
	return t->target_count && t->rooms[roomiest(t)];
}

static int give(struct thief *t, const struct msg_conn *conns, const int *fds, unsigned count)
{
	uint8_t buf[MSG_OFFER_BYTES];
	int bad;

	while (count && has_room(t)) {
		unsigned some = give_some(t, conns, fds, count);

		conns += some;
		fds += some;
		count -= some;
	}
	if (!count)
		return 0;
	record_moved(t, conns, count, LINK_TARGETS);
	bad = put_back(buf, encode(conns, count, buf), fds, count);
	close_fds(fds, count);
	return bad;
}

/* --- taking --- */

static void keep(struct thief *t, const struct record *r)
{
	struct kept *k = &t->kept[t->kept_count];

	if (t->kept_count == KEPT_MAX || !(k->data = malloc(r->len)))
		return;
	memcpy(k->data, r->data, r->len);
	k->len = r->len;
	t->kept_count++;
}

/* 0, or anything else: the theft ends. What cannot be understood is not ours to drop. */
static int handle(struct thief *t)
{
	struct record *r = &t->now;
	struct msg_conn conns[MSG_MAX_CONNS];
	struct msg_reader reader;
	unsigned count = 0;

	if (msg_open(&reader, r->data, r->len) ||
		(reader.type == MSG_OFFER && (msg_read_offer(r->data, r->len, conns, MSG_MAX_CONNS,
			&count) || count != r->fd_count))) {
		put_back(r->data, r->len, r->fds, r->fd_count);
		return 1;
	}
	if (reader.type == MSG_OFFER)
		return give(t, conns, r->fds, count);
	if (reader.type == MSG_TLS || reader.type == MSG_TICKETS)
		close_fds(r->fds, r->fd_count);
	else if (reader.type != MSG_PING)
		keep(t, r);
	return 0;
}

/* 0: go on; otherwise the exit status of a theft that ends here. */
static int take_one(struct thief *t, bool *ret_more)
{
	int answer;

	*ret_more = false;
	atomic_store(&t->loot->reading_ms, clock_mono_ms());
	atomic_store(&t->loot->phase, THIEF_READS);
	answer = chan_recv(THIEF_VICTIM_IN, t->now.data, MSG_SETUP_BYTES, &t->now.len, t->now.fds,
		CHAN_MAX_FDS, &t->now.fd_count);
	if (!read_ended(t)) {
		if (!answer)
			put_back(t->now.data, t->now.len, t->now.fds, t->now.fd_count);
		return 1;
	}
	if (answer == CHAN_EMPTY) {
		atomic_store(&t->loot->emptied, 1);
		return 0;
	}
	if (answer)
		return 1;
	*ret_more = true;
	return handle(t) ? 1 : 0;
}

static int steal(struct thief *t)
{
	bool more = true;
	int status = 0;

	while (!status && more && has_room(t) &&
		atomic_load(&t->loot->count) + MSG_MAX_CONNS <= LINK_STOLEN_MAX)
		status = take_one(t, &more);
	for (unsigned i = 0; i < t->kept_count; i++) {
		put_back(t->kept[i].data, t->kept[i].len, NULL, 0);
		free(t->kept[i].data);
	}
	return status;
}

int thief_main(int argc, char **argv)
{
	OWNS_MEM uint8_t *buffer = malloc(MSG_SETUP_BYTES);
	struct thief t = {.now.data = buffer};

	for (int i = 2; i < argc && t.target_count < LINK_TARGETS; i++)
		t.rooms[t.target_count++] = (uint32_t)strtoul(argv[i], NULL, 10);
	t.loot = mmap(NULL, sizeof(*t.loot), PROT_READ | PROT_WRITE, MAP_SHARED, THIEF_LOOT, 0);
	if (t.loot == MAP_FAILED || !buffer)
		return 1;
	return steal(&t);
}
