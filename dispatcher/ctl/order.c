/* An order is sent under an id chosen here; then whichever process answers is asked how it ended. What
 * runs in the background afterwards, as old workers that finish, is waited for by looking (wait.c). */
#include "dispatcher/ctl/order.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/text.h"
#include "dispatcher/ctl/verbs.h"
#include "dispatcher/ctl/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#define POLL_FIRST_MS 10
#define POLL_MOST_MS 200
#define ASK_AGAIN ": ask again" /* how the dispatcher refuses what it has no room for just now */
#define REMIND_MS 5000	 /* the order may have been lost with the process that took it */
#define RESULT_MS 900000 /* the slowest: a reload that waits for workers to be ready */

struct order {
	const char *name; /* NULL: of no name */
	char id[20];
	int status; /* enum request_status */
	bool begun;
};

void order_add_options(const struct command *c, json_t *request)
{
	if (c->options & COMMAND_DRAIN)
		json_object_set_new(request, "drain_ms", json_integer((json_int_t)c->drain_ms));
	if (c->options & COMMAND_NOW)
		json_object_set_new(request, "now", json_true());
	if (c->options & COMMAND_DRY_RUN)
		json_object_set_new(request, "dry_run", json_true());
	if (c->options & COMMAND_TLS)
		json_object_set_new(request, "tls", json_true());
}

static json_t *request_of(const struct command *c, const struct order *o)
{
	json_t *request = request_new(c->verb->name, o->name);

	json_object_set_new(request, "id", json_string(o->id));
	order_add_options(c, request);
	return request;
}

static int choose_id(struct order *o)
{
	uint64_t id = 0;

	while (!id)
		if (getrandom(&id, sizeof(id), 0) < 0 && errno != EINTR)
			return REQUEST_REFUSED;
	snprintf(o->id, sizeof(o->id), "%016" PRIx64, id);
	return REQUEST_OK;
}

/* "smtp: text" where several are told apart. */
static void say(FILE *out, const struct order *o, bool several, const char *text)
{
	if (several && o->name && strncasecmp(text, o->name, strlen(o->name))) {
		text_print(out, o->name);
		fputs(": ", out);
	}
	text_print(out, text);
	if (!*text || text[strlen(text) - 1] != '\n')
		fputc('\n', out);
}

static void say_error(const struct command *c, const struct order *o, bool several, const char *text)
{
	fputs("dispatcherctl: ", c->err);
	say(c->err, o, several, text);
}

static void begin(const struct command *c, struct order *o, bool several)
{
	struct reply reply;

	o->status = choose_id(o);
	if (o->status) {
		say_error(c, o, several, "no random number can be had");
		return;
	}
	o->status = ask_consume(c, request_of(c, o), &reply);
	o->begun = !o->status;
	if (o->status)
		say_error(c, o, several, reply.error ? reply.error : "refused");
	reply_deinit(&reply);
}

/* Asks once more for the same operation. False: it is refused for good, said why in *ret_error, owned
 * and NULL without a text. Who has no room just now, or does not answer, is asked again later. */
static bool remind(const struct command *c, const struct order *o, char **ret_error)
{
	struct reply reply;
	int status = ask_consume(c, request_of(c, o), &reply);
	bool again = !status || status == REQUEST_NOT_RUNNING || (reply.error && strstr(reply.error, ASK_AGAIN));

	if (!again) {
		*ret_error = reply.error;
		reply.error = NULL;
	}
	reply_deinit(&reply);
	return again;
}

/* The order was refused when it was asked for again: it is under way no more, unless it has just ended. */
static json_t *last_look(const struct command *c, struct order *o, bool several, const char *error)
{
	json_t *result = ask_document(c, "result", o->id, &o->status);

	if (json_is_object(result))
		return result;
	json_decref(result);
	o->status = REQUEST_REFUSED;
	say_error(c, o, several, error ? error : "refused");
	return NULL;
}

/* The result; NULL when there is none to be had, said why. */
static json_t *wait_for(const struct command *c, struct order *o, bool several)
{
	uint64_t began_ms = clock_mono_ms(), reminded_ms = began_ms;
	unsigned pause_ms = POLL_FIRST_MS;
	OWNS_MEM char *error = NULL;

	for (;;) {
		json_t *result = ask_document(c, "result", o->id, &o->status);
		uint64_t now_ms = clock_mono_ms();

		if (json_is_object(result))
			return result;
		json_decref(result);
		if (o->status || now_ms - began_ms > RESULT_MS)
			break;
		if (now_ms - reminded_ms > REMIND_MS) {
			reminded_ms = now_ms;
			if (!remind(c, o, &error))
				return last_look(c, o, several, error);
		}
		ask_pause(pause_ms);
		pause_ms = MIN(pause_ms * 2, (unsigned)POLL_MOST_MS);
	}
	say_error(c, o, several, o->status ? "the dispatcher went away before it told the result" :
		"there is still no result; it goes on, see status");
	if (!o->status)
		o->status = REQUEST_REFUSED;
	return NULL;
}

