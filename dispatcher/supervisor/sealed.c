/* A reader that maps sealed memory needs to fear neither a writer that changes what was checked nor one
 * that takes pages away (SIGBUS). */
#include "dispatcher/supervisor/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int sealed_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int sealed_fill(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t put = write(fd, at, len);

		if (put <= 0)
			return put ? -errno : -EIO;
		at += put;
		len -= (size_t)put;
	}
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int sealed_map(int fd, void **ret_block, size_t *ret_bytes)
{
	struct stat st;
	void *block;

	if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &st) < 0 || !st.st_size)
		return -EBADMSG;
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	*ret_block = block;
	*ret_bytes = (size_t)st.st_size;
	return 0;
}
