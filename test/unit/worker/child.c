/* A command for dispatcher-exec: says on its standard output what it was given, then copies input.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say_descriptors(void)
{
	printf("fds");
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf(" %d", fd);
	printf("\n%s\n", fcntl(0, F_GETFL) & O_NONBLOCK ? "non-blocking" : "blocking");
}

static void say_signals(void)
{
	struct sigaction action;
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	printf("signals");
	for (int number = 1; number < 32; number++) {
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
			printf(" handled:%d", number);
		if (sigismember(&blocked, number))
			printf(" blocked:%d", number);
	}
	printf("\n%s\n", getsid(0) == getpid() && getpgrp() == getpid() ? "leader" : "member");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_environment(void)
{
	size_t count = 0;

	while (environ[count])
		count++;
	qsort(environ, count, sizeof(*environ), by_text);
	for (size_t i = 0; i < count; i++)
		printf("%s\n", environ[i]);
}

int main(int argc, char **argv)
{
	char buf[1000];
	ssize_t got;

	for (int i = 1; i < argc; i++)
		printf("argument %s\n", argv[i]);
	say_descriptors();
	say_signals();
	say_environment();
	printf("end\n");
	fflush(stdout);
	fprintf(stderr, "child says so\n");
	while ((got = read(0, buf, sizeof(buf))) > 0)
		if (write(1, buf, (size_t)got) != got)
			return 1;
	return 0;
}
