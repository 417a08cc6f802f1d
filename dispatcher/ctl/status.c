/* The overview that somebody reads who has just been woken up: what is not enforced or out of date, then
 * the services in the order of their trouble, each with its use of its limit, and under a service only
 * what is out of the ordinary. */
#include "dispatcher/ctl/show.h"
#include "common/base.h"
#include "dispatcher/ctl/text.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#define BAR_COLUMNS 10
#define NEARLY_FULL_PERCENT 80
#define MOST_NAMED 6
#define SOON_DAYS 21

/* In the order of trouble. */
enum condition { FAILED, HELD, FULL, BACKING_OFF, NEARLY_FULL, CLOSING, OPEN, CLOSED, CONDITIONS };

static const struct {
	char mark;
	const char *name;
} conditions[CONDITIONS] = {
	[FAILED] = {'!', "FAILED"},
	[HELD] = {'!', "HELD"},
	[FULL] = {'!', "FULL"},
	[BACKING_OFF] = {'!', "BACK-OFF"},
	[NEARLY_FULL] = {'!', "open"},
	[CLOSING] = {' ', "closing"},
	[OPEN] = {' ', "open"},
	[CLOSED] = {' ', "closed"},
};

static void note(FILE *out, const char *first, const char *format, ...) PRINTF_LIKE(3, 4);

