/* The listening socket outlives the process that answers on it. A connection that ends without an answer
 * was one to a process that is gone; what is asked again may be asked twice, because looking changes
 * nothing and an order has an id. */
#include "dispatcher/ctl/ask.h"
#include "common/clock.h"
#include "dispatcher/ctl/text.h"

#include <time.h>

#define AGAIN_MS 20

void ask_pause(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

int ask_consume(const struct command *c, json_t *request, struct reply *ret_reply)
{
	uint64_t until_ms = clock_mono_ms() + c->silence_ms;

	for (;;) {
		int status = request_ask(c->socket, request, c->silence_ms, ret_reply);

		if (!ret_reply->is_lost || clock_mono_ms() >= until_ms) {
			json_decref(request);
			return status;
		}
		reply_deinit(ret_reply);
		ask_pause(AGAIN_MS);
	}
}

void ask_say(const struct command *c, const char *text)
{
	fputs("dispatcherctl: ", c->err);
	text_print(c->err, text);
	fputc('\n', c->err);
}

int ask_or_say_consume(const struct command *c, json_t *request, struct reply *ret_reply)
{
	int status = ask_consume(c, request, ret_reply);

	if (status)
		ask_say(c, ret_reply->error ? ret_reply->error : "refused");
	return status;
}

static json_t *document_of(const struct command *c, const struct reply *reply, bool says, int *ret_status)
{
	json_t *document = json_loadb(reply->body, reply->body_len, JSON_DECODE_ANY, NULL);

	if (document)
		return document;
	*ret_status = REQUEST_REFUSED;
	if (says)
		ask_say(c, "the dispatcher's answer is no JSON");
	return NULL;
}

static json_t *ask_for(const struct command *c, const char *verb, const char *argument, bool says,
	int *ret_status)
{
	struct reply reply;
	json_t *request = request_new(verb, argument), *document = NULL;

	*ret_status = says ? ask_or_say_consume(c, request, &reply) : ask_consume(c, request, &reply);
	if (!*ret_status)
		document = document_of(c, &reply, says, ret_status);
	reply_deinit(&reply);
	return document;
}

json_t *ask_document(const struct command *c, const char *verb, const char *argument, int *ret_status)
{
	return ask_for(c, verb, argument, false, ret_status);
}

json_t *ask_document_or_say(const struct command *c, const char *verb, const char *argument,
	int *ret_status)
{
	return ask_for(c, verb, argument, true, ret_status);
}
