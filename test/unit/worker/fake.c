/* See fake.h. Waiting follows the acceptor's rule: arm the bell, look again, then sleep on the
 * doorbell. */
#include "test/unit/worker/fake.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PATIENCE_MS 10000

struct ends {
	int log, channel, page, bell, doorbell;
};

static void become_worker(const struct fake_options *o, const struct ends *e)
{
	struct rlimit limit = {o->nofile, o->nofile};
	int from[] = {open("/dev/null", O_RDWR), e->log, e->log, e->channel, e->page, e->bell,
		e->doorbell};
	unsigned count = ARRAY_LEN(from);

	for (unsigned i = 0; i < count; i++)
		from[i] = fcntl(from[i], F_DUPFD, 100);
	for (unsigned i = 0; i < count; i++)
		dup2(from[i], (int)i);
	close_range(count, ~0u, 0);
	if (o->nofile)
		setrlimit(RLIMIT_NOFILE, &limit);
	clearenv();
	setenv("DISPATCHER_WORKER", "1", 1);
	setenv("PATH", "/usr/bin:/bin", 1);
	for (unsigned i = 0; o->environment && o->environment[i]; i++)
		putenv((char *)o->environment[i]);
	execl(o->image, "dispatcher: worker test/7", NULL);
	_exit(127);
}

static void send_setup(struct fake *f, const struct fake_options *o)
{
	static uint8_t buf[MSG_SETUP_BYTES];
	struct msg_writer m;

	msg_begin(&m, buf, sizeof(buf), MSG_SETUP);
	msg_put_text(&m, MSG_SERVICE, "test");
	msg_put_u32(&m, MSG_WORKER, 7);
	msg_put_u32(&m, MSG_MAX_CONNS_FACT, o->max_conns ? o->max_conns : 50);
	msg_put_u32(&m, MSG_MIN_CONNS, 30);
	msg_put_u64(&m, MSG_STACKSIZE, o->stacksize);
	msg_put_u64(&m, MSG_CONN_TIMEOUT, o->conn_timeout_ms);
	msg_put_u64(&m, MSG_KILL_TIMEOUT, o->kill_timeout_ms);
	msg_put_u32(&m, MSG_RING, f->ring_len);
	msg_put_text(&m, MSG_LISTENER_NAME, "127.0.0.1:25");
	msg_put_text(&m, MSG_LISTENER_NAME, "unix:/run/test");
	for (uint32_t i = 0; o->tls && i < 2; i++)
		msg_put_u32(&m, MSG_LISTENER_TLS, i);
	for (unsigned i = 0; o->params && o->params[i]; i++)
		msg_put_text(&m, MSG_PARAMETER, o->params[i]);
	for (unsigned i = 0; o->command && o->command[i]; i++)
		msg_put_text(&m, MSG_ARGUMENT, o->command[i]);
	fake_send(f, &m);
}

static void make_memory(struct fake *f, struct ends *e)
{
	OWNS_FD int bell = page_memory("bell", sizeof(*f->bell));

	e->page = page_memory("page", page_bytes(f->ring_len));
	f->page = page_map(e->page, page_bytes(f->ring_len), 1);
	f->page->version = PAGE_VERSION;
	f->page->ring_len = f->ring_len;
	f->bell = page_map(bell, sizeof(*f->bell), 1);
	e->bell = page_readonly(bell);
}

struct fake *fake_spawn(const struct fake_options *o)
{
	struct fake *f = calloc(1, sizeof(*f));
	int pair[2], bell[2], log[2];
	struct ends e;

