/* bind() to an address of the service is swallowed: the dispatcher has bound it. listen() then puts
 * the channel in the place of the program's socket, so that poll, select, epoll, O_NONBLOCK and
 * F_GETFL are the kernel's own. A bound address is kept in memory that all processes of the worker
 * share; descriptors refer to it by its index, over fork and exec. */
#include "worker/adapter/listeners.h"
#include "common/base.h"
#include "worker/adapter/address.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/epoll.h"
#include "worker/adapter/paths.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"
#include "worker/adapter/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum { UNSET, BEING_SET, SET };

struct adapter_bound *listeners_bound(uint64_t word)
{
	if (fd_kind(word) != FD_BOUND && fd_kind(word) != FD_LISTENER)
		return NULL;
	return &shim.tally.area->bound[fd_value(word) % ADAPTER_MAX_BOUND];
}

static uint64_t find_listeners(const struct adapter_bound *b)
{
	char path[ADDRESS_PATH_BYTES];
	struct addr addr;

	if (address_path((const void *)&b->name, b->name_len, path))
		return paths_find(AT_FDCWD, path);
	addr_from_sockaddr(&addr, (const void *)&b->name, b->name_len);
	if (addr.family != AF_INET && addr.family != AF_INET6)
		return 0;
	return adapter_covers(&shim.config, &addr, b->domain == AF_INET6 && !b->is_v6only);
}

static bool is_same(const struct adapter_bound *a, const struct adapter_bound *b)
{
	return a->domain == b->domain && a->is_v6only == b->is_v6only &&
	       a->name_len == b->name_len && !memcmp(&a->name, &b->name, sizeof(a->name));
}

static void set_bound(struct adapter_bound *place, const struct adapter_bound *b)
{
	place->domain = b->domain;
	place->is_v6only = b->is_v6only;
	place->name_len = b->name_len;
	place->mask = b->mask;
	place->name = b->name;
	atomic_store(&place->is_set, SET);
}

/* The index of an address in the shared table, where it is put if it is new; -1: there are too
 * many. */
static int index_of(const struct adapter_bound *b)
{
	for (int i = 0; i < ADAPTER_MAX_BOUND; i++) {
		struct adapter_bound *place = &shim.tally.area->bound[i];
		uint32_t state = UNSET;

		if (atomic_load(&place->is_set) == SET && is_same(place, b))
			return i;
		if (!atomic_compare_exchange_strong(&place->is_set, &state, BEING_SET))
			continue;
		set_bound(place, b);
		return i;
	}
	return -1;
}

