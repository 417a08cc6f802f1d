/* Verbs and options come from the table, names from the running dispatcher: what it does not tell, or
 * may not tell this user, is not offered. */
#include "dispatcher/ctl/complete.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/text.h"
#include "dispatcher/ctl/verbs.h"

#include <string.h>

#define SILENCE_MS 1000 /* somebody waits at the keyboard */

static void print_verbs(const struct command *c)
{
	const struct verb *verb;

	for (size_t i = 0; (verb = verbs_at(i)); i++) {
		fprintf(c->out, "%s\n", verb->name);
		if (verb->other)
			fprintf(c->out, "%s\n", verb->other);
	}
	fputs("--socket\n--help\n--version\n", c->out);
}

static void print_options(const struct command *c)
{
	const struct verb_option *o;

	for (size_t i = 0; (o = verbs_option(i)); i++)
		if (c->verb->takes & o->option)
			fprintf(c->out, "--%s\n", o->name);
	fputs("--help\n", c->out);
}

static void print_names(const struct command *c, bool services, bool workers)
{
	int status;
	json_t *document = ask_document(c, "status", NULL, &status);
	const json_t *s, *w;
	size_t i, k;

	json_array_foreach(json_object_get(document, "services"), i, s) {
		if (services) {
			text_print(c->out, text_string(s, "name", "?"));
			fputc('\n', c->out);
		}
		json_array_foreach(json_object_get(s, "workers"), k, w) {
			if (!workers)
				break;
			text_print(c->out, text_string(w, "id", "?"));
			fputc('\n', c->out);
		}
	}
	json_decref(document);
}

static void print_blocks(const struct command *c)
{
	int status;
	json_t *document = ask_document(c, "status", NULL, &status);
	const json_t *b;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(document, "dispatcher"), "blocks"), i, b) {
		text_print(c->out, text_string(b, "prefix", "?"));
		fputc('\n', c->out);
	}
	json_decref(document);
}

static bool takes_a_value(const char *word)
{
	const struct verb_option *o;

	for (size_t i = 0; (o = verbs_option(i)); i++)
		if (o->has_value && !strncmp(word, "--", 2) && !strcmp(word + 2, o->name))
			return true;
	return false;
}

/* Finds verb and socket, and counts the arguments. False: the next word is the value of an option. */
static bool read_words(struct command *c, int count, char *const *words)
{
	for (int i = 0; i < count; i++) {
		bool is_socket = !strcmp(words[i], "-s") || !strcmp(words[i], "--socket");

		if (is_socket || takes_a_value(words[i])) {
			if (++i >= count)
				return false;
			if (is_socket)
				snprintf(c->socket, sizeof(c->socket), "%s", words[i]);
		} else if (*words[i] != '-' && !c->verb) {
			c->verb = verbs_find(words[i]);
		} else if (*words[i] != '-') {
			c->arg_count++;
		}
	}
	return true;
}

int complete_run(struct command *c, int count, char *const *words)
{
	c->silence_ms = SILENCE_MS;
	if (!read_words(c, count, words)) {
		if (!strcmp(words[count - 1], "-s") || !strcmp(words[count - 1], "--socket"))
			fputs("FILES\n", c->out);
		return 0;
	}
	if (!c->verb) {
		print_verbs(c);
		return 0;
	}
	print_options(c);
	if (c->arg_count >= c->verb->most)
		return 0;
	if (c->verb->names == NAMES_FILES)
		fputs("FILES\n", c->out);
	else if (c->verb->names == NAMES_PREFIXES)
		print_blocks(c);
	else if (c->verb->names == NAMES_SERVICES || c->verb->names == NAMES_WORKERS ||
		c->verb->names == NAMES_TARGETS)
		print_names(c, c->verb->names != NAMES_WORKERS, c->verb->names != NAMES_SERVICES);
	if (c->verb->names == NAMES_TARGETS && c->verb->takes & COMMAND_WAIT)
		fputs("acceptor\n", c->out);
	return 0;
}