	f->ring_len = o->ring_len ? o->ring_len : page_ring_len(o->max_conns ? o->max_conns : 50);
	make_memory(f, &e);
	assert_int_equal(chan_pair(pair), 0);
	assert_int_equal(pipe2(bell, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	fcntl(log[0], F_SETFL, O_NONBLOCK);
	f->channel = pair[0];
	f->kept = e.channel = pair[1];
	f->doorbell = bell[0];
	e.doorbell = bell[1];
	f->log = log[0];
	e.log = log[1];
	f->pid = fork();
	if (!f->pid)
		become_worker(o, &e);
	f->pidfd = pidfd_open(f->pid, 0);
	close(e.page);
	close(e.bell);
	close(e.doorbell);
	close(e.log);
	send_setup(f, o);
	return f;
}

/* Nothing of what has not been read yet may come from a sanitizer. */
static void expect_no_complaint(struct fake *f)
{
	size_t room = sizeof(f->output) - f->output_len - 1;
	ssize_t got = read(f->log, f->output + f->output_len, room);

	f->output[f->output_len + (size_t)MAX(got, 0)] = '\0';
	if (strstr(f->output + f->output_at, "Sanitizer") ||
		strstr(f->output + f->output_at, "runtime error"))
		fail_msg("%s", f->output + f->output_at);
}

void fake_end(struct fake *f)
{
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	expect_no_complaint(f);
	munmap(f->page, page_bytes(f->ring_len));
	munmap(f->bell, sizeof(*f->bell));
	close(f->pidfd);
	base_close(&f->channel);
	base_close(&f->kept);
	close(f->doorbell);
	close(f->log);
	free(f);
}

static void collect(struct fake *f)
{
	struct page_claims claims;

	page_read(f->page, &claims);
	assert_true(claims.done <= claims.taken);
	assert_true(claims.taken <= f->given);
	for (; f->seen < claims.done; f->seen++) {
		uint32_t slot = page_done_slot(f->page, f->ring_len, f->seen);

		assert_true(slot < f->next_slot);
		assert_int_equal(f->done[slot], 0);
		f->done[slot] = 1;
	}
}

/* Sleeps until rung; what to wait for is one of the claims. */
static void wait_claim(struct fake *f, size_t offset, uint64_t least)
{
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	for (;;) {
		struct pollfd p = {.fd = f->doorbell, .events = POLLIN};
		struct page_claims claims;
		char bytes[64];

		page_arm(f->bell);
		page_read(f->page, &claims);
		collect(f);
		if (*(uint64_t *)((char *)&claims + offset) >= least)
			return;
		if (poll(&p, 1, (int)(end_ms - MIN(end_ms, clock_mono_ms()))) < 1)
			fail_msg("not in time: claim at %zu is %llu, not %llu", offset,
				(unsigned long long)*(uint64_t *)((char *)&claims + offset),
				(unsigned long long)least);
		if (read(f->doorbell, bytes, sizeof(bytes)) == 0)
			fail_msg("the worker closed the doorbell");
	}
}

static void wait_ready(struct fake *f)
{
	struct pollfd p = {.fd = f->doorbell, .events = POLLIN};

	page_arm(f->bell);
	if (!f->page->ready && poll(&p, 1, PATIENCE_MS) < 1)
		fail_msg("not ready in time");
	assert_true(f->page->ready);
}

struct fake *fake_start(const struct fake_options *o)
{
	struct fake *f = fake_spawn(o);

	wait_ready(f);
	return f;
}

void fake_wait_taken(struct fake *f, uint64_t taken)
{
	wait_claim(f, offsetof(struct page_claims, taken), taken);
}

void fake_wait_done(struct fake *f, uint64_t done)
{
	wait_claim(f, offsetof(struct page_claims, done), done);
}

void fake_wait_beat(struct fake *f, uint64_t nonce)
{
	wait_claim(f, offsetof(struct page_claims, beat), nonce);
}

int fake_wait_exit(struct fake *f)
{
	struct pollfd p = {.fd = f->pidfd, .events = POLLIN};
	int status;

	if (poll(&p, 1, PATIENCE_MS) < 1)
		fail_msg("the worker did not end in time");
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	f->pid = 0;
	return status;
}

void fake_send(struct fake *f, const struct msg_writer *m)
{
	assert_int_equal(chan_send(f->channel, m->buf, (size_t)msg_end(m), NULL, 0), 0);
}

void fake_send_memory(struct fake *f, enum msg_type type, const struct msg_writer *m)
{
	OWNS_FD int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t len = (size_t)msg_end(m);
	uint8_t buf[64];
	struct msg_writer w;

	assert_int_equal(write(fd, m->buf, len), len);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	msg_begin(&w, buf, sizeof(buf), type);
	assert_int_equal(chan_send(f->channel, buf, (size_t)msg_end(&w), &fd, 1), 0);
}

void fake_order(struct fake *f, enum msg_type type)
{
	uint8_t buf[64];
	struct msg_writer m;

	msg_begin(&m, buf, sizeof(buf), type);
	fake_send(f, &m);
}

void fake_ping(struct fake *f, uint64_t nonce)
{
	uint8_t buf[64];
	struct msg_writer m;

	msg_begin(&m, buf, sizeof(buf), MSG_PING);
	msg_put_u64(&m, MSG_NONCE, nonce);
	fake_send(f, &m);
}

void fake_let_go(struct fake *f)
{
	base_close(&f->channel);
	base_close(&f->kept);
}

static void send_offer(struct fake *f, unsigned count, int *sockets, const struct msg_conn *facts)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_writer m;

	msg_begin(&m, buf, sizeof(buf), MSG_OFFER);
	for (unsigned i = 0; i < count; i++) {
		struct msg_conn c = facts[i];

		assert_true(f->next_slot < FAKE_CONNS);
		c.slot = f->next_slot++;
		msg_put_conn(&m, &c);
	}
	assert_int_equal(chan_send(f->channel, buf, (size_t)msg_end(&m), sockets, count), 0);
	f->given += count;
	for (unsigned i = 0; i < count; i++)
		close(sockets[i]);
}

void fake_offer(struct fake *f, unsigned count, int *ret_clients)
{
	struct msg_conn facts[MSG_MAX_CONNS];
	int servers[MSG_MAX_CONNS];

	for (unsigned i = 0; i < count; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		servers[i] = pair[0];
		ret_clients[i] = pair[1];
		fcntl(servers[i], F_SETFL, O_NONBLOCK);
		facts[i] = (struct msg_conn){.listener = 1, .peer.family = AF_UNIX};
	}
	send_offer(f, count, servers, facts);
}

static void tcp_pair(int *ret_server, int *ret_client, struct addr *ret_peer)
{
	OWNS_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_client, (struct sockaddr *)&in, len), 0);
	*ret_server = accept4(listener, (struct sockaddr *)&in, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(*ret_server >= 0);
	addr_from_sockaddr(ret_peer, (struct sockaddr *)&in, len);
}

