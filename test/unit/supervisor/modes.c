/* Workers that behave, and workers that do not. */
#include "test/unit/supervisor/modes.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CHANNEL 3

_Noreturn static int wait_for_ever(void)
{
	for (;;)
		pause();
}

static int exit_with_seven(void)
{
	return 7;
}

/* Leaves a child behind in its process group, which outlives it. */
static int leave_a_child(void)
{
	if (fork() == 0)
		wait_for_ever();
	return 0;
}

static int ignore_term(void)
{
	signal(SIGTERM, SIG_IGN);
	printf("deaf\n");
	fflush(stdout);
	wait_for_ever();
}

static int print_lines(void)
{
	printf("first line\nsecond\tline \x1b[31m\n");
	fflush(stdout);
	fprintf(stderr, "third line");
	return 0;
}

/* Prints all that a process has from whoever started it. */
static int show_yourself(void)
{
	struct rlimit files;
	struct dirent *e;
	char where[256], line[256];
	DIR *d = opendir("/proc/self/fd");
	FILE *score = fopen("/proc/self/oom_score_adj", "r");

	for (char **v = environ; *v; v++)
		printf("environment %s\n", *v);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d) && atoi(e->d_name) != fileno(score))
			printf("descriptor %s\n", e->d_name);
	getrlimit(RLIMIT_NOFILE, &files);
	printf("files %llu\n", (unsigned long long)files.rlim_cur);
	printf("umask %03o\n", umask(0));
	printf("directory %s\n", getcwd(where, sizeof(where)));
	printf("leader %d\n", getpid() == getsid(0) && getpid() == getpgrp());
	printf("score %s", fgets(line, sizeof(line), score));
	fclose(score);
	closedir(d);
	printf("bell %s\n", fcntl(5, F_GETFL) == O_RDONLY || (fcntl(5, F_GETFL) & O_ACCMODE) == O_RDONLY ?
		"readonly" : "writable");
	printf("sending %d\n", send(CHANNEL, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0);
	printf("user %d\n", geteuid());
	return fflush(stdout);
}

/* Prints the facts of its setup message. */
static int show_setup(void)
{
	static uint8_t buf[MSG_SETUP_BYTES];
	struct msg_reader r;
	struct msg_value v;
	unsigned count;
	size_t len;

	if (chan_recv(CHANNEL, buf, sizeof(buf), &len, NULL, 0, &count) || msg_open(&r, buf, len))
		return 1;
	printf("type %d\n", r.type);
	while (msg_next(&r, &v) > 0) {
		uint32_t number;

		if (v.len_bytes == 4 && !msg_u32(&v, &number))
			printf("fact %d %u\n", v.fact, number);
		else if (v.len_bytes != 8)
			printf("fact %d %.*s\n", v.fact, (int)v.len_bytes, v.data);
	}
	return fflush(stdout);
}

/* Reads its channel into memory that never answers, holding the lock of the socket. */
static int hold_the_lock(void)
{
	long uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pollfd p = {.fd = CHANNEL, .events = POLLIN};
	static uint8_t setup[MSG_SETUP_BYTES];

	if (recv(CHANNEL, setup, sizeof(setup), 0) < 0)
		return 1;
	reg.range.start = (uintptr_t)memory;
	reg.range.len = 65536;
	if (uffd < 0 || ioctl((int)uffd, UFFDIO_API, &api) < 0 ||
		ioctl((int)uffd, UFFDIO_REGISTER, &reg) < 0) {
		printf("cannot\n");
		return fflush(stdout);
	}
	printf("holding\n");
	fflush(stdout);
	poll(&p, 1, -1);
	return (int)recv(CHANNEL, memory, 65536, 0);
}

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{"wait", wait_for_ever},
	{"seven", exit_with_seven},
	{"child", leave_a_child},
	{"deaf", ignore_term},
	{"lines", print_lines},
	{"show", show_yourself},
	{"setup", show_setup},
	{"lock", hold_the_lock},
};

int modes_main(void)
{
	const char *name = getenv("MODE");

	for (size_t i = 0; name && i < ARRAY_LEN(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return modes[i].run();
	return 99;
}
