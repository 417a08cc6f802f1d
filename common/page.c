/* Report pages. See page.h for the protocol; everything here is a few loads and stores. */
#include "common/page.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RING_LEAST 512u

uint32_t page_ring_len(uint32_t max_conns)
{
	return base_pow2(MAX(max_conns, RING_LEAST));
}

size_t page_bytes(uint32_t ring_len)
{
	return sizeof(struct page) + ring_len * sizeof(_Atomic uint32_t);
}

int page_memory(const char *name, size_t bytes)
{
	OWNS_FD int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return base_steal_fd(&fd);
}

int page_readonly(int fd)
{
	char path[40];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

void *page_map(int fd, size_t bytes, int writable)
{
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *memory = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void page_set_ready(struct page *page)
{
	atomic_store(&page->ready, 1);
}

void page_add_taken(struct page *page, uint32_t count)
{
	uint64_t taken = atomic_load_explicit(&page->taken, memory_order_relaxed);

	atomic_store(&page->taken, taken + count);
}

void page_add_done(struct page *page, uint32_t slot)
{
	uint64_t done = atomic_load_explicit(&page->done, memory_order_relaxed);

	atomic_store_explicit(&page->ring[done & (page->ring_len - 1)], slot, memory_order_relaxed);
	atomic_store(&page->done, done + 1);
}

void page_set_beat(struct page *page, uint64_t nonce)
{
	atomic_store(&page->beat, nonce);
}

void page_set_line(struct page *page, const char *text)
{
	size_t len = MIN(strlen(text), sizeof(page->line) - 1);

	memcpy(page->line, text, len);
	memset(page->line + len, 0, sizeof(page->line) - len);
}

void page_ring(const struct bell *bell, int pipe_fd, uint32_t *rung)
{
	uint32_t armed = atomic_load(&bell->armed);

	if (armed == *rung)
		return;
	*rung = armed;
	while (write(pipe_fd, "", 1) < 0 && errno == EINTR)
		;
}

void page_read(const struct page *page, struct page_claims *ret_claims)
{
	ret_claims->beat = atomic_load(&page->beat);
	ret_claims->ready = atomic_load(&page->ready);
	ret_claims->done = atomic_load(&page->done);
	ret_claims->taken = atomic_load(&page->taken);
}

uint32_t page_done_slot(const struct page *page, uint32_t ring_len, uint64_t index)
{
	return atomic_load_explicit(&page->ring[index & (ring_len - 1)], memory_order_relaxed);
}

void page_arm(struct bell *bell)
{
	atomic_fetch_add(&bell->armed, 1);
}

void page_copy_line(const struct page *page, char ret_line[PAGE_LINE_BYTES])
{
	memcpy(ret_line, page->line, PAGE_LINE_BYTES);
	ret_line[PAGE_LINE_BYTES - 1] = '\0';
	for (char *c = ret_line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}
