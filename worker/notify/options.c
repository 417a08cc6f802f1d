/* The kernel gives an accepted socket what its listener had; here the listener that was really
 * accepted from is the dispatcher's, which knows nothing of what the program wished. Most programs
 * wish nothing, so what differs from a new socket is noted once, and a connection costs a call for
 * each of those. */
#include "worker/notify/options.h"
#include "common/base.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

static const struct {
	int level, name;
	uint8_t factor; /* by which the kernel multiplies what is set */
} table[] = {
	{SOL_SOCKET, SO_KEEPALIVE, 1},
	{SOL_SOCKET, SO_LINGER, 1},
	{SOL_SOCKET, SO_OOBINLINE, 1},
	{SOL_SOCKET, SO_PRIORITY, 1},
	{SOL_SOCKET, SO_RCVTIMEO, 1},
	{SOL_SOCKET, SO_SNDTIMEO, 1},
	{SOL_SOCKET, SO_RCVBUF, 2},
	{SOL_SOCKET, SO_SNDBUF, 2},
	{IPPROTO_IP, IP_TOS, 1},
	{IPPROTO_IPV6, IPV6_TCLASS, 1},
	{IPPROTO_TCP, TCP_NODELAY, 1},
	{IPPROTO_TCP, TCP_KEEPIDLE, 1},
	{IPPROTO_TCP, TCP_KEEPINTVL, 1},
	{IPPROTO_TCP, TCP_KEEPCNT, 1},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 1},
};

static bool get(int fd, unsigned index, struct option_value *ret_value)
{
	socklen_t len = sizeof(ret_value->value);

	*ret_value = (struct option_value){.index = (uint8_t)index};
	memset(&ret_value->value, 0, sizeof(ret_value->value));
	if (getsockopt(fd, table[index].level, table[index].name, &ret_value->value, &len) < 0)
		return false;
	ret_value->len_bytes = (uint8_t)len;
	return true;
}

static int new_like(int fd)
{
	int domain = AF_INET, protocol = 0;
	socklen_t len = sizeof(int);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
	return socket(domain, SOCK_STREAM | SOCK_CLOEXEC, protocol);
}

void options_read(int fd, struct options *ret_options)
{
	OWNS_FD int fresh = new_like(fd);

	_Static_assert(ARRAY_LEN(table) <= OPTIONS_MAX, "room for all");
	ret_options->count = 0;
	for (unsigned i = 0; fresh >= 0 && i < ARRAY_LEN(table); i++) {
		struct option_value own, usual;

		if (!get(fd, i, &own) || !get(fresh, i, &usual) ||
			!memcmp(&own.value, &usual.value, sizeof(own.value)))
			continue;
		if (table[i].factor > 1)
			own.value.number /= table[i].factor;
		ret_options->list[ret_options->count++] = own;
	}
}

void options_apply(const struct options *options, int fd)
{
	for (unsigned i = 0; i < options->count; i++) {
		const struct option_value *v = &options->list[i];

		setsockopt(
			fd, table[v->index].level, table[v->index].name, &v->value, v->len_bytes);
	}
}
