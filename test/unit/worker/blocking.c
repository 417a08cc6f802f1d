/* A worker in thread style that answers a word a line and says on stderr how calls end. */
#include <dispatcher/worker.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_retire(struct worker *w)
{
	fprintf(stderr, "retire\n");
}

static void on_deadline(struct worker *w, unsigned ms_left)
{
	fprintf(stderr, "deadline %u\n", ms_left);
}

static size_t stack_bytes(void)
{
	pthread_attr_t a;
	size_t size;

	pthread_getattr_np(pthread_self(), &a);
	pthread_attr_getstacksize(&a, &size);
	pthread_attr_destroy(&a);
	return size;
}

static int pour(struct worker_conn *c, size_t bytes)
{
	char *data = calloc(1, bytes);
	int answer = worker_write(c, data, bytes);

	free(data);
	return answer;
}

static void starttls(struct worker_conn *c)
{
	worker_printf(c, "go\n");
	fprintf(stderr, "starttls %d\n", worker_starttls(c));
}

static void answer(struct worker_conn *c, const char *line, ssize_t len)
{
	char raw[5];

	if (!strcmp(line, "thread"))
		worker_printf(c, "%lx\n", (unsigned long)pthread_self());
	else if (!strcmp(line, "stack"))
		worker_printf(c, "%zu\n", stack_bytes());
	else if (!strcmp(line, "raw"))
		worker_printf(c, "%zd\n", worker_read(c, raw, sizeof(raw)));
	else if (!strncmp(line, "pour ", 5))
		fprintf(stderr, "poured %d\n", pour(c, strtoul(line + 5, NULL, 10)));
	else if (!strncmp(line, "timeout ", 8))
		worker_set_timeout(c, (unsigned)atoi(line + 8));
	else if (!strcmp(line, "starttls"))
		starttls(c);
	else if (!strcmp(line, "tls"))
		worker_printf(c, "%s\n", worker_conn_tls(c) ? worker_conn_tls(c)->version : "plaintext");
	else if (!strcmp(line, "close"))
		worker_close(c);
	else
		worker_printf(c, "%zd:%s\n", len, line);
}

static void handle(struct worker_conn *c)
{
	char line[20];
	ssize_t len;

	fprintf(stderr, "open\n");
	while ((len = worker_read_line(c, line, sizeof(line))) >= 0 || len == -90) /* EMSGSIZE */
		answer(c, len < 0 ? "too long" : line, len);
	fprintf(stderr, "end %zd\n", len);
	if (len == -125) /* ECANCELED */
		worker_printf(c, "421 goodbye\n");
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {
		.size = sizeof(ops),
		.on_retire = on_retire,
		.on_deadline = on_deadline,
		.handle = handle,
	};

	return worker_main(argc, argv, &ops);
}
