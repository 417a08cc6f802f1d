/* Reads the address of a benchmark's server: loopback or nothing. */
#ifndef BENCH_ADDRESS_H
#define BENCH_ADDRESS_H

#include <sys/socket.h>

/* "127.0.0.1:2525" or "[::1]:2525". The length of *ret_sa, or -EINVAL: malformed, not loopback. */
int address_parse(const char *text, struct sockaddr_storage *ret_sa);

#endif
