/* One question each, and its answer as text for people or as it is. */
#include "dispatcher/ctl/look.h"
#include "config/verify.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/kernel.h"
#include "dispatcher/ctl/show.h"
#include "dispatcher/ctl/text.h"
#include "dispatcher/ctl/watch.h"

static const char *argument_of(const struct command *c)
{
	return c->arg_count ? c->args[0] : NULL;
}

/* --json passes the document through untouched; what is no JSON is shown to nobody as one. */
static int print_as_it_is(const struct command *c, const char *verb)
{
	struct reply reply;
	int status = ask_or_say_consume(c, request_new(verb, argument_of(c)), &reply);
	json_t *document;

	if (!status) {
		document = json_loadb(reply.body, reply.body_len, 0, NULL);
		if (document) {
			fwrite(reply.body, 1, reply.body_len, c->out);
		} else {
			ask_say(c, "the dispatcher's answer is no JSON");
			status = REQUEST_REFUSED;
		}
		json_decref(document);
	}
	reply_deinit(&reply);
	return status;
}

int look_status(const struct command *c)
{
	json_t *document;
	int status;

	if (c->options & COMMAND_WATCH)
		return watch_status(c);
	if (c->options & COMMAND_JSON)
		return print_as_it_is(c, "status");
	document = ask_document_or_say(c, "status", argument_of(c), &status);
	if (document)
		show_status(document, c->arg_count > 0, c->out);
	json_decref(document);
	return status;
}

int look_connections(const struct command *c)
{
	int status;
	json_t *document = ask_document_or_say(c, "connections", argument_of(c), &status);

	if (document && !(c->options & COMMAND_BY_SOURCE))
		kernel_add_queues(document);
	if (document && c->options & COMMAND_JSON) {
		json_dumpf(document, c->out, JSON_INDENT(1));
		fputc('\n', c->out);
	} else if (document && c->options & COMMAND_BY_SOURCE) {
		show_sources(document, c->out);
	} else if (document) {
		show_connections(document, c->out);
	}
	json_decref(document);
	return status;
}

static int print_text(const struct command *c, const char *verb, const char *before)
{
	struct reply reply;
	int status = ask_or_say_consume(c, request_new(verb, argument_of(c)), &reply);

	if (!status) {
		fputs(before, c->out);
		text_print(c->out, reply.body);
	}
	reply_deinit(&reply);
	return status;
}

int look_config(const struct command *c)
{
	return print_text(c, "config", "");
}

int look_check(const struct command *c)
{
	return verify_file(c->args[0], c->out, c->err, NULL) ? REQUEST_REFUSED : REQUEST_OK;
}

int look_version(const struct command *c)
{
	fprintf(c->out, "dispatcherctl " VERSION "\n");
	return print_text(c, "version", "running dispatcher ");
}
