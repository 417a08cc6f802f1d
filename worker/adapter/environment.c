/* LD_PRELOAD, ADAPTER_ENV and SHIM_INHERITED.
 *
 * A program that is a part of the worker gets them although its parent cleaned its environment, and
 * with them what it inherits: "7=5000000000000003 9=..." is a descriptor and its word. Everyone
 * else gets none of them. The new environment lies in memory of its own, as malloc() may not be
 * called in a fork of a process with threads. */
#include "worker/adapter/environment.h"
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"
#include "worker/adapter/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PRELOAD               "LD_PRELOAD"
#define OUR_FILE              "dispatcher-preload.so"
#define INHERITED_BYTES       48 /* of one descriptor */
#define INHERITED_MAX         2000 /* descriptors, as one variable must be below 128 KiB (execve(2)) */
#define FIRST_BEYOND_STANDARD 3
#define FEW_DESCRIPTORS       128 /* among which such a socket is looked for */

/* Finds our own file in a list as of LD_PRELOAD: its length, 0: not there. */
static size_t find_ours(const char *list, const char **ret_at)
{
	while (*list) {
		size_t len = strcspn(list, ": ");

		if (len >= strlen(OUR_FILE) &&
			!memcmp(list + len - strlen(OUR_FILE), OUR_FILE, strlen(OUR_FILE))) {
			*ret_at = list;
			return len;
		}
		list += len + (list[len] != '\0');
	}
	return 0;
}

/* Takes our file out of LD_PRELOAD and leaves what else is there. */
static void take_preload(void)
{
	const char *list = getenv(PRELOAD), *at = NULL;
	char rest[PATH_MAX];
	size_t len = list ? find_ours(list, &at) : 0;

	if (!len || len >= sizeof(shim.preload) || strlen(list) >= sizeof(rest))
		return;
	memcpy(shim.preload, at, len);
	snprintf(
		rest, sizeof(rest), "%.*s%s", (int)(at - list), list, at + len + (at[len] != '\0'));
	if (*rest)
		setenv(PRELOAD, rest, 1);
	else
		unsetenv(PRELOAD);
}

static bool take(const char *name, char *ret_text, size_t size)
{
	const char *text = getenv(name);

	if (!text || strlen(text) >= size)
		return false;
	strcpy(ret_text, text);
	unsetenv(name);
	return true;
}

bool environment_take(void)
{
	if (!take(ADAPTER_ENV, shim.text, sizeof(shim.text)))
		return false;
	take_preload();
	unsetenv("DISPATCHER_WORKER");
	return true;
}

/* A descriptor that is listed and did not come (posix_spawn() can close and replace them), or came
 * as something else, is none of ours; the reference that was made for it goes. */
static void inherit(int fd, uint64_t word, uint64_t cookie)
{
	if (cookie && socket_cookie(fd) == cookie)
		fds_set(&shim.fds, fd, word);
	else if (fd_kind(word) == FD_CONN)
		conns_release(fd_value(word));
}

void environment_inherit(void)
{
	char *next = getenv(SHIM_INHERITED);

	while (next && *next) {
		int fd = (int)strtol(next, &next, 10);
		uint64_t word = *next == '=' ? strtoull(next + 1, &next, 16) : 0;
		uint64_t cookie = *next == '=' ? strtoull(next + 1, &next, 16) : 0;

		if (!word)
			break;
		inherit(fd, word, cookie);
		next += strspn(next, " ");
	}
	unsetenv(SHIM_INHERITED);
}

static bool is_inherited(int fd, uint64_t word)
{
	enum fd_kind kind = fd_kind(word);

	if (kind != FD_BOUND && kind != FD_LISTENER && kind != FD_CONN)
		return false;
	return !(REAL(fcntl)(fd, F_GETFD) & FD_CLOEXEC);
}

static unsigned count_inherited(void)
{
	unsigned count = 0;

	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1))
		count += is_inherited(fd, fds_get(&shim.fds, fd));
	return count < INHERITED_MAX ? count : INHERITED_MAX;
}

/* A program that inherits a unix socket, beside its standard streams, may be passed connections
 * over it by other processes of the server: node's cluster workers, Dovecot's mail processes. */
