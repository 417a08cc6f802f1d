/* A connection of a listener with TLS is hidden from the author until its handshake is done, so a
 * worker that knows nothing of TLS sees no client that never gets so far.
 *
 * With worker_starttls() what was written before goes out as it is; only then the handshake begins,
 * and what is written meanwhile waits in `early`. What the author read ahead of the command's line
 * cannot be part of the handshake: an attacker put it there, to be taken for the client's word. */
#include "worker/eventtls.h"
#include "common/base.h"
#include "worker/events.h"
#include "worker/tlsconn.h"

#include <errno.h>

bool eventtls_shakes(const struct worker_conn *c)
{
	return c->tls && !tlsconn_is_done(c->tls);
}

struct tlsconn *eventtls_layer(const struct worker_conn *c)
{
	return eventtls_shakes(c) ? NULL : c->tls;
}

/* What OpenSSL holds already makes no socket readable; but one that can be written to tells so. */
uint32_t eventtls_reads(const struct worker_conn *c)
{
	if (c->tls && (tlsconn_pending(c->tls) || tlsconn_wants(c->tls) == EPOLLOUT))
		return EPOLLIN | EPOLLOUT;
	return EPOLLIN;
}

static void refuse(struct worker_conn *c, const char *why, int error)
{
	secure_complain(c, why);
	events_fail(c, error);
}

void eventtls_inject(struct worker_conn *c)
{
	refuse(c, SECURE_INJECTED, -EPROTO);
}

void eventtls_expire(struct worker_conn *c)
{
	refuse(c, secure_reason(c, -ETIMEDOUT), -ETIMEDOUT);
}

static void done(struct worker_conn *c)
{
	events_deadline(c, 0);
	events_touch(c);
	c->output = c->early;
	c->early = NULL;
	if (c->output)
		events_flush(c);
	if (c->hidden && c->state == CONN_OPEN) {
		c->hidden = false;
		events_opened(c);
	}
}

void eventtls_go_on(struct worker_conn *c)
{
	int bad = c->output ? output_flush(&c->output, c->fd, NULL) : 0;

	if (bad == OUTPUT_WAITS)
		return;
	if (bad) {
		events_fail(c, bad);
		return;
	}
	bad = tlsconn_handshake(c->tls);
	if (!bad)
		done(c);
	else if (bad != -EAGAIN)
		refuse(c, secure_reason(c, bad), bad);
}

void eventtls_open(struct worker_conn *c)
{
	int bad = secure_open(c);

	c->hidden = true;
	if (bad) {
		refuse(c, secure_reason(c, bad), bad);
		return;
	}
	events_deadline(c, tlsconn_handshake_ms(c->tls));
	eventtls_go_on(c);
}

int eventtls_start(struct worker_conn *c)
{
	int bad;

	if (c->tls || c->state != CONN_OPEN || c->fd < 0)
		return c->tls ? -EALREADY : -EPIPE;
	bad = secure_open(c);
	if (bad)
		return bad;
	events_deadline(c, tlsconn_handshake_ms(c->tls));
	if (c->partial)
		eventtls_inject(c);
	events_settle_later(c);
	return 0;
}
