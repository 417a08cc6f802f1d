/* dispatcher-smtp: receives mail by SMTP or LMTP, into Maildirs or for another server.
 *
 * In the thread style: a message ends with fsync(), a recipient may be asked of a server that
 * hangs, and both may take as long as they like in a thread of the client's own. The kernel joins
 * what many threads sync at once, and so do we for directories (commits.c). All that is protocol is
 * in the pure modules; this one ties them to the client's connection. */
#include "worker/smtp/auth.h"
#include "worker/smtp/maildir.h"
#include "worker/smtp/next.h"
#include "worker/smtp/trace.h"

#include <dispatcher/worker.h>

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#define INPUT_BYTES  16384
#define LINGER_MS    1000
#define LINGER_READS 64
#define MOST_HOPS    100 /* RFC 5321 6.3 */

struct server {
	struct params params;
	struct commits commits;
	atomic_uint sequence, taken;
};

struct client {
	struct worker_conn *conn;
	struct server *server;
	struct session session;
	struct maildir maildir;
	struct next next;
	struct auth auth;
	uint64_t until_ms;      /* of the monotonic clock; 0: as long as it likes */
	uint64_t octets;        /* of the message */
	unsigned hops;          /* its Received lines */
	bool in_header, begins; /* the next byte is of its header, begins a line */
	char address[80];       /* of the client; empty: a unix socket */
	char id[80];
	char input[INPUT_BYTES];
};

static bool is_stored(const struct client *c)
{
	return c->server->params.maildir != NULL;
}

static void send_replies(void *arg, const char *replies, size_t len)
{
	struct client *c = arg;

	if (worker_write(c->conn, replies, len))
		c->session.phase = SESSION_OVER;
}

/* Whose mail is taken: the one place that decides about relaying. */
static const char *recipient(void *arg, const struct envelope *e, struct address *to)
{
	struct client *c = arg;
	const struct params *p = &c->server->params;

	if (!*to->domain)
		strcpy(to->domain, p->hostname); /* of the same size */
	else if (!params_is_ours(p, to->domain) && !c->session.authenticated)
		return "550 5.7.1 Mail for that domain is not taken here";
	return is_stored(c) ? maildir_recipient(p, to) : next_recipient(&c->next, e, to);
}

static void make_id(struct client *c)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(c->id, sizeof(c->id), "%lld.M%ldP%dQ%u", (long long)now.tv_sec, now.tv_nsec / 1000,
		(int)getpid(), atomic_fetch_add(&c->server->sequence, 1));
}

/* A line comes in one piece, unless the client's packet ended in it: near enough for a loop. */
static void count_hops(struct client *c, const char *bytes, size_t len)
{
	if (c->begins && *bytes == '\n')
		c->in_header = false;
	c->hops += c->begins && len >= 9 && !strncasecmp(bytes, "Received:", 9);
	c->begins = bytes[len - 1] == '\n';
}

static void data(void *arg, const char *bytes, size_t len)
{
	struct client *c = arg;

	c->octets += len;
	if (c->in_header)
		count_hops(c, bytes, len);
	if (is_stored(c))
		maildir_data(&c->maildir, bytes, len);
	else
		next_data(&c->next, bytes, len);
}

static const char *begin(void *arg, const struct envelope *e)
{
	struct client *c = arg;
	struct trace t = {.client = c->address, .id = c->id, .is_last = is_stored(c)};
	const struct worker_tls *tls = worker_conn_tls(c->conn);
	char text[TRACE_BYTES], words[80];
	const char *bad;

	make_id(c);
	bad = is_stored(c) ? maildir_begin(&c->maildir, e, c->id) : next_begin(&c->next);
	if (bad)
		return bad;
	t.when = time(NULL);
	if (tls && tls->version && tls->cipher) {
		snprintf(words, sizeof(words), "%.20s %.50s", tls->version, tls->cipher);
		t.tls = words;
	}
	c->in_header = false;
	data(c, text, trace_write(&t, &c->session, text));
	c->in_header = c->begins = true;
	c->octets = c->hops = 0;
	return NULL;
}

static void reset(void *arg)
{
	struct client *c = arg;

	maildir_reset(&c->maildir);
	next_reset(&c->next);
}

static void end(void *arg, const struct envelope *e)
{
	struct client *c = arg;

	if (c->hops > MOST_HOPS)
		reset(c);
	else if (is_stored(c))
		maildir_end(&c->maildir, e);
	else
		next_end(&c->next);
}

static const char *judge(struct client *c, unsigned i)
{
	if (c->hops > MOST_HOPS)
		return "554 5.4.6 The message goes round in circles";
	return is_stored(c) ? maildir_verdict(&c->maildir, i) : next_verdict(&c->next);
}

static const char *verdict(void *arg, unsigned i)
{
	struct client *c = arg;
	struct worker *w = worker_of(c->conn);
	const struct envelope *e = &c->session.envelope;
	const char *answer = judge(c, i);
	bool lmtp = c->server->params.session.lmtp;

	worker_log(w, *answer == '2' ? WORKER_INFO : WORKER_WARNING,
		"message %s of %llu bytes from <%s> to <%s>%s, client %s: %s", c->id,
		(unsigned long long)c->octets, e->from.text, e->to[i].text,
		e->count > 1 && !lmtp ? " and others" : "", *c->address ? c->address : "unix",
		answer);
	if (*answer == '2' && !i)
		worker_status(w, "%u messages taken", atomic_fetch_add(&c->server->taken, 1) + 1);
	return answer;
}

