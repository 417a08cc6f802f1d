/* What nobody has asked for stays in the channel, where the dispatcher can take it back. So the
 * first record is only looked at, without room for descriptors (a peek with room would duplicate
 * them). */
#include "worker/notify/inlet.h"
#include "common/base.h"
#include "common/chan.h"

#include <errno.h>

struct kept {
	struct kept *next;
	struct offer offer;
};

static bool is_for(const struct msg_conn *conn, uint64_t listeners)
{
	return conn->listener < 64 && listeners >> conn->listener & 1;
}

/* Reads a record away that is no offer of one socket. */
static int discard(struct inlet *in)
{
	uint8_t buf[MSG_OFFER_BYTES];
	int fds[MSG_MAX_CONNS];
	unsigned count = 0;
	size_t len;
	int answer = chan_recv(in->channel, buf, sizeof(buf), &len, fds, MSG_MAX_CONNS, &count);

	while (count)
		close(fds[--count]);
	return answer == -EMSGSIZE ? 0 : answer;
}

/* Looks once; what was seen stays so until it is taken, by us or by a thief. */
static int look(struct inlet *in)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conn;
	unsigned count;
	ssize_t got;

	while (!in->has_seen) {
		got = recv(in->channel, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
		if (got < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (got < 0)
			return errno == EAGAIN ? INLET_EMPTY : -errno;
		in->ended = !got;
		if (!got)
			return INLET_ENDED;
		in->has_seen = !msg_read_offer(buf, (size_t)got, &conn, 1, &count);
		in->seen = conn.listener;
		if (!in->has_seen && discard(in) < 0)
			return -EBADMSG;
	}
	return 0;
}

bool inlet_may_have(const struct inlet *in)
{
	return in->kept || in->has_seen;
}

int inlet_first(struct inlet *in, uint32_t *ret_listener)
{
	int answer;

	if (in->kept) {
		*ret_listener = in->kept->offer.conn.listener;
		return 0;
	}
	answer = in->ended ? INLET_ENDED : look(in);
	if (!answer)
		*ret_listener = in->seen;
	return answer;
}

static bool take_kept(struct inlet *in, uint64_t listeners, struct offer *ret_offer)
{
	for (struct kept **at = &in->kept; *at; at = &(*at)->next) {
		struct kept *kept = *at;

		if (!is_for(&kept->offer.conn, listeners))
			continue;
		*ret_offer = kept->offer;
		*at = kept->next;
		free(kept);
		return true;
	}
	return false;
}

static int receive(struct inlet *in, uint64_t listeners, struct offer *ret_offer)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct offer offer = {.fd = -1, .is_new = true};
	unsigned sockets = 0, conns = 0;
	size_t len;
	int answer = chan_recv(in->channel, buf, sizeof(buf), &len, &offer.fd, 1, &sockets);

	in->has_seen = false;
	if (answer == CHAN_EMPTY)
		return INLET_EMPTY;
	if (answer)
		return answer < 0 ? answer : INLET_ENDED;
	if (sockets != 1 || msg_read_offer(buf, len, &offer.conn, 1, &conns)) {
		base_close(&offer.fd);
		return INLET_EMPTY;
	}
	if (!is_for(&offer.conn, listeners)) { /* the one that was seen has been stolen back */
		inlet_keep_consume(in, &offer);
		return INLET_OTHER;
	}
	*ret_offer = offer;
	return 0;
}

int inlet_take(struct inlet *in, uint64_t listeners, struct offer *ret_offer)
{
	int answer;

	if (take_kept(in, listeners, ret_offer))
		return 0;
	do { /* again, when what was seen has been stolen back or was no good */
		answer = in->ended ? INLET_ENDED : look(in);
		if (answer)
			return answer;
		if (in->seen >= 64 || !(listeners >> in->seen & 1))
			return INLET_OTHER;
		answer = receive(in, listeners, ret_offer);
	} while (answer == INLET_EMPTY);
	return answer;
}

int inlet_keep_consume(struct inlet *in, const struct offer *offer)
{
	struct kept *kept = malloc(sizeof(*kept)), **at = &in->kept;

	if (!kept) {
		close(offer->fd);
		return -ENOMEM;
	}
	*kept = (struct kept){.offer = *offer};
	while (*at)
		at = &(*at)->next;
	*at = kept;
	return 0;
}

void inlet_deinit(struct inlet *in)
{
	while (in->kept) {
		struct kept *kept = in->kept;

		in->kept = kept->next;
		close(kept->offer.fd);
		free(kept);
	}
}
