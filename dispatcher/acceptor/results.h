/* How the last operations of operators ended, as the supervisor told it. */
#ifndef ACCEPTOR_RESULTS_H
#define ACCEPTOR_RESULTS_H

#include "dispatcher/link.h"

#define RESULTS_KEPT 16

struct result {
	uint64_t id;	/* 0: none */
	int status;	/* 0 done, 1 refused or failed */
	uint64_t ended_wall_ms;
	char verb[24];
	char *report;	/* owned: what to tell the operator; NULL: nothing */
};

struct results {
	struct result kept[RESULTS_KEPT];
	unsigned next;
};

/* Keeps what r (LINK_RESULT) says; the oldest makes place. Owns fd, which may be -1. */
void results_keep_consume(struct results *all, const struct link_record *r, int fd);

/* NULL: not heard of, or forgotten. */
const struct result *results_find(const struct results *all, uint64_t id);

void results_deinit(struct results *all);

#endif
