/* A file with certificates or keys, read at once through a descriptor that is looked at first. */
#ifndef KEYS_KEYFILE_H
#define KEYS_KEYFILE_H

#include "config/settings.h"

#include <stdbool.h>

#define KEYFILE_WHY_BYTES 256

enum keyfile_answer {
	KEYFILE_REFUSED = 1, /* ret_why says why, and the remedy */
};

struct keyfile {
	char *data; /* len bytes */
	size_t len;
	struct settings_stamp stamp;
};

/* Secret files must belong to root or to who runs, and nobody else may read them; in no file may others
 * write. 0 (undo with keyfile_free, which wipes it) or KEYFILE_REFUSED. */
int keyfile_read(const char *path, bool is_secret, struct keyfile *ret_file,
	char ret_why[KEYFILE_WHY_BYTES]);
void keyfile_free(struct keyfile *f); /* one that was never filled is fine */

#endif
