/* Runs $OLD_KERNEL_RUNS with its own arguments, as on Linux before 6.9, which knows pidfds of
 * processes only. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *program = getenv("OLD_KERNEL_RUNS");
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!program || !f ||
		seccomp_rule_add(f, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(pidfd_open), 1,
			SCMP_A1_32(SCMP_CMP_EQ, O_EXCL)) ||
		seccomp_load(f))
		errx(1, "cannot make this kernel older");
	unsetenv("OLD_KERNEL_RUNS");
	execv(program, argv);
	err(1, "%s", program);
}
