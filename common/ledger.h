/* The ledger: what must outlive the acceptor, in sealed memory that the supervisor keeps. Only the
 * acceptor that holds the baton writes it; a new one starts from it. */
#ifndef COMMON_LEDGER_H
#define COMMON_LEDGER_H

#include "common/addr.h"

#include <stddef.h>
#include <stdint.h>

#define LEDGER_VERSION 1

/* Counters of a service since the supervisor started. handed = done + lost + open. */
struct ledger_service {
	uint64_t accepted; /* connections taken from the kernel */
	uint64_t handed;   /* accepted and offered to a worker, each counted once */
	uint64_t lost;	   /* taken by a worker and cut by its death */
	uint64_t stolen_back; /* unread offers given to another worker */
	uint64_t refused;
	uint64_t held_ms;	/* time with listeners paused, all pauses ended so far */
	uint64_t held_since_ms; /* monotonic; 0 = not held */
	uint64_t spawns;
	uint32_t peak; /* most connections at a time */
	int32_t last_status; /* of the last worker that exited, as of waitpid(2) */
	uint64_t last_exit_wall_ms; /* 0 = none yet */
	uint32_t last_serial;
	uint32_t reserved;
};

/* A worker slot. serial 0: nobody. */
struct ledger_worker {
	uint32_t serial;
	int32_t pid;
	uint32_t state;	 /* enum pool_state when last written */
	uint32_t reason; /* enum pool_reason */
	uint64_t given;	 /* connections offered, less those stolen back: comparable with the page's taken */
	uint64_t taken;	 /* as far as believed */
	uint64_t done;	 /* entries of the page's ring that have been settled */
	uint64_t created_ms, created_wall_ms;
	uint64_t asked;	 /* nonce of the last ping */
	uint32_t peak; /* most connections at a time */
	uint32_t reserved;
};

enum ledger_phase { LEDGER_FREE, LEDGER_OPEN };

/* A connection slot. */
struct ledger_conn {
	uint32_t phase;	 /* enum ledger_phase */
	uint32_t worker; /* worker slot, over all services */
	uint32_t listener; /* index in the service */
	uint32_t next;	 /* private to the acceptor: its free list */
	uint64_t seq;	 /* order of offers, over all services */
	uint64_t accepted_ms, accepted_wall_ms;
	struct addr peer;
};

struct ledger {
	uint32_t version;
	uint32_t services, workers, conns;
	uint64_t bytes;
	uint64_t next_seq;
};

/* Sizes and makes the tables in zeroed memory. */
size_t ledger_bytes(uint32_t services, uint32_t workers, uint32_t conns);
void ledger_format(void *memory, uint32_t services, uint32_t workers, uint32_t conns);

/* 0, or -EBADMSG: another version or other sizes. */
int ledger_check(const struct ledger *ledger, size_t bytes, uint32_t services, uint32_t workers,
	uint32_t conns);

struct ledger_service *ledger_services(struct ledger *ledger);
struct ledger_worker *ledger_workers(struct ledger *ledger);
struct ledger_conn *ledger_conns(struct ledger *ledger);

#endif
