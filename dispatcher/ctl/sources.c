/* How many connections each source has. A source is what the dispatcher counts as one: the address cut
 * at SOURCE_PREFIX. */
#include "dispatcher/ctl/show.h"
#include "common/base.h"
#include "dispatcher/ctl/text.h"

#include <string.h>

struct source {
	const char *name;
	size_t count;
	double longest_s;
};

static int most_first(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* Adds them up: name -> {count, longest}. */
static json_t *group(const json_t *document)
{
	json_t *groups = json_object();
	const json_t *c;
	size_t i;

	json_array_foreach(document, i, c) {
		const char *name = text_string(c, "source", "?");
		json_t *one = json_object_get(groups, name);
		double seconds = text_number(c, "seconds");

		if (!one) {
			one = json_object();
			json_object_set_new(groups, name, one);
		}
		json_object_set_new(one, "longest", json_real(MAX(seconds, text_number(one, "longest"))));
		json_object_set_new(one, "count", json_integer((json_int_t)text_number(one, "count") + 1));
	}
	return groups;
}

static void print(const struct source *sources, size_t count, size_t connections, FILE *out)
{
	char time[TEXT_SHORT_BYTES];

	if (count)
		fprintf(out, "%7s  %7s  %s\n", "CONNS", "LONGEST", "SOURCE");
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "%7zu  %7s  ", sources[i].count, text_duration(sources[i].longest_s, time));
		text_print(out, sources[i].name);
		fputc('\n', out);
	}
	fprintf(out, "%zu open connection%s of %zu source%s\n", connections, connections == 1 ? "" : "s",
		count, count == 1 ? "" : "s");
}

void show_sources(const json_t *document, FILE *out)
{
	json_t *groups = group(document), *one;
	OWNS_MEM struct source *sources = calloc(json_object_size(groups) + 1, sizeof(*sources));
	const char *name;
	size_t count = 0;

	json_object_foreach(groups, name, one)
		if (sources)
			sources[count++] = (struct source){name, (size_t)text_number(one, "count"),
				text_number(one, "longest")};
	if (sources) {
		qsort(sources, count, sizeof(*sources), most_first);
		print(sources, count, json_array_size(document), out);
	}
	json_decref(groups);
}
