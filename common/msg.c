/* Encoding and decoding of the wire protocol. Values are copied with memcpy, as nothing in a record
 * is aligned. */
#include "common/msg.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

struct head {
	uint16_t version;
	uint16_t type;
	uint32_t reserved;
};

struct fact_head {
	uint16_t fact;
	uint16_t reserved;
	uint32_t len;
};

static void put_raw(struct msg_writer *w, const void *data, size_t len)
{
	if (w->len <= w->size && len <= w->size - w->len && len)
		memcpy(w->buf + w->len, data, len);
	w->len = len > SIZE_MAX / 2 - w->len ? SIZE_MAX / 2 : w->len + len;
}

void msg_begin(struct msg_writer *w, void *buf, size_t size, enum msg_type type)
{
	struct head head = {.version = MSG_VERSION, .type = (uint16_t)type};

	*w = (struct msg_writer){.buf = buf, .size = size};
	put_raw(w, &head, sizeof(head));
}

void msg_put(struct msg_writer *w, enum msg_fact fact, const void *value, size_t len_bytes)
{
	struct fact_head head = {.fact = (uint16_t)fact, .len = (uint32_t)len_bytes};

	ASSERT(len_bytes <= UINT32_MAX);
	put_raw(w, &head, sizeof(head));
	put_raw(w, value, len_bytes);
}

void msg_put_u32(struct msg_writer *w, enum msg_fact fact, uint32_t value)
{
	msg_put(w, fact, &value, sizeof(value));
}

void msg_put_u64(struct msg_writer *w, enum msg_fact fact, uint64_t value)
{
	msg_put(w, fact, &value, sizeof(value));
}

void msg_put_text(struct msg_writer *w, enum msg_fact fact, const char *text)
{
	msg_put(w, fact, text, strlen(text));
}

void msg_put_conn(struct msg_writer *w, const struct msg_conn *conn)
{
	msg_put_u32(w, MSG_CONN, conn->slot);
	msg_put(w, MSG_PEER, &conn->peer, sizeof(conn->peer));
	if (conn->local.family)
		msg_put(w, MSG_LOCAL, &conn->local, sizeof(conn->local));
	msg_put_u32(w, MSG_LISTENER, conn->listener);
	msg_put_u64(w, MSG_ACCEPTED, conn->accepted_ms);
}

int64_t msg_end(const struct msg_writer *w)
{
	return w->len > w->size ? -ENOBUFS : (int64_t)w->len;
}

int msg_open(struct msg_reader *ret_reader, const void *buf, size_t len_bytes)
{
	struct head head;

	if (len_bytes < sizeof(head))
		return -EBADMSG;
	memcpy(&head, buf, sizeof(head));
	if (head.version != MSG_VERSION)
		return -EBADMSG;
	ret_reader->next = (const uint8_t *)buf + sizeof(head);
	ret_reader->end = (const uint8_t *)buf + len_bytes;
	ret_reader->type = (enum msg_type)head.type;
	return 0;
}

int msg_next(struct msg_reader *r, struct msg_value *ret_value)
{
	struct fact_head head;
	size_t left = (size_t)(r->end - r->next);

	if (!left)
		return 0;
	if (left < sizeof(head))
		return -EBADMSG;
	memcpy(&head, r->next, sizeof(head));
	if (head.len > left - sizeof(head))
		return -EBADMSG;
	ret_value->fact = (enum msg_fact)head.fact;
	ret_value->data = r->next + sizeof(head);
	ret_value->len_bytes = head.len;
	r->next += sizeof(head) + head.len;
	return 1;
}

static int fixed(const struct msg_value *v, void *ret, size_t len)
{
	if (v->len_bytes != len)
		return -EBADMSG;
	memcpy(ret, v->data, len);
	return 0;
}

int msg_u32(const struct msg_value *v, uint32_t *ret_number)
{
	return fixed(v, ret_number, sizeof(*ret_number));
}

int msg_u64(const struct msg_value *v, uint64_t *ret_number)
{
	return fixed(v, ret_number, sizeof(*ret_number));
}

static int read_conn_fact(const struct msg_value *v, struct msg_conn *conn)
{
	switch (v->fact) {
	case MSG_PEER:
		return fixed(v, &conn->peer, sizeof(conn->peer));
	case MSG_LOCAL:
		return fixed(v, &conn->local, sizeof(conn->local));
	case MSG_LISTENER:
		return msg_u32(v, &conn->listener);
	case MSG_ACCEPTED:
		return msg_u64(v, &conn->accepted_ms);
	default:
		return 0; /* of a newer dispatcher */
	}
}

int msg_read_offer(const void *buf, size_t len_bytes, struct msg_conn *ret_conns, unsigned max,
	unsigned *ret_count)
{
	struct msg_reader r;
	struct msg_value v;
	unsigned count = 0;
	int more, bad = msg_open(&r, buf, len_bytes);

	if (bad || r.type != MSG_OFFER)
		return -EBADMSG;
	while ((more = msg_next(&r, &v)) > 0) {
		if (v.fact == MSG_CONN) {
			if (count == max)
				return -EBADMSG;
			ret_conns[count] = (struct msg_conn){0};
			bad = msg_u32(&v, &ret_conns[count++].slot);
		} else {
			bad = count ? read_conn_fact(&v, &ret_conns[count - 1]) : -EBADMSG;
		}
		if (bad)
			return bad;
	}
	if (more < 0 || !count)
		return -EBADMSG;
	*ret_count = count;
	return 0;
}
