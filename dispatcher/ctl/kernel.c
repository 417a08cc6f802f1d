/* One dump of all established TCP sockets by sock_diag(7), which needs no privilege, matched by the
 * client's address and our port. A connection whose bytes nobody reads hangs in its worker; one whose
 * bytes are not confirmed has a client that is slow or gone. */
#include "dispatcher/ctl/kernel.h"
#include "common/addr.h"
#include "common/base.h"
#include "dispatcher/ctl/text.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#define BUFFER_BYTES 65536
#define KEY_BYTES (ADDR_TEXT_BYTES + 8)
#define SILENCE_S 2

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 diag;
};

static const char *key_of(const char *peer, unsigned port, char ret_key[KEY_BYTES])
{
	snprintf(ret_key, KEY_BYTES, "%s>%u", peer, port);
	return ret_key;
}

/* --- connections by key; two with the same, on different addresses of ours, are left out --- */

static unsigned port_of(const char *listener)
{
	const char *colon = strrchr(listener, ':');

	return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

static json_t *index_of(json_t *connections)
{
	json_t *index = json_object(), *c;
	size_t i;

	json_array_foreach(connections, i, c) {
		char key[KEY_BYTES];

		json_object_set_new(c, "unread", json_null());
		json_object_set_new(c, "unsent", json_null());
		key_of(text_string(c, "peer", "?"), port_of(text_string(c, "listener", "")), key);
		if (json_object_get(index, key))
			json_object_set_new(index, key, json_null());
		else
			json_object_set(index, key, c);
	}
	return index;
}

/* --- the dump --- */

static void peer_text(const struct inet_diag_msg *m, char ret_text[ADDR_TEXT_BYTES])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = m->id.idiag_dport};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = m->id.idiag_dport};
	struct addr peer;

	memcpy(&in.sin_addr, m->id.idiag_dst, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, m->id.idiag_dst, sizeof(in6.sin6_addr));
	if (m->idiag_family == AF_INET)
		addr_from_sockaddr(&peer, (struct sockaddr *)&in, sizeof(in));
	else
		addr_from_sockaddr(&peer, (struct sockaddr *)&in6, sizeof(in6));
	addr_format(&peer, ret_text);
}

static void note(json_t *index, const struct inet_diag_msg *m)
{
	char peer[ADDR_TEXT_BYTES], key[KEY_BYTES];
	json_t *c;

	peer_text(m, peer);
	c = json_object_get(index, key_of(peer, ntohs(m->id.idiag_sport), key));
	if (!json_is_object(c))
		return;
	json_object_set_new(c, "unread", json_integer(m->idiag_rqueue));
	json_object_set_new(c, "unsent", json_integer(m->idiag_wqueue));
}

/* True: more follows. */
static bool read_some(int fd, json_t *index, char *buffer)
{
	ssize_t got = recv(fd, buffer, BUFFER_BYTES, 0);
	const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;

	if (got <= 0)
		return false;
	for (size_t left = (size_t)got; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			note(index, NLMSG_DATA(h));
	}
	return true;
}

static void dump(int fd, json_t *index, uint8_t family, char *buffer)
{
	struct request r = {
		.head = {.nlmsg_len = sizeof(r),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.diag = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT | 1u << TCP_FIN_WAIT1 |
				1u << TCP_FIN_WAIT2},
	};

	if (send(fd, &r, sizeof(r), 0) != sizeof(r))
		return;
	while (read_some(fd, index, buffer))
		continue;
}

void kernel_add_queues(json_t *connections)
{
	OWNS_FD int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval limit = {.tv_sec = SILENCE_S};
	OWNS_MEM char *buffer = malloc(BUFFER_BYTES);
	json_t *index = index_of(connections);

	if (fd >= 0 && buffer && !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))) {
		dump(fd, index, AF_INET, buffer);
		dump(fd, index, AF_INET6, buffer);
	}
	json_decref(index);
}
