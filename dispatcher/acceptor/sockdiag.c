/* The messages of sock_diag(7). No right is needed to ask, nor to hear of sockets that were destroyed; a
 * filter keeps other ports away from us. Asking is synchronous: the kernel writes the next part of an
 * answer while the former is being read. */
#include "dispatcher/acceptor/sockdiag.h"
#include "common/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_BYTES 32768
#define RECEIVE_BYTES (4 << 20) /* as far as the system allows */
#define SPORT_AT (NLMSG_HDRLEN + offsetof(struct inet_diag_msg, id.idiag_sport))
#define ALL_BUT_LISTENING (~(1u << TCP_LISTEN))

void sockdiag_add_port(struct sockdiag_ports *ports, uint16_t port)
{
	for (unsigned i = 0; i < ports->count; i++)
		if (ports->list[i] == port)
			return;
	if (ports->count < SOCKDIAG_PORTS)
		ports->list[ports->count++] = port;
}

int sockdiag_open(void)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	OWNS_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return base_steal_fd(&fd);
}

/* A jump reaches 255 steps: each port has its own way out. */
static int keep_others_away(int fd, const struct sockdiag_ports *ports)
{
	struct sock_filter code[2 * SOCKDIAG_PORTS + 2];
	struct sock_fprog program = {.filter = code};
	unsigned n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SPORT_AT);
	for (unsigned i = 0; i < ports->count; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, ports->list[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	program.len = (unsigned short)n;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int sockdiag_open_ends(const struct sockdiag_ports *ports)
{
	const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};
	int room = RECEIVE_BYTES, bad;
	OWNS_FD int fd = sockdiag_open();

	if (fd < 0)
		return fd;
	bad = keep_others_away(fd, ports);
	if (bad)
		return bad;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	for (unsigned i = 0; i < ARRAY_LEN(groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(int)))
			return -errno;
	return base_steal_fd(&fd);
}

/* Bytes of what the kernel says; what others say is passed over. */
static ssize_t hear(int fd, void *buffer, size_t size)
{
	struct sockaddr_nl from = {0};
	socklen_t len = sizeof(from);
	ssize_t got;

	do
		got = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &len);
	while ((got >= 0 && from.nl_pid) || (got < 0 && errno == EINTR));
	return got < 0 ? -errno : got;
}

static bool is_socket(const struct nlmsghdr *head)
{
	return head->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg));
}

static struct sockdiag_socket socket_of(const struct nlmsghdr *head)
{
	const struct inet_diag_msg *m = NLMSG_DATA(head);

	return (struct sockdiag_socket){
		.cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32,
		.unread_bytes = m->idiag_rqueue,
		.unsent_bytes = m->idiag_wqueue,
		.is_open = m->idiag_inode};
}

int sockdiag_next_end(int fd, uint64_t *ret_cookie)
{
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} buffer;
	ssize_t got;

	do {
		got = hear(fd, &buffer, sizeof(buffer));
		if (got < 0)
			return got == -EAGAIN ? 0 : (int)got;
	} while (!NLMSG_OK(&buffer.head, (unsigned)got) || !is_socket(&buffer.head));
	*ret_cookie = socket_of(&buffer.head).cookie;
	return 1;
}

static int ask(int fd, uint8_t family, uint16_t port)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} q = {.head = {.nlmsg_len = sizeof(q),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ALL_BUT_LISTENING,
			.id.idiag_sport = htons(port)}};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	return sendto(fd, &q, sizeof(q), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ? -errno : 0;
}

/* 1: there is more to come; 0: that was all; -errno. */
static int read_part(struct nlmsghdr *head, unsigned left,
	void (*each)(void *user, const struct sockdiag_socket *one), void *user)
{
	for (; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
		struct sockdiag_socket one;

		if (head->nlmsg_type == NLMSG_DONE)
			return 0;
		if (head->nlmsg_type == NLMSG_ERROR)
			return -EIO;
		if (!is_socket(head))
			continue;
		one = socket_of(head);
		each(user, &one);
	}
	return 1;
}

static int each_of(int fd, uint8_t family, uint16_t port, struct nlmsghdr *buffer,
	void (*each)(void *user, const struct sockdiag_socket *one), void *user)
{
	int answer = ask(fd, family, port);

	if (answer)
		return answer;
	do {
		ssize_t got = hear(fd, buffer, BUFFER_BYTES);

		answer = got < 0 ? (int)got : read_part(buffer, (unsigned)got, each, user);
	} while (answer > 0);
	return answer;
}

int sockdiag_each(int fd, const struct sockdiag_ports *ports,
	void (*each)(void *user, const struct sockdiag_socket *one), void *user)
{
	OWNS_MEM struct nlmsghdr *buffer = malloc(BUFFER_BYTES);
	int bad = buffer ? 0 : -ENOMEM;

	for (unsigned i = 0; !bad && i < ports->count; i++) {
		bad = each_of(fd, AF_INET, ports->list[i], buffer, each, user);
		if (!bad)
			bad = each_of(fd, AF_INET6, ports->list[i], buffer, each, user);
	}
	return bad;
}