void fake_offer_tcp(struct fake *f, unsigned count, int *ret_clients)
{
	struct msg_conn facts[MSG_MAX_CONNS] = {0};
	int servers[MSG_MAX_CONNS];

	for (unsigned i = 0; i < count; i++)
		tcp_pair(&servers[i], &ret_clients[i], &facts[i].peer);
	send_offer(f, count, servers, facts);
}

static char *next_line(struct fake *f)
{
	char *line = f->output + f->output_at;
	char *end = memchr(line, '\n', f->output_len - f->output_at);

	if (!end)
		return NULL;
	*end = '\0';
	f->output_at = (size_t)(end + 1 - f->output);
	return line;
}

static void read_log(struct fake *f)
{
	struct pollfd p = {.fd = f->log, .events = POLLIN};
	ssize_t got;

	if (poll(&p, 1, PATIENCE_MS) < 1)
		fail_msg("no such line in time");
	got = read(f->log, f->output + f->output_len, sizeof(f->output) - f->output_len);
	if (got <= 0)
		fail_msg("no such line before the log ended");
	f->output_len += (size_t)got;
}

const char *fake_expect_line(struct fake *f, const char *text)
{
	for (;;) {
		char *line;

		while ((line = next_line(f)))
			if (strstr(line, text))
				return line;
		read_log(f);
	}
}

static size_t read_up_to(int client, char *buf, size_t len)
{
	struct pollfd p = {.fd = client, .events = POLLIN};
	size_t have = 0;
	ssize_t got;

	while (have < len) {
		if (poll(&p, 1, PATIENCE_MS) < 1)
			fail_msg("nothing from the worker in time");
		got = recv(client, buf + have, len - have, 0);
		assert_true(got >= 0);
		if (!got)
			break;
		have += (size_t)got;
	}
	return have;
}

void fake_read(int client, void *buf, size_t len)
{
	assert_int_equal(read_up_to(client, buf, len), len);
}

size_t fake_read_end(int client, void *buf, size_t size)
{
	size_t len = read_up_to(client, buf, size - 1);

	((char *)buf)[len] = '\0';
	return len;
}

void fake_say(int client, const char *text)
{
	assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}
