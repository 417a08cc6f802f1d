/* An endpoint's address in a fixed, pointer-free form that may stand in shared memory. */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_TEXT_BYTES 80

struct addr {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX (no path is kept) or 0: unknown */
	uint8_t reserved;
	uint16_t port;	/* host order */
	uint32_t scope; /* IPv6 scope id, else 0 */
	uint8_t ip[16]; /* network order; IPv4 in the first four bytes, the rest 0 */
};

/* Never fails: what is no known family gives family 0. An IPv4-mapped address becomes IPv4. */
void addr_from_sockaddr(struct addr *ret_addr, const struct sockaddr *sa, socklen_t len);

/* Returns the length, 0 when the family is neither AF_INET nor AF_INET6. */
socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sa);

/* The same as a socket of `domain` shows it: of AF_INET6, an IPv4 address is ::ffff:a.b.c.d. */
socklen_t addr_to_sockaddr_for(
	const struct addr *addr, int domain, struct sockaddr_storage *ret_sa);

/* "192.0.2.1:25", "[2001:db8::1]:25", "unix", "unknown". */
const char *addr_format(const struct addr *addr, char ret_text[ADDR_TEXT_BYTES]);

/* The address alone, without port and brackets. */
const char *addr_format_ip(const struct addr *addr, char ret_text[ADDR_TEXT_BYTES]);

/* Reads a numeric IPv4 or IPv6 address ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"); no names.
 * 0 or -EINVAL. The port is left 0. */
int addr_parse_ip(const char *text, struct addr *ret_addr);

bool addr_equal(const struct addr *a, const struct addr *b);

/* True if who listens on the one takes the other's port too: they are equal, or one of them is every
 * address of the family. Not of AF_UNIX. */
bool addr_overlaps(const struct addr *a, const struct addr *b);

/* True if the first `bits` bits of both IPs agree and the families are equal. */
bool addr_in_prefix(const struct addr *addr, const struct addr *prefix, unsigned bits);

/* Zeroes the port and every bit behind the first `bits`. */
void addr_mask(struct addr *addr, unsigned bits);

#endif
