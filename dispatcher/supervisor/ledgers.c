/* The acceptor writes the ledger, so nothing in an old one is believed: common/ledger.c checks. */
#include "dispatcher/supervisor/ledgers.h"
#include "common/base.h"
#include "common/page.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct ledger_need *ledgers_needs(const struct settings *s)
{
	struct ledger_need *needs = calloc(s->services.count + 1, sizeof(*needs));

	for (uint32_t i = 0; needs && i < s->services.count; i++)
		needs[i] = (struct ledger_need){settings_worker_slots(settings_service(s, i)),
			settings_conn_slots(settings_service(s, i))};
	return needs;
}

static void *map(int fd, int protection, size_t *ret_bytes)
{
	struct stat st;
	void *memory;

	if (fstat(fd, &st) < 0)
		return NULL;
	memory = mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd, 0);
	*ret_bytes = (size_t)st.st_size;
	return memory == MAP_FAILED ? NULL : memory;
}

int ledgers_make(const struct ledger_need *needs, uint32_t services)
{
	size_t bytes = ledger_bytes(needs, services);
	OWNS_FD int fd = bytes ? page_memory("ledger", bytes) : -EOVERFLOW;
	void *memory;

	if (fd < 0)
		return fd;
	memory = map(fd, PROT_READ | PROT_WRITE, &bytes);
	if (!memory)
		return -errno;
	ledger_format(memory, needs, services);
	munmap(memory, bytes);
	return base_steal_fd(&fd);
}

struct ledger_need ledgers_has(int fd, uint32_t service)
{
	struct ledger_need has = {0};
	size_t bytes = 0;
	struct ledger *memory = map(fd, PROT_READ, &bytes);

	if (!memory)
		return has;
	has = ledger_places(memory, bytes, service);
	munmap(memory, bytes);
	return has;
}

bool ledgers_is_used(int fd, uint32_t service)
{
	struct ledger_need used;
	size_t bytes = 0;
	void *memory = map(fd, PROT_READ, &bytes);

	if (!memory)
		return true;
	used = ledger_in_use(memory, bytes, service);
	munmap(memory, bytes);
	return used.workers || used.conns;
}

static int carry(int fd, const void *old, size_t old_bytes, const uint32_t *from)
{
	size_t bytes = 0;
	void *memory = map(fd, PROT_READ | PROT_WRITE, &bytes);
	int bad;

	if (!memory)
		return -errno;
	bad = ledger_carry(memory, old, old_bytes, from);
	munmap(memory, bytes);
	return bad;
}

int ledgers_carry(int old_fd, struct ledger_need *needs, uint32_t services, const uint32_t *from)
{
	OWNS_FD int fd = -1;
	size_t bytes = 0;
	void *old = map(old_fd, PROT_READ, &bytes);
	int bad;

	if (!old)
		return -errno;
	for (uint32_t i = 0; i < services; i++) {
		struct ledger_need used = ledger_in_use(old, bytes, from[i]);

		needs[i].workers = MAX(needs[i].workers, used.workers);
		needs[i].conns = MAX(needs[i].conns, used.conns);
	}
	fd = ledgers_make(needs, services);
	bad = fd < 0 ? fd : carry(fd, old, bytes, from);
	munmap(old, bytes);
	return bad ? bad : base_steal_fd(&fd);
}
