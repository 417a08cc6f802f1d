/* The file STATE_DIR/disabled: services that stay closed over a reboot, one a line: its name, and who
 * disabled it when. */
#ifndef SUPERVISOR_DISABLED_H
#define SUPERVISOR_DISABLED_H

#include "dispatcher/supervisor/closures.h"

#define DISABLED_FILE "disabled"

enum disabled_answer {
	DISABLED_UNTRUSTED = 1, /* it is not ours, or others may write it: nothing was read */
};

typedef void disabled_fn(void *user, const struct closure *closure);

/* Calls for each line. 0 (also when there is no file), DISABLED_UNTRUSTED or -errno. */
int disabled_read(const char *dir, disabled_fn *call, void *user);

/* Writes those that last LINK_LASTS_DISABLE: whoever reads finds the whole old file or the whole new
 * one, also after a power failure. 0 or -errno. */
int disabled_write(const char *dir, const struct closure *list, unsigned count);

#endif