static void note(FILE *out, const char *first, const char *format, ...)
{
	char words[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	text_wrap(out, first, words);
}

static double in_workers(const json_t *s)
{
	return text_number(s, "connections") - text_number(json_object_get(s, "queue"), "now");
}

static double use_percent(const json_t *s)
{
	double capacity = text_number(s, "capacity");

	return capacity > 0 ? in_workers(s) * 100 / capacity : 0;
}

static enum condition condition_of(const json_t *s)
{
	const char *state = text_string(s, "state", "closed");

	if (!strcmp(state, "failed"))
		return FAILED;
	if (!strcmp(state, "closing"))
		return CLOSING;
	if (strcmp(state, "open"))
		return CLOSED;
	if (json_is_true(json_object_get(s, "held")))
		return HELD;
	if (text_number(s, "backoff_seconds") > 0)
		return BACKING_OFF;
	if (use_percent(s) >= 100)
		return FULL;
	return use_percent(s) >= NEARLY_FULL_PERCENT ? NEARLY_FULL : OPEN;
}

static unsigned workers_in(const json_t *s, const char *state)
{
	const json_t *worker;
	size_t i;
	unsigned count = 0;

	json_array_foreach (json_object_get(s, "workers"), i, worker)
		count += !strcmp(text_string(worker, "state", ""), state);
	return count;
}

/* --- one line for each service --- */

/* No bar is full before the limit is reached, and none is empty when there is a connection. */
static const char *bar(const json_t *s, char ret_text[TEXT_SHORT_BYTES])
{
	double used = use_percent(s) * BAR_COLUMNS / 100;
	int full = used >= BAR_COLUMNS ? BAR_COLUMNS : used > 0 ? MAX((int)used, 1) : 0;

	memset(ret_text, '-', BAR_COLUMNS);
	memset(ret_text, '#', (size_t)full);
	ret_text[BAR_COLUMNS] = '\0';
	return ret_text;
}

static void show_line(const json_t *s, FILE *out)
{
	char name[TEXT_SHORT_BYTES], state[TEXT_SHORT_BYTES], use[TEXT_SHORT_BYTES];
	char conns[TEXT_SHORT_BYTES], limit[TEXT_SHORT_BYTES], both[TEXT_SHORT_BYTES * 2];
	char percent[TEXT_SHORT_BYTES], workers[TEXT_SHORT_BYTES], waiting[TEXT_SHORT_BYTES];
	enum condition condition = condition_of(s);

	snprintf(state, sizeof(state), "%s", conditions[condition].name);
	if (condition == BACKING_OFF)
		snprintf(state, sizeof(state), "BACK-OFF %.0fs", text_number(s, "backoff_seconds"));
	snprintf(both, sizeof(both), "%s/%s", text_count(in_workers(s), conns),
		text_count(text_number(s, "capacity"), limit));
	snprintf(percent, sizeof(percent), "%.0f%%", use_percent(s));
	snprintf(workers, sizeof(workers), "%u/%.0f",
		workers_in(s, "serving") + workers_in(s, "starting"), text_number(s, "max_procs"));
	fprintf(out, "%c %-16s %-12s %11s %s %5s %9s %8s\n", conditions[condition].mark,
		text_cut(text_string(s, "name", "?"), 16, name), state, both, bar(s, use), percent,
		workers, text_count(text_number(s, "waiting"), waiting));
}

/* --- what is out of the ordinary --- */

static bool is_killed(const json_t *w)
{
	return !strcmp(text_string(w, "state", ""), "killed");
}

static bool is_suspect(const json_t *w)
{
	return json_is_true(json_object_get(w, "suspect"));
}

static bool is_retiring(const json_t *w)
{
	return !strcmp(text_string(w, "state", ""), "retiring");
}

static bool is_starting(const json_t *w)
{
	return !strcmp(text_string(w, "state", ""), "starting");
}

static bool is_past_its_limit(const json_t *w)
{
	const json_t *wants = json_object_get(w, "wants_rest");

	return json_is_string(wants) || json_is_true(wants);
}

static bool is_stale(const json_t *w)
{
	return text_string(w, "stale", NULL) && !is_retiring(w) && !is_killed(w);
}

static bool is_of_old_image(const json_t *w)
{
	return json_is_true(json_object_get(w, "image_replaced")) && !is_retiring(w);
}

static const struct {
	const char *title;
	bool (*holds)(const json_t *worker);
} oddities[] = {
	{"killed", is_killed},
	{"reads no offers", is_suspect},
	{"retiring", is_retiring},
	{"to be replaced", is_stale},
	{"past its limit, serving until it may retire", is_past_its_limit},
	{"starting", is_starting},
	{"its image was replaced on disk", is_of_old_image},
};

static const char *reason_of(const json_t *w)
{
	return text_string(w, "retire_reason", text_string(w, "stale", text_string(w, "wants_rest", "")));
}

/* "smtp/3 (old, 5m 2s, 1 open)" */
static void describe(const json_t *w, FILE *out)
{
	const json_t *retiring = json_object_get(w, "retiring_seconds");
	char time[TEXT_SHORT_BYTES];

	fprintf(out, "%s (", text_string(w, "id", "?"));
	if (*reason_of(w))
		fprintf(out, "%s, ", reason_of(w));
	if (json_is_number(retiring))
		fprintf(out, "%s, ", text_duration(json_number_value(retiring), time));
	fprintf(out, "%.0f open)", text_number(w, "connections"));
}

static void show_oddity(const json_t *s, size_t kind, FILE *out)
{
	char *names = NULL;
	size_t len = 0, i;
	FILE *list = open_memstream(&names, &len);
	const json_t *worker;
	unsigned count = 0;

	if (!list)
		return;
	json_array_foreach (json_object_get(s, "workers"), i, worker) {
		if (!oddities[kind].holds(worker) || ++count > MOST_NAMED)
			continue;
		fputs(count > 1 ? ", " : "", list);
		describe(worker, list);
	}
	if (count > MOST_NAMED)
		fprintf(list, " and %u more", count - MOST_NAMED);
	fclose(list);
	if (count)
		note(out, "    ", "%s: %s", oddities[kind].title, names);
	free(names);
}

/* "closed by uid=0 pid=7 at 2026-02-03 04:05:06; disabled until enable" */
static void show_closure(const json_t *s, FILE *out)
{
	const char *by = text_string(s, "closed_by", NULL), *until = text_string(s, "closed_until", NULL);
	const char *at = text_string(s, "closed_at", NULL);
	char time[TEXT_SHORT_BYTES];

	if (!by)
		return;
	if (until && !strcmp(until, "configuration"))
		note(out, "    ", "turned off by the configuration: %s", by);
	else
		note(out, "    ", "closed by %s%s%s; until %s", by, at ? " at " : "",
			at ? text_time(at, time) : "", until ? until : "start");
}

/* Who waits for a worker of a service that refuses. */
static void show_queue(const json_t *s, FILE *out)
{
	const json_t *q = json_object_get(s, "queue");
	char time[TEXT_SHORT_BYTES];

	if (text_number(q, "now") > 0)
		note(out, "    ", "%.0f wait in the queue, the first for %s; with %.0f in it, others are refused",
			text_number(q, "now"), text_duration(text_number(q, "oldest_seconds"), time),
			text_number(q, "size"));
}

static void show_why(const json_t *s, FILE *out)
{
	const json_t *exit = json_object_get(s, "last_exit");
	char time[TEXT_SHORT_BYTES], since[TEXT_SHORT_BYTES];

	if (text_string(s, "unfit", NULL))
		note(out, "    ", "%s", text_string(s, "unfit", ""));
	switch (condition_of(s)) {
	case FAILED:
		note(out, "    ", "%s", text_string(s, "why", "no reason is known"));
		break;
	case HELD:
		note(out, "    ", "nobody has room since %s: new clients wait in the backlog (%s in all so far)",
			text_time(text_string(s, "held_since", "?"), since),
			text_duration(text_number(s, "held_seconds"), time));
		break;
	case CLOSING:
	case CLOSED:
		show_closure(s, out);
		break;
	case BACKING_OFF:
		note(out, "    ", "workers end too early; the last was %s: %s",
			text_string(exit, "worker", "unknown"), text_string(exit, "status", "unknown"));
		break;
	default:
		break;
	}
}

static void show_losses(const json_t *s, FILE *out)
{
	static const char *const keys[] = {"lost", "refused", "listen_overflows"};
	static const char *const names[] = {"lost", "refused", "dropped by a full backlog"};
	char words[256] = "";

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (text_number(s, keys[i]) > 0)
			snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%.0f %s",
				*words ? ", " : "", text_number(s, keys[i]), names[i]);
	if (*words)
		note(out, "    ", "since the start: %s", words);
}

