/* What the adapter knows of each descriptor of this process: one word each, 0 for most. */
#ifndef WORKER_ADAPTER_FDS_H
#define WORKER_ADAPTER_FDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FDS_MAX (1 << 20) /* beyond it nothing is known of a descriptor */

enum fd_kind {
	FD_NONE,
	FD_OURS,  /* the adapter's own: the program sees none here */
	FD_BOUND, /* of the program, bound to an address of the service; value: index in area->bound
		   */
	FD_LISTENER, /* the same after listen(): it is the channel */
	FD_CONN,     /* a client's socket; value: tag */
	FD_EPOLL,    /* one in which a listener is registered */
};

#define FD_MAPPED 1u /* of FD_CONN: an IPv4 client on an IPv6 listener */

struct fds {
	_Atomic(_Atomic uint64_t *) words; /* NULL: this process is not adapted */
	_Atomic int highest;               /* no word beyond it is set */
};

static inline uint64_t fd_word(enum fd_kind kind, unsigned flags, uint32_t value)
{
	return (uint64_t)kind << 56 | (uint64_t)flags << 48 | value;
}

static inline enum fd_kind fd_kind(uint64_t word)
{
	return (enum fd_kind)(word >> 56);
}

static inline unsigned fd_flags(uint64_t word)
{
	return (unsigned)(word >> 48) & 0xff;
}

static inline uint32_t fd_value(uint64_t word)
{
	return (uint32_t)word;
}

/* The one load that every close() of the program pays. */
static inline uint64_t fds_get(struct fds *f, int fd)
{
	_Atomic uint64_t *words = atomic_load_explicit(&f->words, memory_order_acquire);

	if (!words || (unsigned)fd >= FDS_MAX)
		return 0;
	return atomic_load_explicit(&words[fd], memory_order_acquire);
}

/* 0 or -errno. */
int fds_init(struct fds *f);

/* What is beyond the table is not remembered. */
void fds_set(struct fds *f, int fd, uint64_t word);

/* Takes the word out: the one who gets it has to act on it. */
uint64_t fds_take(struct fds *f, int fd);

/* The first descriptor from `fd` on with a word, or -1. */
int fds_next(struct fds *f, int fd);

#endif
