/* Sends the web browsers of port 80 on: PARAMETER=TARGET=https://www.example.org */
#include <dispatcher/worker.h>
#include <stdlib.h>
#include <string.h>

static int on_start(struct worker *w)
{
	return worker_param(w, "TARGET") ? 0 : worker_fail(w, "PARAMETER TARGET is missing");
}

static void on_open(struct worker_conn *c)
{
	worker_set_timeout(c, 10000);
}

static void on_line(struct worker_conn *c, char *line, size_t len)
{
	const char *path = worker_conn_data(c);

	if (!path) { /* the request: GET /path HTTP/1.1 */
		line += strcspn(line, "/");
		line[strcspn(line, " ")] = '\0';
		worker_conn_set_data(c, strdup(line));
	} else if (!len) { /* behind its headers */
		worker_printf(c, "HTTP/1.1 301 Moved Permanently\r\nLocation: %s%s\r\n"
				 "Content-Length: 0\r\nConnection: close\r\n\r\n",
			worker_param(worker_of(c), "TARGET"), path);
		worker_close(c);
	}
}

static void on_close(struct worker_conn *c, int why)
{
	free(worker_conn_data(c));
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {.size = sizeof(ops), .on_start = on_start,
		.on_open = on_open, .on_line = on_line, .on_close = on_close};

	return worker_main(argc, argv, &ops);
}
