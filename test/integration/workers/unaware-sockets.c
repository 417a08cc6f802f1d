/* The sockets of programs that know nothing of a dispatcher. */
#include "test/integration/workers/unaware.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t parse(const char *name, struct sockaddr_storage *sa)
{
	struct sockaddr_in *in = (void *)sa;
	struct sockaddr_in6 *in6 = (void *)sa;
	struct sockaddr_un *un = (void *)sa;
	const char *port = strrchr(name, ':') + 1;
	char host[64] = {0};

	memset(sa, 0, sizeof(*sa));
	if (!strncmp(name, "unix:", 5)) {
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, name + 5);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name + 5) + 1);
	}
	if (*name == '[') {
		memcpy(host, name + 1, (size_t)(port - name - 3));
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(port));
		inet_pton(AF_INET6, host, &in6->sin6_addr);
		return sizeof(*in6);
	}
	memcpy(host, name, (size_t)(port - name - 1));
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)atoi(port));
	inet_pton(AF_INET, host, &in->sin_addr);
	return sizeof(*in);
}

int bound(const char *name, int flags)
{
	struct sockaddr_storage sa;
	socklen_t len = parse(name, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | flags, 0), on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&sa, len) < 0)
		err(1, "bind %s", name);
	return fd;
}

int listening(const char *name, int flags)
{
	int fd = bound(name, flags);

	if (listen(fd, 10) < 0)
		err(1, "listen %s", name);
	return fd;
}

void describe(const struct sockaddr_storage *sa, char *text, size_t size)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	char host[64];

	if (sa->ss_family == AF_INET)
		snprintf(text, size, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, 64),
			ntohs(in->sin_port));
	else if (sa->ss_family == AF_INET6)
		snprintf(text, size, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, host, 64),
			ntohs(in6->sin6_port));
	else
		snprintf(text, size, "unix");
}

void greet(int fd, const char *label)
{
	struct sockaddr_storage peer = {0}, own = {0};
	socklen_t peer_len = sizeof(peer), own_len = sizeof(own);
	char peer_text[80], own_text[80];

	getpeername(fd, (struct sockaddr *)&peer, &peer_len);
	getsockname(fd, (struct sockaddr *)&own, &own_len);
	describe(&peer, peer_text, sizeof(peer_text));
	describe(&own, own_text, sizeof(own_text));
	dprintf(fd, "%s %s %s\n", label, peer_text, own_text);
}

void until_closed(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0)
		;
}

void attend(int fd, const char *label)
{
	greet(fd, label);
	until_closed(fd);
}

int accepted(int listener, int flags)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	int fd;

	do
		fd = accept4(listener, (struct sockaddr *)&sa, &len, flags);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int next_conn(int listener)
{
	int fd;

	do /* as accept(2) asks of its callers */
		fd = accepted(listener, 0);
	while (fd < 0 && errno == ECONNABORTED);
	if (fd < 0)
		err(1, "accept");
	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		errx(1, "a socket of accept() does not block");
	return fd;
}
