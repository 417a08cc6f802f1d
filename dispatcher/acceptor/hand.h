/* What this process has accepted and not yet given to anybody, written by plain stores into memory that
 * its keeper shares: when this process is killed, that is all the keeper has to go by. */
#ifndef ACCEPTOR_HAND_H
#define ACCEPTOR_HAND_H

#include <stdatomic.h>
#include <stdint.h>

#define HAND_PLACES 32 /* connections of one service; at most 32, as `offering` has a bit for each */
#define HAND_BATCH 8   /* the first of them are for those that were just accepted */
#define HAND_SERVICES 16384
#define HAND_NAME_BYTES 40
#define HAND_NO_CONN UINT32_MAX
#define HAND_ENDING 256 /* refused clients of all services that have not read to the end */

struct hand_place {
	_Atomic int32_t fd; /* 0: empty */
	uint32_t conn;	    /* its connection slot; HAND_NO_CONN: it has none yet. Stays when fd goes */
};

struct hand_service {
	char name[HAND_NAME_BYTES];
	uint64_t handed;	   /* what the ledger said before the offer of `offering` */
	_Atomic int32_t offering;  /* bits of places that are being offered; 0: none */
	struct hand_place places[HAND_PLACES];
};

struct hand {
	_Atomic int32_t park;	  /* where the keeper puts what it finds; 0: nowhere yet */
	_Atomic int32_t listener; /* something may just have been accepted there; 0: no */
	uint32_t service;	  /* whose listener */
	uint32_t service_count;
	_Atomic int32_t ending[HAND_ENDING]; /* refused, and nobody's any more; 0: empty */
	struct hand_service services[];
};

/* One record in the park channel: connections of one service, a descriptor for each that has_fd. */
#define PARK_VERSION 1

struct park_record {
	uint32_t version, count;
	uint64_t handed;
	char service[HAND_NAME_BYTES];
	struct park_entry {
		uint32_t conn; /* HAND_NO_CONN: it was not entered anywhere */
		uint16_t has_fd;
		uint16_t offering; /* `handed` did not count it yet */
	} entries[HAND_BATCH];
};

struct hand *hand_new(void); /* zeroed, shared with children; NULL with errno */

/* The first empty place behind those of the batch, or HAND_PLACES. */
unsigned hand_free_place(const struct hand_service *h);

/* What stands before must be stored before, for a reader that looks only when the writer is dead: the
 * compiler must not move it; the machine does not matter. */
static inline void hand_in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void hand_store(_Atomic int32_t *where, int32_t value)
{
	hand_in_order();
	atomic_store_explicit(where, value, memory_order_relaxed);
	hand_in_order();
}

static inline void hand_accepts(struct hand *hand, uint32_t service, int listener)
{
	hand->service = service;
	hand_store(&hand->listener, listener);
}

static inline void hand_accepted(struct hand *hand)
{
	hand_store(&hand->listener, 0);
}

static inline void hand_put(struct hand_service *h, unsigned place, int fd, uint32_t conn)
{
	h->places[place].conn = conn;
	hand_store(&h->places[place].fd, fd);
}

/* After its descriptor was closed, or has another place: what stands nowhere is taken for just accepted. */
static inline void hand_drop(struct hand_service *h, unsigned place)
{
	hand_store(&h->places[place].fd, 0);
}

static inline void hand_offers(struct hand_service *h, uint64_t handed, uint32_t places)
{
	h->handed = handed;
	hand_store(&h->offering, (int32_t)places);
}

static inline void hand_offered(struct hand_service *h)
{
	hand_store(&h->offering, 0);
}

#endif
