/* What an adapted server is told by its environment, and the memory that its processes share.
 *
 * A server that was never written for us gets its offers on the channel as every worker does, but
 * is told nothing by messages: where its descriptors are and what it listens on stands in one
 * variable. First line "1 CHANNEL PAGE BELL DOORBELL RING STYLE SIGNAL" (numbers; STYLE is silent
 * or eof), then a line per listener in the order of its index: "127.0.0.1:25", "[::]:25",
 * "unix:/run/x", or "-" where an index stands for none (family 0). */
#ifndef COMMON_ADAPTER_H
#define COMMON_ADAPTER_H

#include "common/addr.h"
#include "common/page.h"

#define ADAPTER_ENV           "DISPATCHER_ADAPTER"
#define ADAPTER_MAX_LISTENERS 64   /* one bit each in a mask */
#define ADAPTER_TEXT_BYTES    8192 /* the longest text fits */
#define ADAPTER_SLOT_BITS     20   /* of a tag: slot | generation << ADAPTER_SLOT_BITS */
#define ADAPTER_SLOTS         (1u << ADAPTER_SLOT_BITS)
#define ADAPTER_MAX_BOUND     64 /* different addresses that one worker's processes bind */

struct adapter_head {
	int channel, page, bell, doorbell; /* descriptors */
	uint32_t ring_len;                 /* entries of the page's ring */
	bool ends_by_eof;                  /* STYLE eof */
	int stop_signal;
};

struct adapter_listener {
	struct addr addr;
	char path[108]; /* of AF_UNIX */
};

struct adapter {
	struct adapter_head head;
	unsigned listener_count;
	struct adapter_listener listeners[ADAPTER_MAX_LISTENERS];
};

/* Writes the text (without the variable's name), NUL-terminated. Its length, -ENOBUFS when it does
 * not fit, -E2BIG with too many listeners, or -EINVAL when a name could not be read again. */
int64_t adapter_write(const struct adapter_head *head, const char *const *names, unsigned count,
	char *ret_text, size_t size);

/* Reads one name. 0 or -EINVAL. */
int adapter_read_listener(const char *name, struct adapter_listener *ret_listener);

/* Reads the whole text. 0, or -EINVAL. */
int adapter_read(const char *text, struct adapter *ret_adapter);

/* The listeners (bits by index) that a socket of the program bound to `bound` stands for. is_dual:
 * an IPv6 socket that takes IPv4 clients too. Not for AF_UNIX. */
uint64_t adapter_covers(const struct adapter *a, const struct addr *bound, bool is_dual);

/* All listeners as bits. */
uint64_t adapter_every(const struct adapter *a);

/* --- the memory: behind the page of an adapted worker lies what only its own processes read --- */

struct adapter_entry {
	_Atomic uint64_t
		state; /* tag << 32 | references of descriptors; no reference: it is free */
	_Atomic uint64_t cookie; /* SO_COOKIE of one that is on its way to another process */
};

#define ADAPTER_MAX_OPTIONS 8

/* A socket option of a listener that accepted sockets have from it. */
struct adapter_option {
	int32_t level, name;
	uint32_t len;
	uint8_t value[20];
};

/* An address that a process of the worker bound. */
struct adapter_bound {
	_Atomic uint32_t is_set;
	_Atomic uint64_t
		cookie; /* SO_COOKIE of a descriptor of it that was passed to another process */
	int32_t domain; /* of the program's socket */
	int32_t is_v6only;
	uint32_t name_len;
	uint64_t mask; /* listeners that it stands for */
	struct sockaddr_storage name;
	_Atomic uint32_t option_count;
	struct adapter_option options[ADAPTER_MAX_OPTIONS];
};

struct adapter_area {
	_Atomic uint32_t turn;    /* thread id of who looks for the first offer's listener */
	_Atomic uint32_t rung;    /* as page_ring() */
	_Atomic uint32_t leader;  /* process id of the first process */
	_Atomic uint32_t gone;    /* 1: nobody sends any more */
	_Atomic uint64_t covered; /* listeners for which the program called listen() */
	_Atomic uint32_t passing; /* connections on their way between processes */
	_Atomic uint32_t passed;  /* listeners that were passed */
	_Atomic uint32_t highest; /* beyond the highest slot that was ever taken */
	struct adapter_bound bound[ADAPTER_MAX_BOUND];
};

/* Bytes of the memory of an adapted worker's page: page, area, ring_len words of it, and an entry
 * per slot. Most of it is never touched, and costs nothing. */
size_t adapter_page_bytes(uint32_t ring_len);

/* Where the parts lie. */
struct adapter_area *adapter_area(struct page *page, uint32_t ring_len);
_Atomic uint64_t *adapter_puts(struct page *page, uint32_t ring_len);
struct adapter_entry *adapter_entries(struct page *page, uint32_t ring_len);

#endif
