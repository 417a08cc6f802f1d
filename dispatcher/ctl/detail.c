/* Every figure of one service and a line for each of its workers: those that leave or are in trouble
 * first, because in a pool of hundreds nobody finds them otherwise. */
#include "dispatcher/ctl/show.h"
#include "common/base.h"
#include "dispatcher/ctl/text.h"

#include <string.h>

static void show_listeners(const json_t *s, FILE *out)
{
	const json_t *l;
	size_t i;

	json_array_foreach (json_object_get(s, "listeners"), i, l) {
		fprintf(out, "    %-11s", i ? "" : "listens on");
		text_print(out, text_string(l, "address", "?"));
		fprintf(out, "%s, backlog %.0f of %.0f", json_is_true(json_object_get(l, "tls")) ? " (TLS)" : "",
			text_number(l, "backlog_now"), text_number(l, "backlog_max"));
		if (text_number(l, "drops") > 0)
			fprintf(out, ", %.0f dropped", text_number(l, "drops"));
		fputc('\n', out);
	}
}

static void show_limits(const json_t *s, FILE *out)
{
	fprintf(out, "    pool       %.0f to %.0f workers, %.0f to %.0f connections each\n",
		text_number(s, "min_procs"), text_number(s, "max_procs"), text_number(s, "min_conns"),
		text_number(s, "max_conns"));
	fprintf(out, "    use        %.0f connections now, room for %.0f more; %.0f at most so far\n",
		text_number(s, "connections") - text_number(json_object_get(s, "queue"), "now"),
		text_number(s, "headroom"),
		text_number(s, "peak_connections"));
}

static void show_states(const json_t *s, FILE *out)
{
	const json_t *states = json_object_get(s, "worker_states");

	if (states)
		fprintf(out, "    workers    %.0f serving, %.0f starting, %.0f retiring, %.0f killed\n",
			text_number(states, "serving"), text_number(states, "starting"),
			text_number(states, "retiring"), text_number(states, "killed"));
}

static void show_counters(const json_t *s, FILE *out)
{
	static const struct {
		const char *key, *name;
	} counters[] = {
		{"accepted", "accepted"}, {"handed", "handed to workers"}, {"done", "done"},
		{"lost", "lost"}, {"stolen_back", "stolen back"}, {"rescued", "rescued"},
		{"refused", "refused"}, {"listen_overflows", "dropped by a full backlog"},
	};
	char words[512] = "", time[TEXT_SHORT_BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(counters); i++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%.0f %s", i ? ", " : "",
			text_number(s, counters[i].key), counters[i].name);
	text_wrap(out, "    in all     ", words);
	fprintf(out, "    held       %s in all\n",
		text_duration(text_number(s, "held_seconds"), time));
}

/* Only of a service that refuses. */
static void show_queue(const json_t *s, FILE *out)
{
	const json_t *q = json_object_get(s, "queue");
	char words[512], oldest[TEXT_SHORT_BYTES], longest[TEXT_SHORT_BYTES];

	if (!json_is_object(q))
		return;
	snprintf(words, sizeof(words),
		"%.0f of %.0f wait, the first for %s; %.0f at most so far, %s at longest; refused %.0f at "
		"once, %.0f late; %.0f left by themselves",
		text_number(q, "now"), text_number(q, "size"),
		text_duration(text_number(q, "oldest_seconds"), oldest), text_number(q, "peak"),
		text_duration(text_number(q, "longest_seconds"), longest),
		text_number(q, "refused_full"), text_number(q, "refused_late"), text_number(s, "left"));
	text_wrap(out, "    queue      ", words);
}

/* The day that a certificate ends, its file, and what it is for. */
static void show_certificate(const json_t *cert, const char *first, FILE *out)
{
	char words[1024], time[TEXT_SHORT_BYTES];
	const char *names = text_string(cert, "names", "");

	snprintf(words, sizeof(words), "%.300s until %.10s%s%s%.400s",
		text_string(cert, "file", "?"), text_time(text_string(cert, "not_after", "?"), time),
		json_is_true(json_object_get(cert, "newer_on_disk")) ? ", newer on disk (reload --tls)" : "",
		*names ? ", for " : "", names);
	text_wrap(out, first, words);
}

static void show_tls(const json_t *s, FILE *out)
{
	const json_t *tls = json_object_get(s, "tls"), *cert;
	size_t i;

	json_array_foreach (json_object_get(tls, "certificates"), i, cert)
		show_certificate(cert, i ? "               " : "    tls        ", out);
	if (json_is_object(tls))
		fprintf(out, "    tickets    generation %.0f\n", text_number(tls, "ticket_generation"));
}

static void show_last_exit(const json_t *s, FILE *out)
{
	const json_t *exit = json_object_get(s, "last_exit");
	char time[TEXT_SHORT_BYTES];

	if (!json_is_object(exit))
		return;
	fputs("    last exit  ", out);
	text_print(out, text_string(exit, "worker", "?"));
	fprintf(out, " %s at %s\n", text_string(exit, "status", "?"),
		text_time(text_string(exit, "at", "?"), time));
}

