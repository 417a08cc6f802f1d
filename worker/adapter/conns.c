/* The table of descriptors against the shared counts.
 *
 * A fork makes a reference of every descriptor before there is a child, so that a connection is
 * never done in between. Other threads may accept and close between the count and the fork; then
 * the words that were counted are kept, and the child settles the difference with those it has. */
#include "worker/adapter/conns.h"
#include "common/base.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>

void conns_end_if_idle(void)
{
	struct adapter_area *area = shim.tally.area;
	int before = errno;

	if (atomic_load(&area->gone) && !tally_open(&shim.tally))
		kill((pid_t)atomic_load(&area->leader), shim.config.head.stop_signal);
	errno = before;
}

void conns_release(uint32_t tag)
{
	if (tally_release(&shim.tally, tag))
		conns_end_if_idle();
}

void conns_set(int fd, uint64_t word)
{
	uint64_t former = fds_take(&shim.fds, fd);

	if (fd_kind(former) == FD_CONN)
		conns_release(fd_value(former));
	fds_set(&shim.fds, fd, word);
}

void conns_release_all(void)
{
	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1)) {
		uint64_t word = fds_get(&shim.fds, fd);

		if (fd_kind(word) == FD_CONN && fds_take(&shim.fds, fd) == word)
			conns_release(fd_value(word));
	}
}

static size_t words_bytes(const struct conns_fork *f)
{
	return ((size_t)f->highest + 1) * sizeof(uint64_t);
}

static void keep_words(struct conns_fork *f)
{
	*f = (struct conns_fork){.highest = atomic_load(&shim.fds.highest)};
	if (__libc_single_threaded)
		return;
	f->words = mmap(
		NULL, words_bytes(f), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->words == MAP_FAILED)
		f->words = NULL;
}

static void drop_words(struct conns_fork *f)
{
	if (f->words)
		munmap(f->words, words_bytes(f));
	f->words = NULL;
}

void conns_prepare_fork(struct conns_fork *f)
{
	keep_words(f);
	for (int fd = fds_next(&shim.fds, 0); fd >= 0 && fd <= f->highest;
		fd = fds_next(&shim.fds, fd + 1)) {
		uint64_t word = fds_get(&shim.fds, fd);

		if (fd_kind(word) != FD_CONN || !tally_refer(&shim.tally, fd_value(word)))
			continue;
		if (f->words)
			f->words[fd] = word;
	}
}

/* What was counted for a child that is not born. */
static void uncount(struct conns_fork *f)
{
	for (int fd = 0; fd <= f->highest; fd++) {
		uint64_t word = f->words ? f->words[fd] : fds_get(&shim.fds, fd);

		if (fd_kind(word) == FD_CONN)
			conns_release(fd_value(word));
	}
}

void conns_forked(struct conns_fork *f, int child)
{
	int before = errno;

	if (child < 0)
		uncount(f);
	drop_words(f);
	errno = before;
}

void conns_born(struct conns_fork *f)
{
	int highest = atomic_load(&shim.fds.highest);

	for (int fd = 0; f->words && fd <= MAX(highest, f->highest); fd++) {
		uint64_t counted = fd <= f->highest ? f->words[fd] : 0;
		uint64_t word = fds_get(&shim.fds, fd);

		if (word == counted)
			continue;
		if (fd_kind(counted) == FD_CONN)
			conns_release(fd_value(counted));
		if (fd_kind(word) == FD_CONN)
			tally_refer(&shim.tally, fd_value(word));
	}
	drop_words(f);
}

/* Every connection whose descriptor is (or is not) inherited by an executed program. */
static void each_conn(bool is_inherited, void (*act)(uint32_t tag))
{
	int before = errno;

	for (int fd = fds_next(&shim.fds, 0); fd >= 0; fd = fds_next(&shim.fds, fd + 1)) {
		uint64_t word = fds_get(&shim.fds, fd);

		if (fd_kind(word) != FD_CONN)
			continue;
		if (is_inherited == !(REAL(fcntl)(fd, F_GETFD) & FD_CLOEXEC))
			act(fd_value(word));
	}
	errno = before;
}

static void refer(uint32_t tag)
{
	tally_refer(&shim.tally, tag);
}

void conns_prepare_spawn(void)
{
	each_conn(true, refer);
}

void conns_undo_spawn(void)
{
	each_conn(true, conns_release);
}

void conns_prepare_exec(void)
{
	each_conn(false, conns_release);
}

void conns_undo_exec(void)
{
	each_conn(false, refer);
}
