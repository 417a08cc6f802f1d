/* A dispatcher that is fit when it is probed, and HOW when it has to resume. */
#include "dispatcher/supervisor/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int __real_ops_new(struct outlet *outlet, struct ops **ret_ops);
int __wrap_ops_new(struct outlet *outlet, struct ops **ret_ops);

enum how { crashes, fails, sleeps };

static bool resumes(void)
{
	char words[256] = "";
	OWNS_FD int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, words, sizeof(words) - 1);

	return got > 0 && memmem(words, (size_t)got, "--role=resume", strlen("--role=resume"));
}

int __wrap_ops_new(struct outlet *outlet, struct ops **ret_ops)
{
	const enum how how = HOW;

	if (resumes() && how == crashes)
		raise(SIGSEGV);
	if (resumes() && how == sleeps)
		for (;;)
			pause();
	return resumes() ? -ENOMEM : __real_ops_new(outlet, ret_ops);
}