static bool may_be_passed_conns(void)
{
	for (int fd = FIRST_BEYOND_STANDARD; fd < FEW_DESCRIPTORS; fd++) {
		socklen_t len = sizeof(int);
		int domain = 0;

		if (fds_get(&shim.fds, fd) || REAL(fcntl)(fd, F_GETFD) != 0)
			continue;
		if (!REAL(getsockopt)(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
			domain == AF_UNIX)
			return true;
	}
	return false;
}

/* The program's first process, whatever it becomes; everyone before the program listens; and who
 * holds or may get what is counted. */
static bool is_part_of_worker(unsigned inherits, bool in_place)
{
	struct adapter_area *area = shim.tally.area;

	return inherits || (atomic_load(&area->covered) & shim.every) != shim.every ||
	       (in_place && atomic_load(&area->leader) == (uint32_t)getpid()) ||
	       may_be_passed_conns();
}

static bool is_ours(const char *variable)
{
	static const char *const names[] = {
		ADAPTER_ENV "=", SHIM_INHERITED "=", "DISPATCHER_WORKER="};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (!strncmp(variable, names[i], strlen(names[i])))
			return true;
	return false;
}

static bool is_preload(const char *variable)
{
	return !strncmp(variable, PRELOAD "=", strlen(PRELOAD "="));
}

struct sizes {
	size_t count, bytes;
	unsigned inherits;
};

static void measure(char *const *envp, struct sizes *s)
{
	s->bytes = sizeof(shim.text) + sizeof(shim.preload) + 256 +
		   (size_t)s->inherits * INHERITED_BYTES;
	for (s->count = 0; envp && envp[s->count]; s->count++)
		if (is_preload(envp[s->count]))
			s->bytes += strlen(envp[s->count]) + 1;
}

struct build {
	char **next;
	char *text;
};

/* The text that was written at b->text is the next variable. */
static void add(struct build *b)
{
	*b->next++ = b->text;
	b->text += strlen(b->text) + 1;
}

/* Our file first, then what was there without it. */
static void add_preload(struct build *b, const char *former)
{
	const char *at = NULL, *list = former ? former + strlen(PRELOAD "=") : "";
	size_t ours = find_ours(list, &at);
	int len = sprintf(b->text, PRELOAD "=%s", shim.preload);

	if (ours)
		sprintf(b->text + len, ":%.*s%s", (int)(at - list), list, at + ours);
	else if (*list)
		sprintf(b->text + len, ":%s", list);
	add(b);
}

static void add_text(struct build *b)
{
	struct adapter_head head = shim.config.head;
	const char *lines = strchr(shim.text, '\n');

	sprintf(b->text, ADAPTER_ENV "=1 %d %d %d %d %u %s %d%s",
		atomic_load(&shim.own[OWN_CHANNEL]), atomic_load(&shim.own[OWN_PAGE]),
		atomic_load(&shim.own[OWN_BELL]), atomic_load(&shim.own[OWN_DOORBELL]),
		head.ring_len, head.ends_by_eof ? "eof" : "silent", head.stop_signal, lines);
	add(b);
}

static void add_inherited(struct build *b, unsigned count)
{
	char *end = b->text;

	end += sprintf(end, SHIM_INHERITED "=");
	for (int fd = fds_next(&shim.fds, 0); count && fd >= 0; fd = fds_next(&shim.fds, fd + 1)) {
		uint64_t word = fds_get(&shim.fds, fd);

		if (!is_inherited(fd, word))
			continue;
		end += sprintf(end, "%d=%llx=%llx ", fd, (unsigned long long)word,
			(unsigned long long)socket_cookie(fd));
		count--;
	}
	add(b);
}

static void add_ours(struct build *b, const char *former_preload, unsigned inherits)
{
	add_preload(b, former_preload);
	add_text(b);
	strcpy(b->text, "DISPATCHER_WORKER=1");
	add(b);
	if (inherits)
		add_inherited(b, inherits);
}

/* Copies what is not ours; of LD_PRELOAD, which add_preload() writes anew, the text is the answer.
 */
static const char *copy_others(struct build *b, char *const *envp, bool is_part)
{
	const char *preload = NULL;

	for (; envp && *envp; envp++) {
		if (is_part && is_preload(*envp))
			preload = *envp;
		else if (!is_ours(*envp))
			*b->next++ = *envp;
	}
	return preload;
}

int environment_make(char *const *envp, bool in_place, struct environment *ret)
{
	struct sizes sizes = {.inherits = count_inherited()};
	struct environment e = {.is_part = is_part_of_worker(sizes.inherits, in_place)};
	struct build b;

	measure(envp, &sizes);
	e.bytes = (sizes.count + 8) * sizeof(char *) + sizes.bytes;
	e.memory = mmap(NULL, e.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e.memory == MAP_FAILED)
		return -errno;
	b.next = e.memory;
	b.text = (char *)e.memory + (sizes.count + 8) * sizeof(char *);
	e.envp = e.memory;
	if (e.is_part)
		add_ours(&b, copy_others(&b, envp, true), sizes.inherits);
	else
		copy_others(&b, envp, false);
	*b.next = NULL;
	*ret = e;
	return 0;
}

void environment_free(struct environment *e)
{
	int before = errno;

	if (e->memory)
		munmap(e->memory, e->bytes);
	e->memory = NULL;
	errno = before;
}