/* A worker that ended otherwise than by itself and well. */
static void show_bad_exit(const json_t *s, FILE *out)
{
	const json_t *exit = json_object_get(s, "last_exit");
	const char *status = text_string(exit, "status", "exit:0");
	char time[TEXT_SHORT_BYTES];

	if (strcmp(status, "exit:0") && condition_of(s) != BACKING_OFF)
		note(out, "    ", "the last worker that ended: %s, %s, at %s",
			text_string(exit, "worker", "?"), status,
			text_time(text_string(exit, "at", "?"), time));
}

/* The day, in the form of the status, before which an end is near. */
static const char *soon(char ret_day[TEXT_SHORT_BYTES])
{
	time_t then = time(NULL) + SOON_DAYS * 86400;
	struct tm tm;

	if (!gmtime_r(&then, &tm) || !strftime(ret_day, TEXT_SHORT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
		ret_day[0] = '\0';
	return ret_day;
}

static void show_ending_certificates(const json_t *s, FILE *out)
{
	const json_t *cert;
	char day[TEXT_SHORT_BYTES];
	size_t i;

	json_array_foreach (json_object_get(json_object_get(s, "tls"), "certificates"), i, cert) {
		const char *end = text_string(cert, "not_after", NULL);

		if (end && strcmp(end, soon(day)) < 0)
			note(out, "!   ", "the certificate %s ends on %.10s", text_string(cert, "file", "?"),
				end);
	}
}

/* --- the whole --- */

static const char *shown_pid(const json_t *d, const char *key, char ret_text[TEXT_SHORT_BYTES])
{
	snprintf(ret_text, TEXT_SHORT_BYTES, "%.0f", text_number(d, key));
	return text_number(d, key) > 0 ? ret_text : "GONE";
}

static void show_head(const json_t *d, FILE *out)
{
	char supervisor[TEXT_SHORT_BYTES], acceptor[TEXT_SHORT_BYTES], time[TEXT_SHORT_BYTES];
	char number[TEXT_SHORT_BYTES] = "";

	if (text_number(d, "acceptor_starts") > 1) /* by order, or because one died: the log knows */
		snprintf(number, sizeof(number), " (number %.0f)", text_number(d, "acceptor_starts"));
	note(out, "dispatcher ", "%s, supervisor %s, acceptor %s%s, since %s",
		text_string(d, "version", "?"), shown_pid(d, "supervisor_pid", supervisor),
		shown_pid(d, "acceptor_pid", acceptor), number,
		text_time(text_string(d, "started", "?"), time));
	note(out, "config     ", "%s, loaded %s", text_string(d, "config_file", "?"),
		text_time(text_string(d, "config_loaded", "?"), time));
}

static void show_upgrade(const json_t *d, FILE *out)
{
	const char *supervisor = text_string(d, "supervisor_version", NULL);
	const char *acceptor = text_string(d, "version", "?");
	char time[TEXT_SHORT_BYTES];

	if (text_string(d, "upgraded", NULL))
		note(out, "upgraded   ", "%s", text_time(text_string(d, "upgraded", "?"), time));
	if (supervisor && strcmp(supervisor, acceptor))
		note(out, "! ", "The supervisor is of version %s, the acceptor of %s.", supervisor, acceptor);
}

/* One that failed asks for attention: what runs is not what the file says. */
static void show_last_reload(const json_t *reload, FILE *out)
{
	char time[TEXT_SHORT_BYTES];

	if (!json_is_object(reload))
		return;
	text_time(text_string(reload, "at", "?"), time);
	if (text_number(reload, "status") > 0)
		note(out, "! ", "The last reload, at %s, failed: %s", time,
			text_string(reload, "text", "?"));
	else
		note(out, "reloaded   ", "%s", time);
}

static void show_blocks(const json_t *d, FILE *out)
{
	const json_t *b;
	size_t i;
	char time[TEXT_SHORT_BYTES], left[TEXT_SHORT_BYTES + 16];

	json_array_foreach(json_object_get(d, "blocks"), i, b) {
		snprintf(left, sizeof(left), "until unblock");
		if (json_is_number(json_object_get(b, "seconds_left")))
			snprintf(left, sizeof(left), "for %s more",
				text_duration(text_number(b, "seconds_left"), time));
		note(out, i ? "           " : "blocked    ", "%s %s, %.0f refused",
			text_string(b, "prefix", "?"), left, text_number(b, "refused"));
	}
}

static void show_alarms(const json_t *d, FILE *out)
{
	char time[TEXT_SHORT_BYTES];
	const json_t *text;
	size_t i;

	json_array_foreach (json_object_get(d, "not_enforced"), i, text)
		note(out, "! NOT ENFORCED ", "%s", json_string_value(text) ? json_string_value(text) : "?");
	if (!text_number(d, "supervisor_pid"))
		note(out, "! ",
			"The supervisor is gone since %s: no worker can be started any more; "
			"start the dispatcher again.",
			text_time(text_string(d, "supervisor_gone", "?"), time));
	show_last_reload(json_object_get(d, "last_reload"), out);
	show_upgrade(d, out);
	if (json_is_true(json_object_get(d, "config_changed_on_disk")))
		note(out, "! ", "The configuration on disk has changed since it was loaded.");
	if (text_number(d, "log_lines_dropped") > 0)
		note(out, "! ", "%.0f log lines could not be written.",
			text_number(d, "log_lines_dropped"));
}

static void show_service(const json_t *s, bool detailed, FILE *out)
{
	show_line(s, out);
	show_why(s, out);
	if (detailed) {
		show_service_details(s, out);
		return;
	}
	for (size_t kind = 0; kind < ARRAY_LEN(oddities); kind++)
		show_oddity(s, kind, out);
	show_queue(s, out);
	show_losses(s, out);
	show_bad_exit(s, out);
	show_ending_certificates(s, out);
}

void show_status(const json_t *document, bool detailed, FILE *out)
{
	const json_t *d = json_object_get(document, "dispatcher");
	const json_t *service;
	size_t i;

	show_head(d, out);
	show_blocks(d, out);
	show_alarms(d, out);
	fprintf(out, "\n  %-16s %-12s %11s %-10s %5s %9s %8s\n", "SERVICE", "STATE", "CONNS/LIMIT", "",
		"USE", "WORKERS", "WAITING");
	for (unsigned condition = 0; condition < CONDITIONS; condition++)
		json_array_foreach (json_object_get(document, "services"), i, service)
			if (condition_of(service) == condition)
				show_service(service, detailed, out);
}
