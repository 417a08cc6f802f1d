/* One worker as the acceptor sees it: its channel, its report page, its doorbell. Offers go out here
 * and claims are checked here; who gets what is decided elsewhere. */
#ifndef ACCEPTOR_SLOT_H
#define ACCEPTOR_SLOT_H

#include "common/ledger.h"
#include "common/msg.h"
#include "common/page.h"
#include "dispatcher/acceptor/conns.h"
#include "dispatcher/acceptor/hang.h"
#include "dispatcher/link.h"
#include "dispatcher/policy/pool.h"

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

struct slot;

struct slot_ops {
	void (*rang)(struct slot *s);		    /* the doorbell rang: refresh */
	void (*hung_up)(struct slot *s);	    /* nobody holds the doorbell any more */
	void (*released)(struct slot *s);	    /* slot_release is complete */
	void (*finished)(struct slot *s, uint32_t conn); /* this connection is done; still in the table */
};

/* As the supervisor says it: LINK_STALE. */
struct slot_stale {
	enum link_stale why;
	uint64_t drain_ms, since_ms;
};

/* As the supervisor says it: LINK_WORKER. */
struct slot_kind {
	bool is_adapted; /* an unmodified server: offers are all it is sent (adapted.h) */
	bool ends_by_eof;
	int stop_signal;
	uint64_t listeners; /* those that it was started for, a bit each */
};

/* What is remembered of one that is adapted. */
struct slot_outside {
	uint64_t most_served; /* connections at a time, read by it and not ended */
	uint64_t quiet_ms, quiet_taken; /* all has been read, and so much was said to be, since then */
	uint64_t robbed_ms, robbed_sum; /* when, and what it had taken and served by then */
	uint64_t look_ms; /* ... look at its processes again; 0: no */
	bool seen;	  /* ... they live, and are not stopped */
	bool stopping;	  /* STOP_SIGNAL was sent */
	bool ended;	  /* its end of file was sent */
	struct hang_sight sight; /* with HANG_TIMEOUT: when it was first looked at */
	bool unfit;	  /* what is wrong with it has been looked into */
};

struct slot {
	uint32_t index;	 /* in the service */
	uint32_t serial; /* 0: empty */
	pid_t pid;
	bool exited, liar, armed, releasing, killed;
	bool exit_told; /* taken over: the last acceptor has logged its end */
	bool unsettled; /* taken over: what is unread is not known before it answers a ping */
	uint64_t asked_given; /* what it must have taken when it answers the last ping, at least */
	struct hang hang; /* with HANG_TIMEOUT */
	struct slot_kind kind;
	struct slot_outside outside; /* of an adapted one */
	uint64_t wall_ready_ms;
	struct slot_stale stale;
	bool image_replaced; /* on disk, since it was started */
	enum pool_reason cutting; /* it was told to go with connections open: they end by that */
	int status;	/* of waitpid(2), once exited */
	int chan, bell_fd;
	uint32_t ring_len;
	struct page *page;
	struct bell *bell;
	struct ledger_worker *book;
	struct slot *busy_prev, *busy_next; /* private to the owner: list of those with connections */
	bool busy;
	void *owner;
	const struct slot_ops *ops;
	uv_poll_t poll;
};

/* What a refresh learned. */
struct slot_news {
	uint32_t taken, done; /* more than before */
	bool ready, answered;
	bool overrun; /* reports were lost: the ring had no room for them */
	const char *lie; /* NULL, or the claim that cannot be */
};

enum slot_answer { SLOT_FULL = 1, SLOT_GONE = 2 };

#define SLOT_FDS 4 /* channel, page, doorbell, bell */

/* A worker runs here, whose page has a ring of ring_len. fds are owned whatever it returns. 0 or -errno. */
int slot_attach_consume(struct slot *s, uv_loop_t *loop, const int fds[SLOT_FDS], uint32_t ring_len,
	uint32_t serial, pid_t pid);

/* Everything that was sent to it has been read, by whomever. */
bool slot_has_read(const struct slot *s);

/* Closes everything; ops->released follows from the loop. */
void slot_release(struct slot *s);

/* Reads the page; settles in books and table what is credible. */
void slot_refresh(struct slot *s, struct conns *conns, uint64_t now_ms, struct slot_news *ret_news);

/* A connection of an adapted worker has ended, as the kernel says. True: it was booked as unread. */
bool slot_freed(struct slot *s, struct conns *conns, uint32_t conn);

/* Connections that it has: given, and neither done nor freed. */
uint32_t slot_open(const struct slot *s);
uint64_t slot_served(const struct slot *s); /* those that have ended */

/* Asks to be rung at the next change. The caller refreshes once more afterwards. */
void slot_arm(struct slot *s);

/* Offers accepted sockets, borrowed: the caller closes its copies. Table and books must already say
 * that they are offered. 0, SLOT_FULL, SLOT_GONE or -errno. */
int slot_offer(struct slot *s, const struct msg_conn *conns, const int *fds, unsigned count);

/* As slot_offer. */
struct limits;
int slot_tell(struct slot *s, const struct limits *limits);

/* Connections that could all be done before its page is read, and no entry of the ring be lost. Less than
 * max_conns only while a worker lives that was born when that was less. */
uint32_t slot_ring_room(const struct slot *s);

/* Control messages; lost ones are said again by the next ping or signal. As slot_offer. */
int slot_ping(struct slot *s);
int slot_reopen(struct slot *s); /* log files of its own */
int slot_retire(struct slot *s, uint64_t ms_left); /* 0: no deadline */
uint64_t slot_drain_ms(const struct slot *s); /* for slot_retire(), when it is told at once */

#endif
