/* Counts the connections of an adapted worker in memory that all its processes share.
 *
 * Several processes hold descriptors of one connection: each descriptor is a reference, and the
 * connection is done with the last. Everything is lock-free: a process may be killed, or a signal
 * handler may call close(), in the middle of any of these, and no other process waits for it. */
#ifndef COMMON_TALLY_H
#define COMMON_TALLY_H

#include "common/adapter.h"

struct tally {
	struct page *page;
	struct adapter_area *area;
	_Atomic uint64_t *puts;
	struct adapter_entry *entries;
	const struct bell *bell;
	uint32_t ring_len;
	int doorbell;
};

void tally_init(struct tally *t, struct page *page, uint32_t ring_len, const struct bell *bell,
	int doorbell);

/* The connection with this tag was read from the channel: one reference, and it counts as taken.
 * What stood in its slot before is forgotten (the dispatcher knows that it is gone). */
void tally_take(struct tally *t, uint32_t tag);

/* One more reference. False when the connection is done already. */
bool tally_refer(struct tally *t, uint32_t tag);

/* One reference less; with the last one it is reported as done. True if this one did. A tag that is
 * not open is ignored. */
bool tally_release(struct tally *t, uint32_t tag);

/* Connections that were taken and are not done, as far as is known. */
uint64_t tally_open(const struct tally *t);

/* These listeners got a listen(); with the last of `every` the worker is ready. */
void tally_cover(struct tally *t, uint64_t listeners, uint64_t every);

/* Keeps the cookie of a connection that is being passed to another process. */
void tally_pass(struct tally *t, uint32_t tag, uint64_t cookie);

/* Finds a connection that was passed by its cookie and hands over its reference. */
bool tally_find(struct tally *t, uint64_t cookie, uint32_t *ret_tag);

#endif
