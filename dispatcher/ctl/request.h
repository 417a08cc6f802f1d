/* One question to a running dispatcher over its control socket, and the answer. */
#ifndef CTL_REQUEST_H
#define CTL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define REQUEST_SILENCE_MS 10000
#define REQUEST_BYTES 4096 /* the longest that the dispatcher reads */

/* Exit statuses of dispatcherctl; the dispatcher's own answers use the same. */
enum request_status { REQUEST_OK, REQUEST_REFUSED, REQUEST_USAGE, REQUEST_NOT_RUNNING };

struct reply {
	int status;  /* enum request_status, or another that the dispatcher chose */
	char *error; /* owned: text for people; NULL if there is none */
	char *body;  /* owned, NUL-terminated; NULL if the status is not from the dispatcher */
	size_t body_len;
	bool is_lost; /* connected, and not a byte came back before the end */
};

/* A request: {"verb": verb, "args": [argument]}, to be added to; argument may be NULL. */
json_t *request_new(const char *verb, const char *argument);

/* Asks; *ret_reply is the caller's whatever happens. Gives up after silence_ms without a byte.
 * The returned status is also in the reply, with an error text unless it is 0. */
int request_ask(const char *path, const json_t *request, unsigned silence_ms, struct reply *ret_reply);

void reply_deinit(struct reply *reply);

#endif
