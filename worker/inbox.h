/* The receiving end of the channel: takes a record only when there is a free descriptor for every
 * socket that it may bring, since the kernel closes what does not fit. */
#ifndef WORKER_INBOX_H
#define WORKER_INBOX_H

#include "common/msg.h"
#include "worker/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define INBOX_BYTES 4096 /* longer records are of a kind that this library does not know */

struct inbox_ops {
	void (*offer)(void *arg, const struct msg_conn *conns, const int *fds,
		unsigned count); /* owns fds */
	void (*control)(void *arg, struct msg_reader *message);
	void (*memory)(void *arg, enum msg_type type, int fd); /* owns fd */
	void (*gone)(void *arg);              /* nobody holds the other end any more */
	void (*failed)(void *arg, int error); /* a record was dropped: -errno */
	unsigned (*open_conns)(void *arg);
};

struct inbox {
	struct loop *loop;
	uv_timer_t again;
	const struct inbox_ops *ops;
	void *arg;
	uint64_t limit; /* of descriptors */
	int fd;
	bool polled;
	bool waiting; /* for a free descriptor */
	uint8_t buf[INBOX_BYTES];
};

/* Raises the soft limit of descriptors (within the hard one) to what so many connections need. */
void inbox_raise_limit(unsigned max_conns);

/* Waits for the first record and receives it into malloc'd memory. 0 or -errno. */
int inbox_first(int fd, void **ret_buf, size_t *ret_len);

/* fd is borrowed. 0 or -errno. */
int inbox_init(struct inbox *in, struct loop *loop, int fd, const struct inbox_ops *ops, void *arg);
void inbox_start(struct inbox *in);   /* the loop names the inbox when the channel is readable */
void inbox_receive(struct inbox *in); /* then: one record */
void inbox_stop(struct inbox *in);    /* leaves what is unread to the dispatcher */
void inbox_room(struct inbox *in);    /* a descriptor was closed */
void inbox_close(struct inbox *in);   /* its handle goes at the loop's next turn */

#endif