/* In the order of the list. */
enum standing { KILLED, MUTE, LEAVING, AT_WORK, STANDINGS };

static enum standing standing_of(const json_t *w)
{
	const char *state = text_string(w, "state", "");

	if (!strcmp(state, "killed"))
		return KILLED;
	if (!strcmp(state, "retiring"))
		return LEAVING;
	return json_is_true(json_object_get(w, "suspect")) ? MUTE : AT_WORK;
}

static void add(char *words, size_t size, const char *word)
{
	snprintf(words + strlen(words), size - strlen(words), "%s%s", *words ? "; " : "", word);
}

/* What is to come: a replacement, a deadline. */
static void gather_plans(const json_t *w, char *words, size_t size)
{
	const char *stale = text_string(w, "stale", NULL);
	const json_t *deadline = json_object_get(w, "deadline_seconds");
	char part[160], time[TEXT_SHORT_BYTES];

	if (stale && !text_string(w, "retire_reason", NULL) && !text_string(w, "wants_rest", NULL)) {
		snprintf(part, sizeof(part), "to be replaced: %.60s", stale);
		add(words, size, part);
	}
	if (json_is_number(deadline)) {
		snprintf(part, sizeof(part), "cut in %s", text_duration(json_number_value(deadline), time));
		add(words, size, part);
	}
	if (json_is_true(json_object_get(w, "image_replaced")))
		add(words, size, "image replaced on disk");
}

/* By what a worker that ought to leave is held. */
static const char *awaited(const json_t *w)
{
	const char *what = text_string(w, "waits_for", "");

	if (!strcmp(what, "replacement"))
		return "its replacement is ready";
	return strcmp(what, "place") ? "it may retire" : "fewer retire (MAX_SHUTDOWN)";
}

/* Why it leaves and for how long it has been leaving, unread offers, its own line of state. */
static void gather_remarks(const json_t *w, char *words, size_t size)
{
	const json_t *retiring = json_object_get(w, "retiring_seconds");
	const char *wants = text_string(w, "wants_rest", NULL);
	char part[160], time[TEXT_SHORT_BYTES];

	if (json_is_number(retiring)) {
		snprintf(part, sizeof(part), "%.60s for %s", text_string(w, "retire_reason", "leaving"),
			text_duration(json_number_value(retiring), time));
		add(words, size, part);
	} else if (text_string(w, "retire_reason", NULL)) {
		add(words, size, text_string(w, "retire_reason", NULL));
	}
	if (wants) {
		snprintf(part, sizeof(part), "%.60s, but serves until %s", wants, awaited(w));
		add(words, size, part);
	}
	gather_plans(w, words, size);
	if (standing_of(w) == MUTE)
		add(words, size, "reads no offers");
	if (text_number(w, "unread") > 0) {
		snprintf(part, sizeof(part), "%.0f unread", text_number(w, "unread"));
		add(words, size, part);
	}
	if (text_string(w, "line", NULL))
		add(words, size, text_string(w, "line", NULL));
}

static void show_worker(const json_t *w, FILE *out)
{
	char id[TEXT_SHORT_BYTES], state[TEXT_SHORT_BYTES], conns[TEXT_SHORT_BYTES];
	char peak[TEXT_SHORT_BYTES], served[TEXT_SHORT_BYTES], age[TEXT_SHORT_BYTES];
	char remarks[1024] = "";
	int used;

	used = fprintf(out, "%c   %-16s %7.0f %-8s %5s %5s %6s %7s", standing_of(w) <= MUTE ? '!' : ' ',
		text_cut(text_string(w, "id", "?"), 16, id), text_number(w, "pid"),
		text_cut(text_string(w, "state", "?"), 8, state),
		text_count(text_number(w, "connections"), conns),
		text_count(text_number(w, "peak_connections"), peak),
		text_count(text_number(w, "served"), served),
		text_duration(text_number(w, "age_seconds"), age));
	gather_remarks(w, remarks, sizeof(remarks));
	if (*remarks && used + 2 + (int)strlen(remarks) <= TEXT_COLUMNS) {
		text_wrap(out, "  ", remarks);
		return;
	}
	fputc('\n', out);
	if (*remarks)
		text_wrap(out, "        ", remarks);
}

void show_service_details(const json_t *service, FILE *out)
{
	const json_t *workers = json_object_get(service, "workers");
	const json_t *worker;
	size_t i;

	show_listeners(service, out);
	show_limits(service, out);
	show_states(service, out);
	show_counters(service, out);
	show_queue(service, out);
	show_tls(service, out);
	show_last_exit(service, out);
	if (json_array_size(workers))
		fprintf(out, "\n    %-16s %7s %-8s %5s %5s %6s %7s\n", "WORKER", "PID", "STATE", "CONNS",
			"PEAK", "SERVED", "AGE");
	for (unsigned standing = 0; standing < STANDINGS; standing++)
		json_array_foreach (workers, i, worker)
			if (standing_of(worker) == standing)
				show_worker(worker, out);
	fputc('\n', out);
}
