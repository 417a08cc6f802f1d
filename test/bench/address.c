/* Load is made against this machine alone, whatever somebody types: what is no loopback address is
 * refused here, where both the client and the reference server get theirs. */
#include "test/bench/address.h"
#include "common/addr.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool is_loopback(const struct addr *addr)
{
	static const uint8_t six[16] = {[15] = 1};

	return addr->family == AF_INET ? addr->ip[0] == 127 : !memcmp(addr->ip, six, sizeof(six));
}

static int parse_port(const char *text, uint16_t *ret_port)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (end == text || *end || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int address_parse(const char *text, struct sockaddr_storage *ret_sa)
{
	struct addr addr;
	char ip[64];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint16_t port;

	if (len && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof(ip) || parse_port(colon + 1, &port) < 0)
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (addr_parse_ip(ip, &addr) < 0 || !is_loopback(&addr))
		return -EINVAL;
	addr.port = port;
	return (int)addr_to_sockaddr(&addr, ret_sa);
}
