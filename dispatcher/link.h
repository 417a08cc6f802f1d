/* What supervisor and acceptor say to each other: fixed-size records over a SOCK_SEQPACKET channel
 * (common/chan.h), non-blocking on both sides. Each record states how something IS, never how it
 * changed, so a sender keeps one dirty flag per thing and says the newest state when there is room;
 * nothing is queued, nothing can be lost, and a new acceptor is told everything again.
 *
 * The supervisor believes of the acceptor only numbers in range, and enforces the limits itself. */
#ifndef DISPATCHER_LINK_H
#define DISPATCHER_LINK_H

#include <stdint.h>

#define LINK_VERSION 3
#define LINK_FD 3	   /* the acceptor's end, inherited */
#define LINK_LIFE_FD 4	   /* a pipe that ends when the acceptor and its keeper have ended, inherited */
#define LINK_TEXT_BYTES 256
#define LINK_TARGETS 14	   /* workers that one theft may give to */
#define LINK_STOLEN_MAX 500 /* connections that one theft may move */

enum link_type {
	/* supervisor -> acceptor; after LINK_HELLO everything that is, then LINK_GO */
	LINK_HELLO = 1, /* pid, created_*: the supervisor's; text: its version; id: when it was upgraded
			 * (wall_ms, 0: never); number: how often an acceptor has started;
			 * fds: settings, ledger, control listener, log pipe */
	LINK_SERVICE,	/* state of a service; fds: none. CLOSED, CLOSING: text: who closed it,
			 * created_wall_ms: when, status: enum link_lasts; text is empty when nobody did */
	LINK_LISTENER,	/* a listener of an open service; fd: the listening socket, none: close it */
	LINK_WORKER,	/* a worker runs in slot; number: entries of its page's ring; status: enum link_kind,
			 * of an adapted one error: its STOP_SIGNAL, id: a bit for each listener that it was
			 * started for; fds: channel, page, doorbell, bell (to be written) */
	LINK_EXITED,	/* the worker of slot is gone; the slot stays until LINK_RELEASE */
	LINK_STEALING,	/* a theft from slot is under way to targets (said to a new acceptor) */
	LINK_STOLEN,	/* a theft ended; fd: its struct link_loot; kept until LINK_STOLEN_SEEN */
	LINK_GO,	/* you know everything: accept */
	LINK_STALE,	/* the worker `serial` of slot shall be replaced: number is an enum link_stale;
			 * deadline_ms: TERM then, counted from when it takes nothing more */
	LINK_PREPARE,	/* before LINK_HELLO: fd: the settings that you will have; answer LINK_PREPARED when
			 * you are fit, else exit; then wait */
	LINK_PARK,	/* fds: the ends of a channel, for writing and for reading: what an acceptor had in
			 * hand when it ended, for the next; before LINK_GO */
	LINK_LEASE,	/* number 1: a former acceptor still has a right to the listeners: lose me, and you
			 * retire; 0: all is yours */
	LINK_LOADED,	/* created_wall_ms: when the settings in force were read; number 1: since then the
			 * files have changed on disk; of the last reload, if
			 * any, deadline_ms: when it ended (wall), status: 0 done, 1 refused, text */
	LINK_PING,	/* answer LINK_PONG */
	LINK_RESULT,	/* operation `id` has ended; number: 0 done, 1 refused or failed; text: of the verb;
			 * fd: what to tell the operator, in sealed memory */
	LINK_IMAGE,	/* number 1: the worker `serial` of slot was started from another file than its
			 * image is now on disk; 0: it is the same again */
	LINK_QUEUE,	/* fds: the ends of a channel, for writing and for reading: who waits for a worker
			 * of a service that refuses when it is full; before LINK_GO, if it has one */
	LINK_UNFIT,	/* the worker `serial` of slot cannot serve as it is: text says why, and what helps */
	LINK_TLS,	/* fd: what there is to tell of the certificates of service, as JSON in sealed memory */
	/* acceptor -> supervisor */
	LINK_UP = 32,	  /* I have begun to accept */
	LINK_PREPARED,	  /* the answer to LINK_PREPARE */
	LINK_PONG,	  /* the answer to LINK_PING */
	LINK_RUN,	  /* start a worker in slot */
	LINK_SIGNAL,	  /* send number to the worker `serial` in slot: TERM to it, KILL to its group */
	LINK_RELEASE,	  /* slot's worker `serial` is settled: close everything of it */
	LINK_STEAL,	  /* steal unread offers of slot, give to targets */
	LINK_STOLEN_SEEN, /* forget the result of the theft from slot */
	LINK_SHUTDOWN,	  /* an administrator asked: number 0 = drain within deadline_ms (UINT64_MAX: as
			   * configured), 1 = now */
	LINK_DRAINED,	  /* nothing waits on service's listeners any more: close them (LINK_CLOSING); round */
	LINK_IDLE,	  /* closing service has no worker any more; round */
	/* what an operator wants; `id` is hers, text says who she is; each ends in a LINK_RESULT */
	LINK_RESTART,	  /* replace the worker `serial` of slot, with serial 0 all of service; deadline_ms */
	LINK_CLOSE,	  /* close service; number: enum link_lasts; deadline_ms: of its workers */
	LINK_START,	  /* open service again; number: enum link_lasts */
	LINK_RENEW,	  /* replace the acceptor */
	LINK_RELOAD,	  /* read the configuration again; number: of enum link_reload */
	LINK_UPGRADE,	  /* become the installed binary */
	LINK_REOPEN,	  /* open the log files again */
	LINK_RECORD,	  /* leave the evidence of a worker, then send it number (SIGABRT or SIGKILL) */
	LINK_EXAMINE,	  /* the adapted worker `serial` of slot reads nothing: find out why; LINK_UNFIT */
};

