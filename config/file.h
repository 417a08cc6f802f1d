/* Opens and reads one configuration file, or says why it must not be used. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config/report.h"

#include <stdbool.h>
#include <stdint.h>

struct file {
	char *path;
	char *data; /* len bytes and a NUL; may hold NULs */
	size_t len;
	uint64_t device, inode, size, mtime_ns;
	uint32_t owner;
};

enum file_answer {
	FILE_REFUSED = 1, /* told at where */
};

/* Reads path at once, through one descriptor that is checked itself: regular, not too long and,
 * when as_root, writable by nobody but its owner, which must be root or the user trusted
 * (UINT32_MAX: whoever it is). 0 (undo with file_deinit), FILE_REFUSED or -errno. */
int file_read(const char *path, bool as_root, uint32_t trusted, struct report *report,
	const struct where *where, struct file *ret_file);
void file_deinit(struct file *f);

#endif
