/* Records with descriptors over a SOCK_SEQPACKET pair; never blocks. */
#ifndef COMMON_CHAN_H
#define COMMON_CHAN_H

#include <stddef.h>

#define CHAN_MAX_FDS 16

enum chan_answer {
	CHAN_FULL = 1,	/* of a send: later */
	CHAN_GONE = 2,	/* nobody holds the other end any more */
	CHAN_EMPTY = 3, /* of a receive: nothing waits */
};

/* Both ends non-blocking and close-on-exec. 0 or -errno. */
int chan_pair(int ret_ends[2]);

/* Room for so many bytes of records that nobody has read yet, sent on this end, each of which counts as
 * CHAN_RECORD_BYTES if it is short. Returns how much there is: without CAP_NET_ADMIN perhaps less. */
#define CHAN_RECORD_BYTES 1024
#define CHAN_QUEUE_BYTES ((size_t)1024 * CHAN_RECORD_BYTES) /* for the longest queue of clients */
size_t chan_make_room(int end, size_t bytes);

/* Sends one record with fds (borrowed). 0, CHAN_FULL, CHAN_GONE or -errno. */
int chan_send(int fd, const void *buf, size_t len_bytes, const int *fds, unsigned fd_count);

/* Receives one record; its descriptors are the caller's, close-on-exec. A record longer than size or
 * with more than max_fds descriptors is consumed, its descriptors are closed, and the answer is
 * -EMSGSIZE. 0, CHAN_EMPTY, CHAN_GONE (end of file) or -errno. */
int chan_recv(int fd, void *buf, size_t size, size_t *ret_len, int *ret_fds, unsigned max_fds,
	unsigned *ret_count);

/* The same, but the record stays: its descriptors are duplicates. Every open end of a channel sees it. */
int chan_peek(int fd, void *buf, size_t size, size_t *ret_len, int *ret_fds, unsigned max_fds,
	unsigned *ret_count);

#endif
