/* A descriptor says itself what it is; nobody's word is needed. A unix socket knows only the name
 * it was bound by, which another socket may have by now; which of them the path leads to is known
 * by the inode that the kernel keeps with the socket. */
#include "dispatcher/supervisor/listening.h"
#include "common/base.h"
#include "dispatcher/supervisor/unixsock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define KERNEL_MINOR_BITS 20 /* of a dev_t inside the kernel */

static bool option_is(int fd, int level, int name, int wanted)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 && value == wanted;
}

static bool is_listening_stream(int fd)
{
	return option_is(fd, SOL_SOCKET, SO_TYPE, SOCK_STREAM) &&
	       option_is(fd, SOL_SOCKET, SO_ACCEPTCONN, 1);
}

static bool is_tcp(int fd)
{
	return option_is(fd, SOL_SOCKET, SO_PROTOCOL, IPPROTO_TCP) ||
	       option_is(fd, SOL_SOCKET, SO_PROTOCOL, IPPROTO_MPTCP);
}

int listening_look(int fd, struct listening *ret_listening)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} sa = {.storage = {0}};
	socklen_t len = sizeof(sa);
	struct listening l = {.takes_ipv4 = false};

	if (!is_listening_stream(fd) || getsockname(fd, &sa.any, &len) < 0)
		return LISTENING_NOT;
	addr_from_sockaddr(&l.addr, &sa.any, len);
	if (l.addr.family == AF_UNIX) {
		if (len <= offsetof(struct sockaddr_un, sun_path) || !sa.un.sun_path[0])
			return LISTENING_NOT; /* no name, or an abstract one */
		snprintf(l.path, sizeof(l.path), "%.*s", (int)LISTENING_PATH_BYTES, sa.un.sun_path);
	} else if (!l.addr.family || !is_tcp(fd)) {
		return LISTENING_NOT;
	}
	l.takes_ipv4 = l.addr.family == AF_INET6 && option_is(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	*ret_listening = l;
	return 0;
}

bool listening_is(const struct listening *l, const struct addr *addr, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	if (addr->family != AF_UNIX || l->addr.family != AF_UNIX)
		return addr_equal(&l->addr, addr);
	return strncmp(l->path, path, len) == 0 &&
	       (!l->path[len] || strcmp(l->path + len, UNIXSOCK_BOUND_AS) == 0);
}

/* --- the inode behind a unix socket --- */

struct question {
	struct nlmsghdr head;
	struct unix_diag_req unix_socket;
};

static bool ask(int netlink, uint32_t inode)
{
	struct question q = {.head = {.nlmsg_len = sizeof(q),
				     .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				     .nlmsg_flags = NLM_F_REQUEST},
		.unix_socket = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_ino = inode,
			.udiag_show = UDIAG_SHOW_VFS,
			.udiag_cookie = {~0u, ~0u}}};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	return sendto(netlink, &q, sizeof(q), 0, (struct sockaddr *)&kernel, sizeof(kernel)) ==
	       (ssize_t)sizeof(q);
}

static const struct unix_diag_vfs *find_vfs(const struct nlmsghdr *head, size_t len)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(head);
	const struct rtattr *at = (const void *)(msg + 1);
	unsigned rest;

	if (!NLMSG_OK(head, len) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		head->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
		return NULL;
	rest = head->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof(*msg));
	for (; RTA_OK(at, rest); at = RTA_NEXT(at, rest))
		if (at->rta_type == UNIX_DIAG_VFS &&
			RTA_PAYLOAD(at) >= sizeof(struct unix_diag_vfs))
			return RTA_DATA(at);
	return NULL;
}

/* The kernel has answered when sendto returns. */
static bool ask_vfs(uint32_t inode, struct unix_diag_vfs *ret_vfs)
{
	OWNS_FD int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	union {
		struct nlmsghdr head;
		char room[1024];
	} answer;
	const struct unix_diag_vfs *vfs;
	ssize_t got;

	if (netlink < 0 || !ask(netlink, inode))
		return false;
	got = recv(netlink, &answer, sizeof(answer), MSG_DONTWAIT);
	vfs = got > 0 ? find_vfs(&answer.head, (size_t)got) : NULL;
	if (vfs)
		*ret_vfs = *vfs;
	return vfs;
}

bool listening_stands_at(int fd, const char *path)
{
	struct unix_diag_vfs vfs;
	struct stat at_path, sock;
	uint32_t dev;

	if (lstat(path, &at_path) < 0 || fstat(fd, &sock) < 0 ||
		!ask_vfs((uint32_t)sock.st_ino, &vfs))
		return false;
	dev = (uint32_t)(major(at_path.st_dev) << KERNEL_MINOR_BITS | minor(at_path.st_dev));
	return vfs.udiag_vfs_ino == (uint32_t)at_path.st_ino && vfs.udiag_vfs_dev == dev;
}

const char *listening_format(const struct listening *l, char ret_text[LISTENING_TEXT_BYTES])
{
	if (l->addr.family != AF_UNIX)
		return addr_format(&l->addr, ret_text);
	snprintf(ret_text, LISTENING_TEXT_BYTES, "unix:%s", l->path);
	return ret_text;
}