/* True if `b` can stand for what the program binds. */
static bool read_bound(int fd, const struct sockaddr *name, socklen_t len, struct adapter_bound *b)
{
	*b = (struct adapter_bound){.name_len = len};
	if (!name || len < sizeof(name->sa_family) || len > sizeof(b->name) ||
		socket_number(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return false;
	memcpy(&b->name, name, len);
	b->domain = socket_number(fd, SOL_SOCKET, SO_DOMAIN);
	b->is_v6only = b->domain == AF_INET6 && socket_number(fd, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
	return b->domain == name->sa_family;
}

int bind(int fd, __CONST_SOCKADDR_ARG name, socklen_t len)
{
	struct adapter_bound b;
	int index;

	if (!shim_is_on() || !read_bound(fd, name.__sockaddr__, len, &b))
		return REAL(bind)(fd, name, len);
	if (listeners_bound(fds_get(&shim.fds, fd))) {
		errno = EINVAL;
		return -1;
	}
	b.mask = find_listeners(&b);
	index = b.mask ? index_of(&b) : -1;
	if (index < 0)
		return REAL(bind)(fd, name, len);
	conns_set(fd, fd_word(FD_BOUND, 0, (uint32_t)index));
	return 0;
}

static const struct {
	int level, name;
} inheritable[] = {{SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_LINGER}, {IPPROTO_TCP, TCP_NODELAY},
	{IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_KEEPCNT},
	{IPPROTO_TCP, TCP_USER_TIMEOUT}, {SOL_SOCKET, SO_OOBINLINE}};

static struct adapter_option *option_place(struct adapter_bound *b, int level, int name)
{
	uint32_t count = atomic_load(&b->option_count);

	for (uint32_t i = 0; i < count; i++)
		if (b->options[i].level == level && b->options[i].name == name)
			return &b->options[i];
	return count < ADAPTER_MAX_OPTIONS ? &b->options[count] : NULL;
}

void listeners_keep_option(
	struct adapter_bound *bound, int level, int name, const void *value, unsigned len)
{
	struct adapter_option *o = option_place(bound, level, name);

	for (unsigned i = 0; o && value && len <= sizeof(o->value) && i < ARRAY_LEN(inheritable);
		i++) {
		if (inheritable[i].level != level || inheritable[i].name != name)
			continue;
		*o = (struct adapter_option){.level = level, .name = name, .len = len};
		memcpy(o->value, value, len);
		if (o == &bound->options[atomic_load(&bound->option_count)])
			atomic_fetch_add(&bound->option_count, 1);
	}
}

void listeners_inherit(const struct adapter_bound *bound, int fd)
{
	uint32_t count = atomic_load(&bound->option_count);

	for (uint32_t i = 0; i < count; i++)
		REAL(setsockopt)
	(fd, bound->options[i].level, bound->options[i].name, bound->options[i].value,
		bound->options[i].len);
}

/* What was set on the program's socket before the channel takes its place: what differs from a
 * fresh socket of its kind. */
static void read_options(struct adapter_bound *b, int fd)
{
	int fresh = socket(b->domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (unsigned i = 0; fresh >= 0 && i < ARRAY_LEN(inheritable); i++) {
		uint8_t set[20] = {0}, usual[20] = {0};
		socklen_t len = sizeof(set), usual_len = sizeof(usual);
		int level = inheritable[i].level, name = inheritable[i].name;

		if (!REAL(getsockopt)(fd, level, name, set, &len) &&
			!REAL(getsockopt)(fresh, level, name, usual, &usual_len) &&
			memcmp(set, usual, sizeof(set)))
			listeners_keep_option(b, level, name, set, len);
	}
	if (fresh >= 0)
		REAL(close)(fresh);
}

/* Puts a file of ours in the place of the program's descriptor, with its flags and registrations.
 */
static int replace(int fd, int file, uint64_t word)
{
	int is_cloexec = REAL(fcntl)(fd, F_GETFD) & FD_CLOEXEC;

	if (REAL(dup3)(file, fd, is_cloexec ? O_CLOEXEC : 0) < 0)
		return -1;
	fds_set(&shim.fds, fd, word);
	epoll_return(fd);
	return 0;
}

/* Every descriptor of the same bound address: the program may have duplicated its socket. */
static int take_over(int listening_fd, uint32_t index)
{
	int channel = atomic_load(&shim.own[OWN_CHANNEL]);
	int flags = REAL(fcntl)(listening_fd, F_GETFL);

	read_options(&shim.tally.area->bound[index], listening_fd);
	REAL(fcntl)(channel, F_SETFL, flags & O_NONBLOCK);
	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1))
		if (fds_get(&shim.fds, fd) == fd_word(FD_BOUND, 0, index) &&
			replace(fd, channel, fd_word(FD_LISTENER, 0, index)) < 0)
			return -1;
	return 0;
}

static void say_missing(uint64_t covered)
{
	char text[PAGE_LINE_BYTES], name[ADDR_TEXT_BYTES];

	for (unsigned i = 0; i < shim.config.listener_count; i++) {
		const struct adapter_listener *l = &shim.config.listeners[i];

		if (!l->addr.family || covered & (UINT64_C(1) << i)) /* a reload leaves gaps */
			continue;
		if (l->addr.family == AF_UNIX)
			snprintf(
				text, sizeof(text), "adapter: does not listen on unix:%s", l->path);
		else
			snprintf(text, sizeof(text), "adapter: does not listen on %s",
				addr_format(&l->addr, name));
		shim_say(text);
		return;
	}
	shim_say("");
}

static void say_stranger(int fd)
{
	char text[PAGE_LINE_BYTES], name[ADDR_TEXT_BYTES];
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr addr;

	if (atomic_load(&shim.tally.page->ready) ||
		REAL(getsockname)(fd, (struct sockaddr *)&sa, &len) < 0)
		return;
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa, len);
	if (addr.family != AF_INET && addr.family != AF_INET6)
		return;
	snprintf(text, sizeof(text), "adapter: listens on %s, which is no PORT of this service",
		addr_format(&addr, name));
	atomic_store(&shim.names_stranger, true);
	shim_say(text);
}

static int listen_for_us(int fd, uint32_t index)
{
	struct adapter_bound *bound = &shim.tally.area->bound[index];
	uint64_t covered;

	if (take_over(fd, index) < 0)
		return -1;
	covered = bound->mask | atomic_load(&shim.tally.area->covered);
	if (covered == shim.every || !atomic_load(&shim.names_stranger))
		say_missing(covered);
	tally_cover(&shim.tally, bound->mask, shim.every);
	return 0;
}

int listen(int fd, int backlog)
{
	uint64_t word;
	int r;

	if (!shim_is_on())
		return REAL(listen)(fd, backlog);
	word = fds_get(&shim.fds, fd);
	if (fd_kind(word) == FD_BOUND)
		return listen_for_us(fd, fd_value(word));
	if (fd_kind(word) == FD_LISTENER)
		return 0;
	r = REAL(listen)(fd, backlog);
	if (!r)
		say_stranger(fd);
	return r;
}

/* The far end of a pair that we keep open and never write to becomes the channel, also of a
 * listen() that is still to come. 0 or -errno. */
static int silence_channel(void)
{
	int channel = atomic_load(&shim.own[OWN_CHANNEL]), none = -1, ends[2];

	if (atomic_load(&shim.own[OWN_SILENCE]) >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	REAL(fcntl)(ends[1], F_SETFL, REAL(fcntl)(channel, F_GETFL) & O_NONBLOCK);
	if (atomic_compare_exchange_strong(&shim.own[OWN_SILENCE], &none, ends[0])) {
		fds_set(&shim.fds, ends[0], fd_word(FD_OURS, 0, OWN_SILENCE));
		REAL(dup3)(ends[1], channel, O_CLOEXEC);
	} else {
		REAL(close)(ends[0]);
	}
	REAL(close)(ends[1]);
	return 0;
}

int listeners_silence(void)
{
	int channel = atomic_load(&shim.own[OWN_CHANNEL]), bad = silence_channel();

	if (bad)
		return bad;
	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1)) {
		uint64_t word = fds_get(&shim.fds, fd);

		if (fd_kind(word) != FD_LISTENER)
			continue;
		epoll_leave(fd);
		replace(fd, channel, word);
	}
	return 0;
}