static const char *authenticate(void *arg, const char *mechanism, const char *response)
{
	struct client *c = arg;
	const char *answer = auth_step(&c->auth, &c->server->params, mechanism, response);

	if (*answer == '2' || *answer == '5')
		worker_log(worker_of(c->conn), WORKER_INFO, "client %s, user %s: %s", c->address,
			*answer == '2' ? c->auth.user : "?", answer);
	return answer;
}

static const struct session_ops session_ops = {.send = send_replies,
	.recipient = recipient,
	.begin = begin,
	.data = data,
	.end = end,
	.verdict = verdict,
	.reset = reset,
	.auth = authenticate};

static void look_up_address(struct client *c)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = worker_conn_peer_addr(c->conn, &addr);
	char host[NI_MAXHOST];

	*c->address = *c->auth.facts = '\0';
	if (!len || addr.ss_family == AF_UNIX ||
		getnameinfo(
			(struct sockaddr *)&addr, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
		return;
	snprintf(c->address, sizeof(c->address), "%s%.64s",
		addr.ss_family == AF_INET6 ? "IPv6:" : "", host);
	snprintf(c->auth.facts, sizeof(c->auth.facts), "\trip=%.64s", host);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Fields that are buffers stay untouched until they are used: most clients need few. */
static struct client *client_new(struct worker_conn *conn)
{
	struct client *c = malloc(sizeof(*c));
	uint64_t limit_ms = worker_limits(worker_of(conn))->connection_timeout_ms;

	if (!c)
		return NULL;
	c->conn = conn;
	c->server = worker_data(worker_of(conn));
	c->until_ms = limit_ms ? now_ms() + limit_ms : 0;
	c->auth.wire.fd = -1;
	maildir_init(&c->maildir, &c->server->params, &c->server->commits);
	next_init(&c->next, &c->server->params);
	session_init(&c->session, &c->server->params.session, &session_ops, c);
	session_set_tls(&c->session, worker_conn_tls(conn) != NULL, worker_may_starttls(conn) > 0);
	look_up_address(c);
	return c;
}

static void client_free(struct client *c)
{
	session_deinit(&c->session);
	wire_close(&c->auth.wire);
	free(c);
}

/* As worker_read(), but no longer than the whole connection may take. */
static ssize_t read_some(struct client *c)
{
	unsigned timeout_ms = c->server->params.timeout_ms;
	uint64_t now = c->until_ms ? now_ms() : 0;

	if (c->until_ms && now >= c->until_ms)
		return -ETIMEDOUT;
	if (c->until_ms && c->until_ms - now < timeout_ms)
		timeout_ms = (unsigned)(c->until_ms - now);
	worker_set_timeout(c->conn, timeout_ms);
	return worker_read(c->conn, c->input, sizeof(c->input));
}

/* Inside of a message the client waits for no reply: to close tells him enough. */
static void say_goodbye(struct session *s, ssize_t why)
{
	if (why == -ETIMEDOUT)
		session_bye(s, "421 4.4.2 Too slow");
	else if (why == -ECANCELED && !session_in_message(s))
		session_bye(s, "421 4.3.2 The server ends, try again");
	session_flush(s);
}

/* All that was answered in plaintext has been sent. */
static void shake_hands(struct client *c)
{
	if (c->session.phase == SESSION_TLS && worker_starttls(c->conn))
		c->session.phase = SESSION_OVER;
	else if (c->session.phase == SESSION_TLS)
		session_secured(&c->session);
}

/* Who is cut off may still be sending: to close over what was not read would be a reset, which can
 * take our last reply with it. */
static void linger(struct client *c)
{
	if (!c->session.tls)
		shutdown(worker_conn_fd(c->conn), SHUT_WR);
	worker_set_timeout(c->conn, LINGER_MS);
	for (int reads = 0; reads < LINGER_READS; reads++)
		if (worker_read(c->conn, c->input, sizeof(c->input)) <= 0)
			break;
}

static void handle(struct worker_conn *conn)
{
	struct client *c = client_new(conn);
	ssize_t got = 1;

	if (!c)
		return;
	session_greet(&c->session);
	session_flush(&c->session);
	while (c->session.phase != SESSION_OVER) {
		got = read_some(c);
		if (got <= 0)
			break;
		session_feed(&c->session, c->input, (size_t)got);
		session_flush(&c->session);
		shake_hands(c);
	}
	if (got <= 0)
		say_goodbye(&c->session, got);
	else if (!c->session.quit)
		linger(c);
	client_free(c);
}

/* A client may have a file, a directory and a server of its own beside its socket. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int on_start(struct worker *w)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return worker_fail(w, "out of memory");
	raise_limit();
	commits_init(&s->commits);
	worker_set_data(w, s);
	return params_read(w, &s->params);
}

static void on_stop(struct worker *w)
{
	struct server *s = worker_data(w);

	commits_deinit(&s->commits);
	free(s);
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {
		.size = sizeof(ops), .on_start = on_start, .on_stop = on_stop, .handle = handle};

	return worker_main(argc, argv, &ops);
}
