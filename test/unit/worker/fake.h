/* A dispatcher of a few lines that drives one worker over the real channel, page, bell and log
 * pipe. What does not happen within some seconds fails the test. */
#ifndef TEST_UNIT_WORKER_FAKE_H
#define TEST_UNIT_WORKER_FAKE_H

#include "common/msg.h"
#include "common/page.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_CONNS 400 /* slots that a test may use */

struct fake_options {
	const char *image;
	const char *const *params;      /* NAME=VALUE, NULL-terminated; NULL: none */
	const char *const *command;     /* words, NULL-terminated; NULL: none */
	const char *const *environment; /* beside PATH; NULL: nothing */
	uint32_t max_conns;             /* 0: 50 */
	uint32_t ring_len;              /* 0: what max_conns needs */
	uint64_t conn_timeout_ms, kill_timeout_ms, stacksize;
	unsigned nofile; /* both limits; 0: as they are */
	bool tls;        /* starts at once on both listeners */
};

struct fake {
	pid_t pid;
	int pidfd;
	int channel, doorbell, log;
	int kept; /* the worker's end of the channel, as the supervisor keeps it; -1: let go */
	struct page *page;
	struct bell *bell;
	uint32_t ring_len;
	uint64_t given, seen; /* offers; entries of the ring that were read */
	uint32_t next_slot;
	uint8_t done[FAKE_CONNS]; /* by slot */
	char output[65536];       /* what the worker wrote to stderr, from `read` on */
	size_t output_len, output_at;
};

struct fake *fake_start(const struct fake_options *o); /* ready when it returns */
struct fake *fake_spawn(const struct fake_options *o); /* not waited for */
void fake_end(struct fake *f);                         /* kills what still runs, frees */

/* One message with count connections over socket pairs (TCP over loopback, or unix); the clients'
 * ends. */
void fake_offer(struct fake *f, unsigned count, int *ret_clients);
void fake_offer_tcp(struct fake *f, unsigned count, int *ret_clients);

void fake_send(struct fake *f, const struct msg_writer *m);
/* The same with one descriptor: sealed memory that holds what m wrote. */
void fake_send_memory(struct fake *f, enum msg_type type, const struct msg_writer *m);
void fake_order(struct fake *f, enum msg_type type); /* a message without facts */
void fake_ping(struct fake *f, uint64_t nonce);
void fake_let_go(struct fake *f); /* closes both ends of the channel */

void fake_wait_taken(struct fake *f, uint64_t taken);
void fake_wait_done(struct fake *f, uint64_t done); /* fails on a slot that is done twice */
void fake_wait_beat(struct fake *f, uint64_t nonce);
int fake_wait_exit(struct fake *f); /* as of waitpid(2) */

/* Reads the log until a line contains text; lines before it are gone. Returns the line. */
const char *fake_expect_line(struct fake *f, const char *text);

/* Of a client: reads exactly len bytes, or to the end (fake_read_end: all there is). */
void fake_read(int client, void *buf, size_t len);
size_t fake_read_end(int client, void *buf, size_t size);
void fake_say(int client, const char *text);

#endif
