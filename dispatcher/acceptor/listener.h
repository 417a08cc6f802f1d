/* One listening socket: how many wait, and accept. */
#ifndef ACCEPTOR_LISTENER_H
#define ACCEPTOR_LISTENER_H

#include "common/addr.h"

#include <stdbool.h>
#include <uv.h>

struct listener;

struct listener_ops {
	void (*ready)(struct listener *l); /* somebody waits */
};

struct listener {
	int fd;	      /* -1: closed */
	bool polling, wanted, closing;
	bool is_unix;
	int next_fd;	  /* opened when it is closed entirely; -1: none */
	bool leaving;	  /* it is being given up: turns new clients away */
	uint32_t index;	  /* in its service */
	uint32_t waiting; /* left in the backlog when last looked; the owner's */
	uint32_t alone;	  /* how often to presume that one client waits alone; the owner's */
	struct addr local; /* family 0: bound to any address */
	struct addr bound;
	const char *name;  /* borrowed: as configured */
	void *owner;
	const struct listener_ops *ops;
	uv_poll_t poll;
};

enum listener_answer { LISTENER_NONE = 1, LISTENER_STARVED = 2 };

/* Owns fd whatever it returns; one that closes is opened anew as soon as it is closed. 0 or -errno. */
int listener_open_consume(struct listener *l, uv_loop_t *loop, int fd);
void listener_close(struct listener *l);

/* Whether a socket with this local address may have been accepted here. */
bool listener_has(const struct listener *l, const struct addr *local);
void listener_poll(struct listener *l, bool wanted);

/* Connections that wait in the backlog now: exact for TCP (tcpi_unacked of a listening socket), 1 if
 * any for a unix socket, as the kernel does not tell more. */
uint32_t listener_waiting(const struct listener *l);

/* The kernel's figures for status: queue now and its limit, connections dropped. */
void listener_figures(const struct listener *l, uint32_t *ret_now, uint32_t *ret_max,
	uint32_t *ret_drops);

/* Accepts one: non-blocking, close-on-exec. 0, LISTENER_NONE (nobody waits), LISTENER_STARVED
 * (descriptors or memory ran out: EMFILE, ENFILE, ENOBUFS, ENOMEM) or -errno. */
int listener_accept(const struct listener *l, int *ret_fd, struct addr *ret_peer);

#endif