/* Adapted: an unmodified server (ADAPTER=server). EOF: it is told by an end of file that nothing comes. */
enum link_kind { LINK_NATIVE, LINK_ADAPTED, LINK_ADAPTED_EOF };

enum link_reload {
	LINK_RELOAD_DRY = 1, /* only say what would change */
	LINK_RELOAD_TLS = 2, /* only the certificates and keys, of the configuration in force */
};

/* Why a worker is to be replaced. */
enum link_stale { LINK_STALE_NOT, LINK_STALE_RESTARTED, LINK_STALE_CHANGED, LINK_STALE_MEMORY };

/* How long a service that was closed stays closed: until it is started or everything is started anew,
 * or until it is enabled (remembered in STATE_DIR). */
enum link_lasts { LINK_LASTS_SHUTDOWN, LINK_LASTS_DISABLE };

enum link_service_state {
	LINK_CLOSED,  /* not enabled, or closed */
	LINK_FAILED,  /* cannot be opened; text says why; tried again */
	LINK_OPEN,    /* its listeners follow as LINK_LISTENER */
	LINK_CLOSING, /* accept what waits, retire everybody; deadline_ms */
};

enum link_theft { LINK_THEFT_DONE, LINK_THEFT_HUNG, LINK_THEFT_FAILED };

struct link_target {
	uint32_t slot;
	uint32_t room; /* connections that it may be given */
};

/* slot is an index within service; so are the slots of targets. The ledger says how many there are. */
struct link_record {
	uint16_t version;
	uint16_t type;
	uint32_t service;
	uint32_t slot;
	uint32_t serial;    /* of the worker: the 7 of smtp/7; never used twice while the supervisor lives */
	int32_t pid;
	int32_t status;	    /* LINK_EXITED: as of waitpid(2); LINK_STOLEN: enum link_theft */
	int32_t error;	    /* LINK_EXITED: positive errno when it could not be spawned (pid 0) */
	uint32_t number;    /* LINK_SERVICE: enum link_service_state; LINK_LISTENER: index; others above */
	uint32_t listener_count; /* LINK_SERVICE, LINK_OPEN */
	uint32_t target_count;
	uint64_t created_ms; /* monotonic */
	uint64_t created_wall_ms;
	uint64_t deadline_ms; /* monotonic, UINT64_MAX = none; of orders: how long, in milliseconds */
	uint32_t round; /* how often the service has been closed: an answer to an earlier close is void */
	uint32_t tries; /* LINK_SERVICE: changes when a service that backs off shall try at once */
	uint64_t reopened_ms; /* LINK_SERVICE: when workers were last asked to open their log files again,
			       * monotonic; 0: never */
	uint64_t id;	      /* of an operation: chosen at random by who asks, never 0 */
	struct link_target targets[LINK_TARGETS];
	char text[LINK_TEXT_BYTES]; /* NUL-terminated */
};

/* What the thief has moved, in shared memory made by the supervisor, written by the thief. An entry is
 * complete before count says so, and counts before its socket is sent: with LINK_THEFT_FAILED the
 * entries of the last message (at most MSG_MAX_CONNS, all of one target) may never have got there. */
struct link_loot {
	_Atomic uint32_t count;
	_Atomic uint32_t emptied; /* 1: the victim's queue was seen empty */
	struct {
		uint32_t conn; /* connection slot */
		uint32_t target; /* index in targets; LINK_TARGETS: put back into the victim's channel */
	} moved[LINK_STOLEN_MAX];
	/* between thief and supervisor, of no meaning to the acceptor: see supervisor/thief.h */
	_Atomic uint32_t phase;
	_Atomic uint64_t reading_ms;
};

/* Sends a record with descriptors (borrowed). As chan_send. */
int link_send(int fd, struct link_record *record, const int *fds, unsigned fd_count);

/* Receives one. As chan_recv; a record of another version or size is -EBADMSG. */
int link_recv(int fd, struct link_record *ret_record, int *ret_fds, unsigned *ret_count);

#endif
