/* A worker that speaks the bare protocol, so that tests can break each rule of it by hand. */
#ifndef TEST_RAW_H
#define TEST_RAW_H

#include "common/msg.h"
#include "common/page.h"

#include <stdbool.h>

#define RAW_CHANNEL 3
#define RAW_PAGE 4
#define RAW_BELL 5
#define RAW_DOORBELL 6
#define RAW_CONNS 256

struct raw_conn {
	int fd;
	uint32_t slot;
};

struct raw {
	struct page *page;
	const struct bell *bell;
	uint32_t ring_len, serial, rung;
	char params[16][256]; /* NAME=VALUE */
	unsigned param_count;
	struct raw_conn conns[RAW_CONNS];
	unsigned count;
	bool retiring;
	bool deaf; /* ignores RETIRE */
};

/* Waits for MSG_SETUP and maps the page. Exits with a message when that fails: it is a test. */
void raw_init(struct raw *r);
const char *raw_param(const struct raw *r, const char *name); /* NULL: not set */

void raw_wait(int fd); /* until it is readable */

/* One message from the channel; true if it offered connections. False: none, or another. */
bool raw_read(struct raw *r);

/* Waits up to ms, serves whoever speaks (echo). Exits once it retires and nobody is left. */
void raw_turn(struct raw *r, int ms);
void raw_ring(struct raw *r);

#endif
