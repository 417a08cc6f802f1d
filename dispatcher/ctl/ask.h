/* Questions of a command: asked again while the accepting process is being replaced. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "dispatcher/ctl/command.h"
#include "dispatcher/ctl/request.h"

/* As request_ask, but a connection that ends without an answer is made again, for silence_ms at most.
 * Owns request. */
int ask_consume(const struct command *c, json_t *request, struct reply *ret_reply);

/* As ask_consume, and says an error. */
int ask_or_say_consume(const struct command *c, json_t *request, struct reply *ret_reply);

/* The JSON of an answer; NULL: *ret_status says why, nothing was printed. argument may be NULL. */
json_t *ask_document(const struct command *c, const char *verb, const char *argument, int *ret_status);

/* As ask_document, and says an error. */
json_t *ask_document_or_say(const struct command *c, const char *verb, const char *argument,
	int *ret_status);

void ask_say(const struct command *c, const char *text); /* an error */
void ask_pause(unsigned ms);

#endif
