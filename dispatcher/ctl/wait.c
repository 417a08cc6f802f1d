/* The dispatcher is asked for its status five times a second. On a terminal one line is rewritten in
 * place; elsewhere a line is written when it says something new. */
#include "dispatcher/ctl/wait.h"
#include "common/base.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/text.h"

#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#define LOOK_MS 200

struct progress {
	FILE *out;
	bool in_place;
	char last[TEXT_COLUMNS];
};

static struct progress progress_on(FILE *out)
{
	int fd = fileno(out);

	return (struct progress){.out = out, .in_place = fd >= 0 && isatty(fd)};
}

static void progress_say(struct progress *p, const char *format, ...) PRINTF_LIKE(2, 3);

static void progress_say(struct progress *p, const char *format, ...)
{
	char text[TEXT_COLUMNS];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!strcmp(text, p->last))
		return;
	strcpy(p->last, text);
	fputs(p->in_place ? "\r\033[K" : "", p->out);
	text_print(p->out, text);
	fputs(p->in_place ? "" : "\n", p->out);
	fflush(p->out);
}

static void progress_end(struct progress *p)
{
	if (p->in_place && *p->last)
		fputs("\r\033[K", p->out);
}

/* --- what a status says --- */

struct tally {
	unsigned workers;
	double connections, longest_s;
	char slowest[TEXT_SHORT_BYTES]; /* the one that has been retiring longest */
};

static void count_worker(struct tally *t, const json_t *w)
{
	double retiring_s = text_number(w, "retiring_seconds");

	t->workers++;
	t->connections += text_number(w, "connections");
	if (!*t->slowest || retiring_s > t->longest_s) {
		t->longest_s = retiring_s;
		text_cut(text_string(w, "id", "?"), 24, t->slowest);
	}
}

static void say_tally(struct progress *p, const struct tally *t, size_t of)
{
	char time[TEXT_SHORT_BYTES];

	if (of)
		progress_say(p, "%u of %zu old workers left, %.0f connections; %s for %s", t->workers, of,
			t->connections, t->slowest, text_duration(t->longest_s, time));
	else
		progress_say(p, "%u workers left, %.0f connections", t->workers, t->connections);
}

/* Workers of the set, or with NULL all, of one service. */
static void tally_service(struct tally *t, const json_t *service, const json_t *set)
{
	const json_t *w;
	size_t i;

	json_array_foreach(json_object_get(service, "workers"), i, w)
		if (!set || json_object_get(set, text_string(w, "id", "")))
			count_worker(t, w);
}

void wait_add_workers(json_t *set, const json_t *status, const char *name, bool only_stale)
{
	const json_t *service, *w;
	size_t i, k;

	json_array_foreach(json_object_get(status, "services"), i, service)
		json_array_foreach(json_object_get(service, "workers"), k, w) {
			const char *id = text_string(w, "id", "");

			if (only_stale && !text_string(w, "stale", NULL))
				continue;
			if (!strcasecmp(text_string(service, "name", ""), name) || !strcasecmp(id, name))
				json_object_set_new(set, id, json_true());
		}
}

int wait_until_gone(const struct command *c, const json_t *set)
{
	struct progress p = progress_on(c->out);
	json_t *document;
	int status;

	while ((document = ask_document_or_say(c, "status", NULL, &status))) {
		struct tally t = {0};
		const json_t *service;
		size_t i;

		json_array_foreach(json_object_get(document, "services"), i, service)
			tally_service(&t, service, set);
		json_decref(document);
		if (!t.workers)
			break;
		say_tally(&p, &t, json_object_size(set));
		ask_pause(LOOK_MS);
	}
	progress_end(&p);
	return status;
}

static bool is_one_of(const char *name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return false;
}

/* Counts what is left of the services; *ret_open: one that is open again, by somebody else's order. */
static unsigned tally_closing(struct tally *t, const json_t *document, const char *const *names,
	unsigned count, char ret_open[TEXT_SHORT_BYTES])
{
	unsigned closing = 0;
	const json_t *service;
	size_t i;

	*ret_open = '\0';
	json_array_foreach(json_object_get(document, "services"), i, service) {
		const char *state = text_string(service, "state", "");

		if (!is_one_of(text_string(service, "name", ""), names, count))
			continue;
		closing += strcmp(state, "closed") != 0;
		if (!strcmp(state, "open"))
			text_cut(text_string(service, "name", "?"), TEXT_SHORT_BYTES - 1, ret_open);
		tally_service(t, service, NULL);
	}
	return closing + t->workers;
}

int wait_until_closed(const struct command *c, const char *const *names, unsigned count)
{
	struct progress p = progress_on(c->out);
	char open[TEXT_SHORT_BYTES];
	json_t *document;
	int status;

	while ((document = ask_document_or_say(c, "status", NULL, &status))) {
		struct tally t = {0};
		unsigned left = tally_closing(&t, document, names, count, open);

		json_decref(document);
		if (*open) {
			progress_end(&p);
			fprintf(c->err, "dispatcherctl: %s has been opened again\n", open);
			return REQUEST_REFUSED;
		}
		if (!left)
			break;
		say_tally(&p, &t, 0);
		ask_pause(LOOK_MS);
	}
	progress_end(&p);
	return status;
}

static bool has_ended(int pidfd, unsigned ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, (int)ms) == 1;
}

int wait_until_ended(const struct command *c, int pidfd)
{
	struct progress p = progress_on(c->out);

	while (pidfd < 0 || !has_ended(pidfd, LOOK_MS)) {
		struct tally t = {0};
		const json_t *service;
		size_t i;
		int status;
		json_t *document = ask_document(c, "status", NULL, &status);

		json_array_foreach(json_object_get(document, "services"), i, service)
			tally_service(&t, service, NULL);
		if (document)
			say_tally(&p, &t, 0);
		json_decref(document);
		if (pidfd < 0 && status == REQUEST_NOT_RUNNING)
			break;
		if (pidfd < 0)
			ask_pause(LOOK_MS);
	}
	progress_end(&p);
	return REQUEST_OK;
}
