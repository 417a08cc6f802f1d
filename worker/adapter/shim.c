/* Joining the worker: from one environment variable to descriptors, memory and listeners.
 *
 * The variables are taken out of the environment at once, so that a shell or a filter that the
 * program runs is no part of the worker; environment.c puts them back for those programs that are.
 * What the variable says is believed only when the descriptors are what it says they are. */
#include "worker/adapter/shim.h"
#include "common/base.h"
#include "worker/adapter/address.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/environment.h"
#include "worker/adapter/paths.h"
#include "worker/adapter/real.h"
#include "worker/adapter/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { STATE_NEW, STATE_JOINING, STATE_OFF, STATE_ON };

struct shim shim;

/* Below the limit of descriptors and below 1024 (a higher number makes every fork copy a longer
 * table), but above what most programs use. */
static int own_from(void)
{
	struct rlimit limit = {.rlim_cur = 1024};

	getrlimit(RLIMIT_NOFILE, &limit);
	return (int)MIN(limit.rlim_cur, (rlim_t)1024) - 2 * OWN_COUNT;
}

static int move_high(int fd)
{
	int high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, MAX(own_from(), 0));

	if (high < 0)
		high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 0);
	return high;
}

static bool own_descriptor(enum shim_own which, int fd)
{
	int high = fd < own_from() ? move_high(fd) : fd;

	if (high < 0)
		return false;
	if (high != fd)
		REAL(close)(fd);
	REAL(fcntl)(high, F_SETFD, FD_CLOEXEC);
	atomic_store(&shim.own[which], high);
	fds_set(&shim.fds, high, fd_word(FD_OURS, 0, which));
	return true;
}

bool shim_move_own(int fd)
{
	uint64_t word = fds_get(&shim.fds, fd);
	int high = move_high(fd);

	if (high < 0)
		return false;
	fds_take(&shim.fds, fd);
	atomic_store(&shim.own[fd_value(word)], high);
	fds_set(&shim.fds, high, word);
	if (fd_value(word) == OWN_DOORBELL)
		shim.tally.doorbell = high;
	return true;
}

static struct page *map_page(const struct adapter_head *head)
{
	size_t bytes = adapter_page_bytes(head->ring_len);
	struct stat st;
	struct page *page;

	if (REAL(fstat)(head->page, &st) < 0 || (uint64_t)st.st_size < bytes)
		return NULL;
	page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, head->page, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (page->version == PAGE_VERSION && page->ring_len == head->ring_len)
		return page;
	munmap(page, bytes);
	return NULL;
}

static bool attach_memory(const struct adapter_head *head)
{
	struct page *page = map_page(head);
	void *bell;

	if (!page)
		return false;
	bell = mmap(NULL, sizeof(struct bell), PROT_READ, MAP_SHARED, head->bell, 0);
	if (bell == MAP_FAILED)
		return false;
	tally_init(&shim.tally, page, head->ring_len, bell, head->doorbell);
	return true;
}

static bool attach_descriptors(const struct adapter_head *head)
{
	const int given[] = {head->channel, head->page, head->bell, head->doorbell};

	for (unsigned i = 0; i < ARRAY_LEN(given); i++)
		if (!own_descriptor(i, given[i]))
			return false;
	atomic_store(&shim.own[OWN_SILENCE], -1);
	shim.tally.doorbell = atomic_load(&shim.own[OWN_DOORBELL]);
	return true;
}

static bool join(void)
{
	const struct adapter_head *head = &shim.config.head;
	uint32_t nobody = 0;

	if (!environment_take() || adapter_read(shim.text, &shim.config) < 0)
		return false;
	if (socket_number(head->channel, SOL_SOCKET, SO_TYPE) != SOCK_SEQPACKET ||
		!attach_memory(head) || fds_init(&shim.fds) < 0)
		return false;
	if (!attach_descriptors(head))
		return false;
	shim.every = adapter_every(&shim.config);
	paths_init();
	atomic_compare_exchange_strong(&shim.tally.area->leader, &nobody, (uint32_t)getpid());
	return true;
}

bool shim_is_on(void)
{
	int state = atomic_load_explicit(&shim.state, memory_order_acquire), before = errno;

	if (state >= STATE_OFF)
		return state == STATE_ON;
	if (state != STATE_NEW ||
		!atomic_compare_exchange_strong(&shim.state, &state, STATE_JOINING))
		return false;
	state = join() ? STATE_ON : STATE_OFF;
	atomic_store_explicit(&shim.state, state, memory_order_release);
	if (state == STATE_ON)
		environment_inherit();
	else
		atomic_store(&shim.fds.words, NULL);
	errno = before;
	return state == STATE_ON;
}

void shim_say(const char *text)
{
	page_set_line(shim.tally.page, text);
}

__attribute__((constructor)) static void started(void)
{
	shim_is_on();
}

__attribute__((destructor)) static void ended(void)
{
	if (shim_is_on())
		conns_release_all();
}
