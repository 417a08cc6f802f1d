/* Addresses as plain data. IPv4-mapped IPv6 addresses are normalised at the border, so that one
 * client is one address wherever it is compared, counted or printed. */
#include "common/addr.h"
#include "common/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static void from_in6(struct addr *a, const struct sockaddr_in6 *in6)
{
	a->port = ntohs(in6->sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		a->family = AF_INET;
		memcpy(a->ip, in6->sin6_addr.s6_addr + 12, 4);
		return;
	}
	a->family = AF_INET6;
	a->scope = in6->sin6_scope_id;
	memcpy(a->ip, &in6->sin6_addr, 16);
}

void addr_from_sockaddr(struct addr *ret_addr, const struct sockaddr *sa, socklen_t len)
{
	struct addr a = {0};

	if (len < sizeof(sa->sa_family)) {
		*ret_addr = a;
		return;
	}
	if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)sa;

		a.family = AF_INET;
		a.port = ntohs(in->sin_port);
		memcpy(a.ip, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		from_in6(&a, (const void *)sa);
	} else if (sa->sa_family == AF_UNIX) {
		a.family = AF_UNIX;
	}
	*ret_addr = a;
}

socklen_t addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *ret_sa)
{
	memset(ret_sa, 0, sizeof(*ret_sa));
	if (addr->family == AF_INET) {
		struct sockaddr_in *in = (void *)ret_sa;

		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		memcpy(&in->sin_addr, addr->ip, 4);
		return sizeof(*in);
	}
	if (addr->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (void *)ret_sa;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		in6->sin6_scope_id = addr->scope;
		memcpy(&in6->sin6_addr, addr->ip, 16);
		return sizeof(*in6);
	}
	return 0;
}

socklen_t addr_to_sockaddr_for(
	const struct addr *addr, int domain, struct sockaddr_storage *ret_sa)
{
	struct addr mapped = {.family = AF_INET6, .port = addr->port, .ip = {[10] = 0xff, 0xff}};

	if (addr->family != AF_INET || domain != AF_INET6)
		return addr_to_sockaddr(addr, ret_sa);
	memcpy(mapped.ip + 12, addr->ip, 4);
	return addr_to_sockaddr(&mapped, ret_sa);
}

const char *addr_format_ip(const struct addr *addr, char ret_text[ADDR_TEXT_BYTES])
{
	if (addr->family == AF_UNIX)
		return strcpy(ret_text, "unix");
	if (addr->family != AF_INET && addr->family != AF_INET6)
		return strcpy(ret_text, "unknown");
	inet_ntop(addr->family, addr->ip, ret_text, ADDR_TEXT_BYTES);
	if (addr->scope)
		snprintf(ret_text + strlen(ret_text), 16, "%%%u", addr->scope);
	return ret_text;
}

const char *addr_format(const struct addr *addr, char ret_text[ADDR_TEXT_BYTES])
{
	char ip[ADDR_TEXT_BYTES];

	addr_format_ip(addr, ip);
	if (addr->family == AF_INET)
		snprintf(ret_text, ADDR_TEXT_BYTES, "%.60s:%u", ip, addr->port);
	else if (addr->family == AF_INET6)
		snprintf(ret_text, ADDR_TEXT_BYTES, "[%.60s]:%u", ip, addr->port);
	else
		strcpy(ret_text, ip);
	return ret_text;
}

static int parse_scope(const char *text, uint32_t *ret_scope)
{
	unsigned long number;
	char *end;

	*ret_scope = if_nametoindex(text);
	if (*ret_scope)
		return 0;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || end == text || *end || !number || number > UINT32_MAX)
		return -EINVAL;
	*ret_scope = (uint32_t)number;
	return 0;
}

int addr_parse_ip(const char *text, struct addr *ret_addr)
{
	struct addr a = {0};
	char ip[INET6_ADDRSTRLEN];
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, a.ip) == 1) {
		a.family = AF_INET;
		*ret_addr = a;
		return 0;
	}
	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET6, ip, &in6.sin6_addr) != 1)
		return -EINVAL;
	if (percent && parse_scope(percent + 1, &in6.sin6_scope_id) < 0)
		return -EINVAL;
	addr_from_sockaddr(ret_addr, (struct sockaddr *)&in6, sizeof(in6));
	return 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->port == b->port && a->scope == b->scope &&
		!memcmp(a->ip, b->ip, sizeof(a->ip));
}

static bool is_wildcard(const struct addr *a)
{
	static const uint8_t none[sizeof(a->ip)];

	return !memcmp(a->ip, none, sizeof(none));
}

bool addr_overlaps(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->port == b->port &&
		(is_wildcard(a) || is_wildcard(b) || addr_equal(a, b));
}

void addr_mask(struct addr *addr, unsigned bits)
{
	addr->port = 0;
	for (unsigned byte = 0; byte < sizeof(addr->ip); byte++) {
		unsigned keep = bits > byte * 8 ? MIN(8u, bits - byte * 8) : 0;

		addr->ip[byte] &= (uint8_t)(0xff00u >> keep);
	}
}

bool addr_in_prefix(const struct addr *addr, const struct addr *prefix, unsigned bits)
{
	struct addr a = *addr, b = *prefix;

	addr_mask(&a, bits);
	addr_mask(&b, bits);
	return a.family == b.family && !memcmp(a.ip, b.ip, sizeof(a.ip));
}
