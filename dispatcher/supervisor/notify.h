/* What a service manager is told, as sd_notify(3) describes it, and in which words. */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include "dispatcher/link.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define NOTIFY_STATUS_BYTES 400

enum notify_answer {
	NOTIFY_NOBODY = 1, /* wants to be told anything */
	NOTIFY_LATER = 2,  /* it has too much to read */
};

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t len;
};

/* A value of NOTIFY_SOCKET: a path, or @NAME of the abstract name space. Pure. 0 or -EINVAL. */
int notify_address(const char *text, struct sockaddr_un *ret_sa, socklen_t *ret_len);

/* The watchdog's time from the values of WATCHDOG_USEC and WATCHDOG_PID (NULL: not set), 0: there
 * is none for the process self. Pure. */
uint64_t notify_watchdog_ms(pid_t self, const char *usec, const char *pid);

/* To whom NOTIFY_SOCKET points. 0, NOTIFY_NOBODY or -errno. */
int notify_open(struct notify *n);
int notify_send(const struct notify *n, const char *text); /* 0, NOTIFY_LATER or -errno */
void notify_close(struct notify *n);

/* What is to be said in one line. */
struct notify_facts {
	bool ends;     /* a shutdown is under way */
	bool accepts;  /* there is an acceptor */
	bool succeeds; /* not false: the listeners are a former acceptor's still */
	uint32_t services, in_state[LINK_CLOSING + 1];
	uint32_t workers;
	uint64_t connections;
	const char *failed, *why; /* the first service that cannot be opened, and why */
};

/* "3 services open, 12 workers, 340 connections", with what is wrong before it. Pure. */
const char *notify_status(const struct notify_facts *f, char ret_text[NOTIFY_STATUS_BYTES]);

#endif
