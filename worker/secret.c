/* The mapping itself stays out of core dumps and children, and out of swap where the limit permits.
 * But OpenSSL makes of a key what it needs on the heap, which no madvise(2) reaches. So a process
 * that has ever seen a key is not dumpable: it leaves no core, and neither a debugger nor
 * /proc/PID/mem of another process of the same user can look into it.
 *
 * Sealed memory cannot be overwritten; it is gone when the last one has unmapped and closed it. */
#include "worker/secret.h"
#include "common/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int check(int fd, size_t max_bytes, size_t *ret_len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || !(seals & F_SEAL_WRITE))
		return -EBADMSG;
	if (st.st_size <= 0 || (size_t)st.st_size > max_bytes)
		return -EBADMSG;
	*ret_len = (size_t)st.st_size;
	return 0;
}

int secret_map(struct secret *s, int fd, size_t max_bytes)
{
	size_t len;
	void *memory;
	int bad = check(fd, max_bytes, &len);

	if (bad)
		return bad;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	memory = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	madvise(memory, len, MADV_DONTDUMP);
	madvise(memory, len, MADV_DONTFORK);
	mlock(memory, len);
	*s = (struct secret){memory, len};
	return 0;
}

void secret_unmap(struct secret *s)
{
	if (s->memory)
		munmap(s->memory, s->len_bytes);
	*s = (struct secret){NULL, 0};
}
