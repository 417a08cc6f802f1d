/* The answer to a request over the control socket: a head line and a body, made piece by piece as the
 * client reads, so that none is large at any time. */
#ifndef ACCEPTOR_ANSWER_H
#define ACCEPTOR_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct acceptor;
struct service;

/* Exit statuses of dispatcherctl, too. */
enum answer_status { ANSWER_DONE, ANSWER_REFUSED, ANSWER_USAGE, ANSWER_BUSY };

struct answer {
	char *text; /* the piece that is being written; owned */
	size_t len, sent;
	bool is_last; /* the acceptor ends behind this answer */
	/* Writes more of the body; false: that was the end. NULL: there is no more. */
	bool (*more)(struct answer *an, FILE *out);
	/* Called behind the last piece; the connection ends here, unless this duplicates it. NULL: not. */
	void (*then)(struct acceptor *a, int connection);
	struct acceptor *acceptor;
	const struct service *only; /* what the body is about; NULL: everything */
	uint32_t only_serial;	    /* 0: every worker */
	uint32_t service, item;	    /* where the next piece begins */
	bool begun;
};

/* Makes the head line the first piece. error may be NULL; more: of the head's JSON, as ",\"a\":1". */
void answer_head(struct answer *an, int status, const char *error, const char *more);

/* Adds text to the piece. */
void answer_add(struct answer *an, const char *text);

/* Makes the next piece when the last has been written; false: the answer is complete. */
bool answer_next(struct answer *an);

void answer_deinit(struct answer *an);

#endif
