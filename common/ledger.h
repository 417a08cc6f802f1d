/* The ledger: what must outlive the acceptor, in sealed memory that the supervisor keeps. Only the
 * acceptor that holds the baton writes it; a new one starts from it.
 *
 * It describes itself: the head names the size of each kind of record, a region the records of each
 * service. Records only ever grow at their end, so a ledger of another build is carried over by copying
 * what both know. Whoever carries believes nothing that it did not check. */
#ifndef COMMON_LEDGER_H
#define COMMON_LEDGER_H

#include "common/addr.h"

#include <stddef.h>
#include <stdint.h>

#define LEDGER_VERSION 2
#define LEDGER_NONE UINT32_MAX

/* DISPATCHER_NEXT: a build of tomorrow, whose records are longer, for the test of upgrades. */
#ifdef DISPATCHER_NEXT
#define LEDGER_OF_TOMORROW uint64_t of_tomorrow;
#else
#define LEDGER_OF_TOMORROW
#endif

/* Counters of a service since the supervisor started. handed = done + lost + open; accepted = handed +
 * refused + left + those who wait for a worker. */
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
	uint32_t rescued; /* accepted by one acceptor, given by the next */
	uint64_t refused_full, refused_late; /* of refused: no place in the queue; waited too long there */
	uint64_t left;	     /* closed by themselves before a worker had room */
	uint64_t longest_ms; /* that anybody has waited in the queue */
	uint32_t reserved, queue_peak; /* most clients in the queue at a time */
	LEDGER_OF_TOMORROW
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
	uint64_t retired_ms; /* monotonic; 0: it does not retire */
	uint64_t told; /* digest of the limits that it has heard of; 0: not known */
	uint64_t reopened_ms; /* when it was asked last to open its log files again, as the supervisor says */
	/* of adapted workers (ADAPTER=server) alone */
	int64_t freed;	  /* connections that have ended without an entry of the ring: done + freed of given */
	uint64_t untold; /* ... that were read by somebody who never said so: part of taken */
	LEDGER_OF_TOMORROW
};

enum ledger_phase {
	LEDGER_FREE,
	LEDGER_OPEN,
	LEDGER_QUEUED, /* waits in its service's queue for a worker: LINK_QUEUE */
};

/* A connection slot. */
struct ledger_conn {
	uint32_t phase;	 /* enum ledger_phase */
	uint32_t worker; /* worker slot in the service */
	uint32_t listener; /* index in the service */
	uint32_t next;	 /* private to the acceptor: its free list */
	uint64_t seq;	 /* order of offers, over all services */
	uint64_t accepted_ms, accepted_wall_ms;
	struct addr peer;
	uint32_t used;	 /* how often the slot was: generation of an adapted worker's tag */
	uint32_t cookies; /* private to the acceptor: chain of its table of cookies */
	uint64_t cookie; /* SO_COOKIE, where the kernel tells of its end; 0: it does not */
	LEDGER_OF_TOMORROW
};

#define LEDGER_BLOCKS 64

/* Sources that nobody shall serve, by an operator's word. bits 0 with family 0: free. */
struct ledger_block {
	struct addr prefix; /* masked; no port */
	uint32_t bits, reserved;
	uint64_t since_wall_ms;
	uint64_t until_ms; /* monotonic; UINT64_MAX: until it is unblocked */
	uint64_t refused;  /* connections */
	uint64_t logged_ms; /* the last line about it */
};

struct ledger {
	uint32_t version;
	uint32_t services, workers, conns; /* records of all services */
	uint64_t bytes;
	uint64_t next_seq;
	uint32_t service_bytes, worker_bytes, conn_bytes, block_bytes; /* of one record */
	uint32_t blocks, reserved;
};

/* Where the records of one service are, in the tables of all. */
struct ledger_region {
	uint32_t first_worker, workers, first_conn, conns;
};

/* What one service needs, or has. */
struct ledger_need {
	uint32_t workers, conns;
};

/* Sizes (0: too large to be numbered) and makes the tables in zeroed memory, for services with these
 * needs. */
size_t ledger_bytes(const struct ledger_need *needs, uint32_t services);
void ledger_format(void *memory, const struct ledger_need *needs, uint32_t services);

/* 0, or -EBADMSG: another version, not whole, or not of so many services. */
int ledger_check(const struct ledger *ledger, size_t bytes, uint32_t services);

/* 0 when ledger_check says so and the records are those of this build, which the accessors below need. */
int ledger_check_own(const struct ledger *ledger, size_t bytes, uint32_t services);
struct ledger_need ledger_has(const struct ledger *ledger, uint32_t service);
struct ledger_service *ledger_service(struct ledger *ledger, uint32_t service);
struct ledger_worker *ledger_workers(struct ledger *ledger, uint32_t service); /* has.workers of them */
struct ledger_conn *ledger_conns(struct ledger *ledger, uint32_t service);

struct ledger_block *ledger_blocks(struct ledger *ledger); /* LEDGER_BLOCKS of them */

/* For whoever reads what somebody else writes: each looks at head and region once, and believes nothing. */

/* The places of a service; none in a ledger that is not whole, or of another build's records. */
struct ledger_need ledger_places(const struct ledger *ledger, size_t bytes, uint32_t service);

/* Connections that workers have: given and not done. 0 where ledger_check_own would refuse it. */
uint64_t ledger_open_connections(const struct ledger *ledger, size_t bytes, uint32_t services);

/* Calls each with a copy of every record in use of a service. 0, or -EBADMSG: it is not whole. */
int ledger_each_conn(const struct ledger *ledger, size_t bytes, uint32_t service,
	void (*each)(void *user, const struct ledger_conn *conn), void *user);

/* How much of a service's records is in use: the highest used index and one, of any build's ledger. */
struct ledger_need ledger_in_use(const struct ledger *ledger, size_t bytes, uint32_t service);

/* Copies all that old knows into a fresh ledger. map: for each service of ledger its index in old, or
 * LEDGER_NONE. What is in use must have a place (ledger_in_use). 0, or -EBADMSG: old is not whole. */
int ledger_carry(struct ledger *ledger, const struct ledger *old, size_t old_bytes, const uint32_t *map);

#endif
