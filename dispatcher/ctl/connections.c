/* The open connections as a table, the longest first: those are what a drain waits for. */
#include "dispatcher/ctl/show.h"
#include "common/base.h"
#include "dispatcher/ctl/text.h"

#include <string.h>

static int longest_first(const void *a, const void *b)
{
	double x = text_number(*(const json_t *const *)a, "seconds");
	double y = text_number(*(const json_t *const *)b, "seconds");

	return (x < y) - (x > y);
}

static unsigned width_of(const json_t *document, const char *key, unsigned width)
{
	const json_t *c;
	size_t i;

	json_array_foreach (document, i, c)
		width = MAX(width, (unsigned)strlen(text_string(c, key, "?")));
	return width;
}

static const char *bytes_of(const json_t *c, const char *key, char ret_text[TEXT_SHORT_BYTES])
{
	const json_t *bytes = json_object_get(c, key);

	return json_is_number(bytes) ? text_count(json_number_value(bytes), ret_text) : "-";
}

struct widths {
	int peer, listener;
};

static void show_connection(const json_t *c, const struct widths *w, FILE *out)
{
	char time[TEXT_SHORT_BYTES], unread[TEXT_SHORT_BYTES], unsent[TEXT_SHORT_BYTES];

	fprintf(out, "%7s %6s %6s  %-*s  %-*s  %s\n", text_duration(text_number(c, "seconds"), time),
		bytes_of(c, "unread", unread), bytes_of(c, "unsent", unsent), w->peer,
		text_string(c, "peer", "?"), w->listener, text_string(c, "listener", "?"),
		text_string(c, "worker", "(waits)"));
}

void show_connections(const json_t *document, FILE *out)
{
	size_t count = json_array_size(document);
	const json_t **sorted = calloc(count + 1, sizeof(*sorted));
	struct widths w = {(int)width_of(document, "peer", 4), (int)width_of(document, "listener", 8)};

	if (!sorted)
		return;
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(document, i);
	qsort(sorted, count, sizeof(*sorted), longest_first);
	if (count)
		fprintf(out, "%7s %6s %6s  %-*s  %-*s  %s\n", "TIME", "UNREAD", "UNSENT", w.peer, "PEER",
			w.listener, "LISTENER", "WORKER");
	for (size_t i = 0; i < count; i++)
		show_connection(sorted[i], &w, out);
	fprintf(out, "%zu open connection%s\n", count, count == 1 ? "" : "s");
	free(sorted);
}
