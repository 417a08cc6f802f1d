/* A worker in event style whose callbacks say what happens on stderr, and which does what its
 * parameters and its clients ask, a word a line. */
#include <dispatcher/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

static int on_start(struct worker *w)
{
	const char *fail = worker_param(w, "fail");

	if (fail)
		return worker_fail(w, "told to fail: %s", fail);
	fprintf(stderr, "start %s/%u mark=%s\n", worker_service(w), worker_serial(w),
		getenv("DISPATCHER_WORKER") ? "left" : "gone");
	worker_status(w, "serving since the test began");
	return 0;
}

static void on_stop(struct worker *w)
{
	fprintf(stderr, "stop\n");
}

static void on_retire(struct worker *w)
{
	fprintf(stderr, "retire\n");
}

static void on_reopen(struct worker *w)
{
	fprintf(stderr, "reopen\n");
}

static void on_deadline(struct worker *w, unsigned ms_left)
{
	struct worker_conn *c = NULL;

	fprintf(stderr, "deadline %u\n", ms_left);
	while ((c = worker_next(w, c))) {
		worker_printf(c, "421 goodbye\r\n");
		worker_close(c);
	}
}

static void on_open(struct worker_conn *c)
{
	const char *timeout = worker_param(worker_of(c), "TIMEOUT");
	char peer[WORKER_ADDR_BYTES], local[WORKER_ADDR_BYTES];

	fprintf(stderr, "open %s %s %s\n", worker_conn_peer(c, peer), worker_conn_local(c, local),
		worker_conn_listener(c));
	if (timeout)
		worker_set_timeout(c, (unsigned)atoi(timeout));
}

static void pour(struct worker_conn *c, size_t bytes)
{
	char *data = calloc(1, bytes);

	fprintf(stderr, "pour %d\n", worker_write(c, data, bytes));
	free(data);
}

static void on_later_closed(uv_handle_t *timer)
{
	free(timer);
}

/* Outside of the callbacks of the connection. */
static void on_later(uv_timer_t *timer)
{
	struct worker_conn *c = timer->data;

	fprintf(stderr, "later %d\n", worker_printf(c, "later\n"));
	worker_close(c);
	uv_close((uv_handle_t *)timer, on_later_closed);
}

static void answer_later(struct worker_conn *c, unsigned ms)
{
	uv_timer_t *timer = malloc(sizeof(*timer));

	uv_timer_init(worker_loop(worker_of(c)), timer);
	timer->data = c;
	uv_timer_start(timer, on_later, ms, 0);
}

static void close_others(struct worker_conn *c)
{
	struct worker_conn *other = NULL;

	while ((other = worker_next(worker_of(c), other)))
		worker_close(other);
}

/* What is written behind the call waits for the handshake. */
static void starttls(struct worker_conn *c)
{
	int bad;

	worker_printf(c, "go\n");
	bad = worker_starttls(c);
	fprintf(stderr, "starttls %d\n", bad);
	if (!bad)
		worker_printf(c, "welcome\n");
}

static void say_tls(struct worker_conn *c)
{
	const struct worker_tls *t = worker_conn_tls(c);

	if (!t)
		worker_printf(c, "plaintext\n");
	else
		worker_printf(c, "%s %s %u %d %s %s %s %s\n", t->version, t->cipher, t->cipher_bits,
			t->resumed, t->server_name ? t->server_name : "-",
			t->protocol ? t->protocol : "-",
			t->client_subject ? t->client_subject : "-",
			t->client_issuer ? t->client_issuer : "-");
}

static void on_line(struct worker_conn *c, char *line, size_t len)
{
	if (!strcmp(line, "close"))
		worker_close(c);
	else if (!strcmp(line, "close all"))
		close_others(c);
	else if (!strncmp(line, "pour ", 5))
		pour(c, strtoul(line + 5, NULL, 10));
	else if (!strncmp(line, "later ", 6))
		answer_later(c, (unsigned)atoi(line + 6));
	else if (!strcmp(line, "limits"))
		worker_printf(c, "%u\n", worker_limits(worker_of(c))->max_conns);
	else if (!strcmp(line, "starttls"))
		starttls(c);
	else if (!strcmp(line, "may"))
		worker_printf(c, "%d\n", worker_may_starttls(c));
	else if (!strcmp(line, "tls"))
		say_tls(c);
	else if (!strcmp(line, "listener"))
		worker_printf(c, "%s\n", worker_conn_listener(c));
	else
		worker_printf(c, "%zu:%s\n", len, line);
}

static void on_drain(struct worker_conn *c)
{
	fprintf(stderr, "drain\n");
}

static void on_timeout(struct worker_conn *c)
{
	worker_printf(c, "too slow\n");
	worker_close(c);
}

static void on_close(struct worker_conn *c, int why)
{
	fprintf(stderr, "close %d\n", why);
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {
		.size = sizeof(ops),
		.on_start = on_start,
		.on_stop = on_stop,
		.on_retire = on_retire,
		.on_reopen = on_reopen,
		.on_deadline = on_deadline,
		.on_open = on_open,
		.on_line = on_line,
		.on_drain = on_drain,
		.on_timeout = on_timeout,
		.on_close = on_close,
	};

	return worker_main(argc, argv, &ops);
}
