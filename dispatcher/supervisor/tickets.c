/* Each generation is memory of its own, sealed against writing: a worker may use its keys until it has
 * read of the next. So the old memory is not overwritten, which would make a worker that is late encrypt
 * with a key that everybody knows; it is let go, and the kernel gives its page, cleared, to somebody else
 * once the last worker has let go of it, too. What passes through our own memory is wiped at once. */
#include "dispatcher/supervisor/tickets.h"
#include "common/base.h"
#include "common/tls.h"
#include "dispatcher/supervisor/sealed.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

unsigned tickets_due(const struct tickets *t, uint64_t lifetime_ms, uint64_t now_ms)
{
	if (t->fd < 0 || !lifetime_ms || now_ms <= t->rotated_ms)
		return 0;
	return (unsigned)MIN((now_ms - t->rotated_ms) / lifetime_ms, (uint64_t)TLS_MAX_TICKETS);
}

static int put_new(struct msg_writer *w)
{
	struct tls_ticket_key key;
	int bad = getrandom(&key, sizeof(key), 0) == sizeof(key) ? 0 : -EIO;

	tls_put(w, TLS_TICKET, &key, sizeof(key));
	explicit_bzero(&key, sizeof(key));
	return bad;
}

/* The first `most` keys of the memory. */
static int put_old(struct msg_writer *w, int fd, unsigned most)
{
	struct tls_tickets old;
	size_t bytes = 0;
	void *block = NULL;
	int bad = sealed_map(fd, &block, &bytes);

	if (bad)
		return bad;
	bad = tls_read_tickets(block, bytes, &old);
	for (unsigned i = 0; !bad && i < MIN(old.count, most); i++)
		tls_put(w, TLS_TICKET, old.keys[i], sizeof(*old.keys[i]));
	munmap(block, bytes);
	return bad;
}

static int seal(const void *buf, size_t len, int *ret_fd)
{
	OWNS_FD int fd = sealed_memory("tickets");
	int bad = fd < 0 ? fd : sealed_fill(fd, buf, len);

	if (!bad)
		*ret_fd = base_steal_fd(&fd);
	return bad;
}

static int make(const struct tickets *t, bool adds, uint64_t lifetime_ms, int *ret_fd)
{
	uint8_t buf[TLS_TICKETS_BYTES];
	struct msg_writer w;
	int64_t len;
	int bad = 0;

	msg_begin(&w, buf, sizeof(buf), MSG_TICKETS);
	tls_put_u64(&w, TLS_GENERATION, t->generation + adds);
	tls_put_u64(&w, TLS_LIFETIME, lifetime_ms);
	if (adds)
		bad = put_new(&w);
	if (!bad && t->fd >= 0)
		bad = put_old(&w, t->fd, adds ? TLS_MAX_TICKETS - 1 : TLS_MAX_TICKETS);
	len = msg_end(&w);
	if (!bad)
		bad = len < 0 ? (int)len : seal(buf, (size_t)len, ret_fd);
	explicit_bzero(buf, sizeof(buf));
	return bad;
}

static int replace(struct tickets *t, bool adds, uint64_t lifetime_ms)
{
	int fd = -1, bad = make(t, adds, lifetime_ms, &fd);

	if (bad)
		return bad;
	base_close(&t->fd);
	t->fd = fd;
	t->generation += adds;
	return 0;
}

int tickets_rotate(struct tickets *t, uint64_t lifetime_ms, uint64_t now_ms)
{
	int bad = replace(t, true, lifetime_ms);

	if (!bad)
		t->rotated_ms = now_ms;
	return bad;
}

int tickets_set_lifetime(struct tickets *t, uint64_t lifetime_ms)
{
	return t->fd < 0 ? 0 : replace(t, false, lifetime_ms);
}
