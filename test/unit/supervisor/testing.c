/* Waiting is for an event with a limit, never for a time. */
#include "test/unit/supervisor/testing.h"
#include "common/base.h"
#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define PATIENCE_MS 5000

long testing_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

int testing_wait(pid_t pid)
{
	int status = -1, fd = (int)testing_pidfd(pid);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void testing_print(const char *path)
{
	OWNS_FILE FILE *f = fopen(path, "r");
	char line[1024];

	while (f && fgets(line, sizeof(line), f))
		print_message("%s", line);
}

static bool has_text(const char *path, const char *text)
{
	OWNS_FILE FILE *f = fopen(path, "r");
	static char all[1 << 20];
	size_t len = f ? fread(all, 1, sizeof(all) - 1, f) : 0;

	all[len] = '\0';
	return strstr(all, text);
}

/* A file tells nobody that it has grown, so this one looks again and again. */
void testing_await_either(const char *path, const char *one, const char *other)
{
	uint64_t deadline = clock_mono_ms() + PATIENCE_MS;
	struct timespec moment = {.tv_nsec = 5000000};

	while (!has_text(path, one) && !has_text(path, other)) {
		if (clock_mono_ms() > deadline) {
			testing_print(path);
			fail_msg("%s never says: %s", path, one);
		}
		nanosleep(&moment, NULL);
	}
}

void testing_await_text(const char *path, const char *text)
{
	testing_await_either(path, text, text);
}

void testing_await_stuck(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	testing_await_text(path, "userfault");
}

bool testing_is_dead(pid_t pid)
{
	OWNS_FD int fd = (int)testing_pidfd(pid);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return fd < 0 || poll(&p, 1, PATIENCE_MS) == 1;
}

void testing_pair(int ret_ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends), 0);
}

bool testing_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino;
}
