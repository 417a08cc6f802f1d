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

static int look(struct inlet *in, struct msg_conn *ret_conn)
{
	uint8_t buf[MSG_OFFER_BYTES];
	unsigned count;
	ssize_t got;

	for (;;) {
		got = recv(in->channel, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
		if (got < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (got < 0)
			return errno == EAGAIN ? INLET_EMPTY : -errno;
		in->ended = !got;
		if (!got)
			return INLET_ENDED;
		if (!msg_read_offer(buf, (size_t)got, ret_conn, 1, &count))
			return 0;
		if (discard(in) < 0)
			return -EBADMSG;
	}
}

int inlet_first(struct inlet *in, uint32_t *ret_listener)
{
	struct msg_conn conn;
	int answer;

	if (in->kept) {
		*ret_listener = in->kept->offer.conn.listener;
		return 0;
	}
	if (in->ended)
		return INLET_ENDED;
	answer = look(in, &conn);
	if (!answer)
		*ret_listener = conn.listener;
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

static int receive(struct inlet *in, struct offer *ret_offer)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct offer offer = {.fd = -1, .is_new = true};
	unsigned sockets = 0, conns = 0;
	size_t len;
	int answer = chan_recv(in->channel, buf, sizeof(buf), &len, &offer.fd, 1, &sockets);

	if (answer == CHAN_EMPTY)
		return INLET_EMPTY; /* stolen back in between */
	if (answer)
		return answer < 0 ? answer : INLET_ENDED;
	if (sockets == 1 && !msg_read_offer(buf, len, &offer.conn, 1, &conns)) {
		*ret_offer = offer;
		return 0;
	}
	base_close(&offer.fd);
	return INLET_EMPTY;
}

int inlet_take(struct inlet *in, uint64_t listeners, struct offer *ret_offer)
{
	struct msg_conn conn;
	int answer;

	if (take_kept(in, listeners, ret_offer))
		return 0;
	if (in->ended)
		return INLET_ENDED;
	answer = look(in, &conn);
	if (answer)
		return answer;
	return is_for(&conn, listeners) ? receive(in, ret_offer) : INLET_EMPTY;
}

int inlet_keep_consume(struct inlet *in, const struct offer *offer)
{
	struct kept *kept = malloc(sizeof(*kept)), **at = &in->kept;

	if (!kept) {
		close(offer->fd);
		return -ENOMEM;
	}
	*kept = (struct kept){.offer = *offer};
	kept->offer.is_new = false;
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
