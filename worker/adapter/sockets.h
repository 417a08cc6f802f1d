/* Questions to sockets themselves. */
#ifndef WORKER_ADAPTER_SOCKETS_H
#define WORKER_ADAPTER_SOCKETS_H

#include <stdint.h>

/* What names a socket in all processes (SO_COOKIE); 0: it is no socket. */
uint64_t socket_cookie(int fd);

/* The value of an option that is a number, -1: there is none. */
int socket_number(int fd, int level, int name);

#endif
