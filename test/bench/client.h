/* Drives many connections at a time against one server and counts what became of each. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "test/bench/histogram.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum client_mode {
	CLIENT_SHORT, /* connect, send a request if there is one, read the first bytes, close */
	CLIENT_ECHO,  /* connect, send, read it back, close */
	CLIENT_HOLD,  /* as echo, but all stay open together before they echo once more */
};

enum client_failure {
	CLIENT_REFUSED,	 /* connect failed */
	CLIENT_RESET,	 /* the server reset it */
	CLIENT_CUT,	 /* end of file too early, or anything at all while held */
	CLIENT_MISMATCH, /* what came back is not what was sent */
	CLIENT_TIMEOUT,
	CLIENT_OTHER,
	CLIENT_FAILURES
};

struct client_plan {
	enum client_mode mode;
	struct sockaddr_storage to;
	socklen_t to_len;
	uint32_t concurrency; /* in hold mode: at most so many not yet held */
	uint64_t count;	      /* connections in all */
	uint64_t time_ms;     /* no new one after this; 0 = only count ends it */
	uint64_t rate;	      /* begin so many a second whatever is answered; 0 = when one has ended */
	uint64_t timeout_ms;  /* for each connection to get its answer */
	uint64_t hold_ms;
	uint32_t payload_bytes; /* of an echo */
	const char *request;	/* of short, below PAYLOAD_MAX bytes; NULL: the server speaks first */
	uint32_t sources;	/* source addresses from 127.0.0.2 on; 0 = the kernel's choice */
	bool fin;		/* end with FIN: leaves TIME_WAIT behind; else with RST */
	void (*on_held)(uint64_t held); /* hold mode: all are open now */
};

struct client_result {
	uint64_t done, failed[CLIENT_FAILURES];
	uint64_t elapsed_ns, cpu_ns; /* cpu: of this process, while it ran the plan */
	struct histogram latency_ns; /* from connect, or from when it was due, to the answer */
};

/* 0, or -errno of the client itself (no descriptors, no memory). Failed connections are counted. */
int client_run(const struct client_plan *plan, struct client_result *ret_result);

#endif
