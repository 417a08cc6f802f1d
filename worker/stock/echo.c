/* dispatcher-echo: sends back what it receives, or, with PARAMETER=BANNER=text, that line, and
 * closes. The reference user of the worker library: it includes nothing of the dispatcher but
 * worker.h. */
#include <dispatcher/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct banner {
	size_t len;
	char text[];
};

static int on_start(struct worker *w)
{
	const char *text = worker_param(w, "BANNER");
	struct banner *b;

	if (!text)
		return 0;
	b = malloc(sizeof(*b) + strlen(text) + sizeof("\r\n"));
	if (!b)
		return worker_fail(w, "no memory for the banner");
	b->len = (size_t)sprintf(b->text, "%s\r\n", text);
	worker_set_data(w, b);
	return 0;
}

static void on_stop(struct worker *w)
{
	free(worker_data(w));
}

static void on_open(struct worker_conn *c)
{
	const struct banner *b = worker_data(worker_of(c));

	if (!b)
		return;
	worker_write(c, b->text, b->len);
	worker_close(c);
}

static void on_data(struct worker_conn *c, const void *data, size_t len)
{
	worker_write(c, data, len);
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {
		.size = sizeof(ops),
		.on_start = on_start,
		.on_stop = on_stop,
		.on_open = on_open,
		.on_data = on_data,
	};

	return worker_main(argc, argv, &ops);
}