static void finish(const struct command *c, struct order *o, bool several)
{
	json_t *result = o->begun ? wait_for(c, o, several) : NULL;

	if (!result)
		return;
	if (text_number(result, "status") > 0) {
		o->status = REQUEST_REFUSED;
		say_error(c, o, several, text_string(result, "text", "failed"));
	} else {
		say(c->out, o, several, text_string(result, "text", "done"));
	}
	json_decref(result);
}

int order_each(const struct command *c, const char *const *names, unsigned count, bool *ret_done)
{
	struct order *orders = calloc(count, sizeof(*orders));
	int status = orders ? REQUEST_OK : REQUEST_REFUSED;

	for (unsigned i = 0; orders && i < count; i++) {
		orders[i].name = names[i];
		begin(c, &orders[i], count > 1);
		if (orders[i].status == REQUEST_NOT_RUNNING)
			count = i + 1; /* nobody will hear the others */
	}
	for (unsigned i = 0; orders && i < count; i++) {
		finish(c, &orders[i], count > 1);
		if (ret_done)
			ret_done[i] = !orders[i].status;
		status = status ? status : orders[i].status;
	}
	free(orders);
	return status;
}

int order_plain(const struct command *c)
{
	const char *none = NULL;

	return order_each(c, &none, 1, NULL);
}

int order_services(const struct command *c)
{
	return order_each(c, (const char *const *)c->args, c->arg_count, NULL);
}

int order_block(const struct command *c)
{
	json_t *request = request_new(c->verb->name, c->args[0]);
	struct reply reply;
	int status;

	if (c->options & COMMAND_FOR)
		json_object_set_new(request, "for_ms", json_integer((json_int_t)c->for_ms));
	status = ask_or_say_consume(c, request, &reply);
	if (!status)
		text_print(c->out, reply.body);
	reply_deinit(&reply);
	return status;
}

/* --- restart --- */

/* The names of the open services of a status, to be freed; they live as long as it does. */
static const char **open_services(const json_t *status, unsigned *ret_count)
{
	const json_t *services = json_object_get(status, "services"), *s;
	const char **names = calloc(json_array_size(services) + 1, sizeof(*names));
	size_t i;

	*ret_count = 0;
	json_array_foreach(services, i, s)
		if (names && !strcmp(text_string(s, "state", ""), "open"))
			names[(*ret_count)++] = text_string(s, "name", "");
	return names;
}

static void say_if_changed(const struct command *c, const json_t *status)
{
	const json_t *d = json_object_get(status, "dispatcher");

	if (json_is_true(json_object_get(d, "config_changed_on_disk")))
		fputs("The configuration on disk has changed: restart does not read it, reload does.\n", c->out);
}

/* Whoever was there before, and whoever was started between that look and the order. */
static int wait_for_old(const struct command *c, const json_t *before, const char *const *names,
	unsigned count, const bool *done)
{
	int status;
	json_t *leaving = json_object(), *now = ask_document_or_say(c, "status", NULL, &status);

	for (unsigned i = 0; i < count; i++) {
		if (!done[i])
			continue;
		wait_add_workers(leaving, before, names[i], false);
		wait_add_workers(leaving, now, names[i], true);
	}
	if (now && json_object_size(leaving))
		status = wait_until_gone(c, leaving);
	json_decref(now);
	json_decref(leaving);
	return status;
}

static int restart(const struct command *c, const json_t *before, const char *const *names, unsigned count)
{
	OWNS_MEM bool *done = calloc(count, sizeof(*done));
	int status = done ? order_each(c, names, count, done) : REQUEST_REFUSED;

	say_if_changed(c, before);
	if (done && c->options & COMMAND_WAIT) {
		int waited = wait_for_old(c, before, names, count, done);

		status = status ? status : waited;
	}
	return status;
}

int order_restart(const struct command *c)
{
	int status;
	unsigned count = c->arg_count;
	json_t *before = ask_document_or_say(c, "status", NULL, &status);
	OWNS_MEM const char **open = before && !count ? open_services(before, &count) : NULL;

	if (!before)
		return status;
	if (!count)
		fputs("There is no open service.\n", c->out);
	else
		status = restart(c, before, open ? open : (const char *const *)c->args, count);
	json_decref(before);
	return status;
}
