/* A worker's report page and its doorbell: how a worker reports without passing a message.
 *
 * The page is sealed memory that one worker writes and the acceptor reads. The bell is memory that the
 * acceptor writes and that worker reads. Both sides store with sequential consistency, then
 * look again at the other's word before they sleep; weaker orders lose wake-ups.
 *
 *   worker:   store done (or taken, ready, beat); read bell; if armed anew, write one byte to the pipe
 *   acceptor: arm the bell; read the page again; then sleep
 *
 * What stands in a page is a claim: the acceptor believes it only as far as it gave itself
 * (done <= taken <= given), and every slot in the ring must be one it gave to this worker. */
#ifndef COMMON_PAGE_H
#define COMMON_PAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_VERSION 1
#define PAGE_LINE_BYTES 128

struct page {
	uint32_t version;	/* PAGE_VERSION, set by whoever makes the page */
	uint32_t ring_len;	/* the same as in MSG_RING; the acceptor never reads it from here */
	_Atomic uint32_t ready; /* 1 once on_start has succeeded */
	char line[PAGE_LINE_BYTES]; /* the worker's own line of state; not always NUL-terminated */
	_Alignas(64) _Atomic uint64_t done; /* connections finished; entry (done - 1) is in the ring */
	_Atomic uint64_t taken;		    /* connections read from the channel */
	_Atomic uint64_t beat;		    /* nonce of the last MSG_PING that was read */
	_Alignas(64) _Atomic uint32_t ring[]; /* connection slots that are done, at done % ring_len */
};

struct bell {
	_Alignas(64) _Atomic uint32_t armed; /* changes whenever the acceptor wants to be rung once */
};

/* Ring entries for a worker with at most max_conns connections; what fits in the page's first 4 KiB costs
 * nothing, and lets max_conns grow while the worker lives. */
uint32_t page_ring_len(uint32_t max_conns);
size_t page_bytes(uint32_t ring_len);

/* Makes sealed memory of bytes bytes, zeroed (mode 0600, so that it cannot be opened again by
 * another user; cannot shrink or grow: no SIGBUS). A descriptor or -errno. */
int page_memory(const char *name, size_t bytes);

/* Opens the memory again for reading only. A descriptor or -errno. */
int page_readonly(int fd);

/* Maps memory; NULL with errno on failure. Undo with munmap. */
void *page_map(int fd, size_t bytes, int writable);

/* --- the worker's side: call these in one thread at a time --- */
void page_set_ready(struct page *page);
void page_add_taken(struct page *page, uint32_t count);
void page_add_done(struct page *page, uint32_t slot);
void page_set_beat(struct page *page, uint64_t nonce);
void page_set_line(struct page *page, const char *text);

/* After any of these: rings the pipe (non-blocking) if the bell was armed since the last ring.
 * *rung is the caller's memory of that, 0 at first. */
void page_ring(const struct bell *bell, int pipe_fd, uint32_t *rung);

/* --- the acceptor's side --- */
struct page_claims {
	uint64_t done, taken, beat;
	uint32_t ready;
};

/* Reads in the order beat, done, taken: whatever was read before a beat is in taken, and what is done
 * was taken. Nothing is checked. */
void page_read(const struct page *page, struct page_claims *ret_claims);
uint32_t page_done_slot(const struct page *page, uint32_t ring_len, uint64_t index);
void page_arm(struct bell *bell);

/* Copies the worker's line, printable characters only, NUL-terminated. */
void page_copy_line(const struct page *page, char ret_line[PAGE_LINE_BYTES]);

#endif
