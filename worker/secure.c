/* A new bundle means new contexts; connections keep those they began with. The bundle's memory is
 * let go as soon as the contexts are made. */
#include "worker/secure.h"
#include "common/base.h"
#include "common/clock.h"
#include "worker/core.h"
#include "worker/tlsconn.h"
#include "worker/tlsset.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define QUIET_MS  10000
#define WHY_BYTES 256

void secure_init(struct secure *s)
{
	*s = (struct secure){0};
	pthread_mutex_init(&s->lock, NULL);
	tickets_init(&s->tickets);
}

void secure_deinit(struct secure *s)
{
	s->set = tlsset_unref(s->set);
	tickets_deinit(&s->tickets);
}

static void use_set(struct secure *s, struct tlsset *set)
{
	struct tlsset *former;
	long seconds = tickets_seconds(&s->tickets);

	if (seconds)
		tlsset_lifetime(set, seconds);
	pthread_mutex_lock(&s->lock);
	former = s->set;
	s->set = set;
	pthread_mutex_unlock(&s->lock);
	tlsset_unref(former);
}

static int read_bundle(struct worker *w, const struct secret *memory, char *ret_why)
{
	OWNS_MEM struct tls_bundle *b = malloc(sizeof(*b));
	struct tlsset *set;
	int bad = b ? tls_read_bundle(memory->memory, memory->len_bytes, b) : -ENOMEM;

	if (!bad)
		bad = tlsset_new(b, w->setup.service, &w->secure.tickets, &set, ret_why, WHY_BYTES);
	if (!bad)
		use_set(&w->secure, set);
	return bad;
}

static void take_bundle(struct worker *w, int fd)
{
	char why[WHY_BYTES] = "";
	struct secret memory = {0};
	int bad = secret_map(&memory, fd, TLS_BUNDLE_BYTES);

	if (!bad)
		bad = read_bundle(w, &memory, why);
	secret_unmap(&memory);
	if (bad)
		worker_log(
			w, WORKER_ERROR, "TLS cannot be set up: %s", *why ? why : strerror(-bad));
}

static void take_tickets(struct worker *w, int fd)
{
	struct secure *s = &w->secure;
	int bad = tickets_take(&s->tickets, fd);

	if (bad)
		worker_log(w, WORKER_ERROR, "ticket keys cannot be used: %s", strerror(-bad));
	else if (s->set)
		tlsset_lifetime(s->set, tickets_seconds(&s->tickets));
}

void secure_take_consume(struct worker *w, enum msg_type type, int fd)
{
	if (type == MSG_TLS)
		take_bundle(w, fd);
	else
		take_tickets(w, fd);
	close(fd);
}

static struct tlsset *current(struct secure *s)
{
	struct tlsset *set;

	pthread_mutex_lock(&s->lock);
	set = s->set ? tlsset_ref(s->set) : NULL;
	pthread_mutex_unlock(&s->lock);
	return set;
}

bool secure_any(struct worker *w)
{
	bool any;

	pthread_mutex_lock(&w->secure.lock);
	any = w->secure.set;
	pthread_mutex_unlock(&w->secure.lock);
	return any;
}

/* Behind a handshake both sides may have to say something small (tickets, then a greeting), which
 * must not wait for each other's acknowledgement. Fails on a unix socket, where nothing waits. */
static void hurry(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int secure_open(struct worker_conn *c)
{
	struct tlsset *set = current(&c->worker->secure);
	int bad = set ? tlsconn_new(set, c->fd, &c->tls) : -ENOTSUP;

	if (!bad)
		hurry(c->fd);
	tlsset_unref(set);
	return bad;
}

/* How many were not told before this one; false: say nothing. */
static bool may_say(struct secure *s, unsigned *ret_unsaid)
{
	uint64_t now = clock_mono_ms();
	bool may;

	pthread_mutex_lock(&s->lock);
	may = now >= s->quiet_until_ms;
	*ret_unsaid = s->unsaid;
	s->unsaid = may ? 0 : s->unsaid + 1;
	if (may)
		s->quiet_until_ms = now + QUIET_MS;
	pthread_mutex_unlock(&s->lock);
	return may;
}

const char *secure_reason(const struct worker_conn *c, int error)
{
	if (error == -ETIMEDOUT)
		return "the handshake took too long";
	if (error == -ENOTSUP)
		return "no certificate has come from the dispatcher";
	if (c->tls && *tlsconn_reason(c->tls))
		return tlsconn_reason(c->tls);
	return strerror(-error);
}

void secure_complain(struct worker_conn *c, const char *why)
{
	char peer[WORKER_ADDR_BYTES], more[64] = "";
	unsigned unsaid;

	if (!may_say(&c->worker->secure, &unsaid))
		return;
	if (unsaid)
		snprintf(more, sizeof(more), " (and %u more since the last such line)", unsaid);
	worker_log(c->worker, WORKER_NOTICE, "no TLS with %s: %s%s", worker_conn_peer(c, peer), why,
		more);
}
