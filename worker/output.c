/* A small answer goes out with one send() and never sees a buffer; only a client that does not read
 * costs memory, and no more than OUTPUT_MAX_BYTES unless the author writes more at once. */
#include "worker/output.h"
#include "common/base.h"
#include "worker/tlsconn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct output {
	size_t at, end, size;
	char bytes[];
};

/* Bytes that the socket took, perhaps 0, or -errno. */
static ssize_t put(int fd, struct tlsconn *tls, const char *data, size_t len)
{
	ssize_t sent;

	if (tls) {
		sent = tlsconn_write(tls, data, len);
		return sent == -EAGAIN ? 0 : sent;
	}
	do
		sent = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN ? 0 : -errno;
}

static struct output *grow(struct output *o, size_t more)
{
	size_t waits = o ? o->end - o->at : 0;
	struct output *bigger;

	if (o && o->at) {
		memmove(o->bytes, o->bytes + o->at, waits);
		o->at = 0;
		o->end = waits;
	}
	if (o && o->size - waits >= more)
		return o;
	bigger = realloc(o, sizeof(*o) + waits + more);
	if (!bigger)
		return NULL;
	if (!o)
		bigger->at = bigger->end = 0;
	bigger->size = waits + more;
	return bigger;
}

static int keep(struct output **o, const char *data, size_t len)
{
	struct output *room = grow(*o, len);

	if (!room)
		return -ENOMEM;
	memcpy(room->bytes + room->end, data, len);
	room->end += len;
	*o = room;
	return OUTPUT_WAITS;
}

static bool is_full(const struct output *o, size_t more)
{
	return o && o->end - o->at + more > OUTPUT_MAX_BYTES;
}

int output_keep(struct output **o, const void *data, size_t len)
{
	return is_full(*o, len) ? -ENOBUFS : keep(o, data, len);
}

int output_write(struct output **o, int fd, struct tlsconn *tls, const void *data, size_t len)
{
	ssize_t sent = 0;

	if (is_full(*o, len))
		return -ENOBUFS;
	if (!*o) {
		sent = put(fd, tls, data, len);
		if (sent < 0)
			return (int)sent;
		if ((size_t)sent == len)
			return 0;
	}
	return keep(o, (const char *)data + sent, len - (size_t)sent);
}

int output_flush(struct output **o, int fd, struct tlsconn *tls)
{
	ssize_t sent;

	if (!*o)
		return 0;
	sent = put(fd, tls, (*o)->bytes + (*o)->at, (*o)->end - (*o)->at);
	if (sent < 0)
		return (int)sent;
	(*o)->at += (size_t)sent;
	if ((*o)->at < (*o)->end)
		return OUTPUT_WAITS;
	*o = output_free(*o);
	return 0;
}

struct output *output_free(struct output *o)
{
	free(o);
	return NULL;
}
