/* The table is reserved memory of which only the pages of low descriptors are ever touched. Threads
 * change it at the same time; a word is taken out by exchange, so that only one of two closers
 * acts. */
#include "worker/adapter/fds.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

int fds_init(struct fds *f)
{
	void *words = mmap(NULL, FDS_MAX * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (words == MAP_FAILED)
		return -errno;
	atomic_store(&f->highest, -1);
	atomic_store_explicit(&f->words, words, memory_order_release);
	return 0;
}

void fds_set(struct fds *f, int fd, uint64_t word)
{
	_Atomic uint64_t *words = atomic_load(&f->words);
	int highest = atomic_load(&f->highest);

	if (!words || (unsigned)fd >= FDS_MAX)
		return;
	while (highest < fd && !atomic_compare_exchange_weak(&f->highest, &highest, fd))
		;
	atomic_store_explicit(&words[fd], word, memory_order_release);
}

uint64_t fds_take(struct fds *f, int fd)
{
	_Atomic uint64_t *words = atomic_load(&f->words);

	if (!words || (unsigned)fd >= FDS_MAX)
		return 0;
	return atomic_exchange(&words[fd], 0);
}

int fds_next(struct fds *f, int fd)
{
	int highest = atomic_load(&f->highest);

	for (; fd <= highest; fd++)
		if (fds_get(f, fd))
			return fd;
	return -1;
}
