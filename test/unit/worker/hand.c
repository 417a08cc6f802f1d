/* See hand.h. */
#include "test/unit/worker/hand.h"
#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATIENCE_MS 10000

void hand_start(struct hand *h, const char *const *argv)
{
	int output[2];

	*h = (struct hand){.pid = 0};
	assert_int_equal(pipe(output), 0);
	h->pid = fork();
	if (!h->pid) {
		dup2(output[1], STDOUT_FILENO);
		dup2(output[1], STDERR_FILENO);
		close_range(STDERR_FILENO + 1, ~0u, 0);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(output[1]);
	h->output = output[0];
}

/* False at the end. */
static bool hear(struct hand *h)
{
	struct pollfd p = {.fd = h->output, .events = POLLIN};
	ssize_t got;

	if (poll(&p, 1, PATIENCE_MS) < 1)
		fail_msg("it said only: %s", h->said);
	got = read(h->output, h->said + h->said_len, sizeof(h->said) - h->said_len - 1);
	assert_true(got >= 0);
	h->said_len += (size_t)got;
	h->said[h->said_len] = '\0';
	return got;
}

const char *hand_expect(struct hand *h, const char *text)
{
	const char *found;

	while (!(found = strstr(h->said, text)))
		if (!hear(h))
			fail_msg("it said only: %s", h->said);
	return found;
}

unsigned hand_port(struct hand *h)
{
	static const char words[] = "listening on 127.0.0.1:";
	const char *found = hand_expect(h, words);

	while (!strchr(found, '\n'))
		assert_true(hear(h));
	return (unsigned)strtoul(found + sizeof(words) - 1, NULL, 10);
}

int hand_connect(unsigned port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

int hand_connect_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

int hand_wait(struct hand *h)
{
	int status;

	while (hear(h))
		;
	close(h->output);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_null(strstr(h->said, "Sanitizer"));
	return status;
}
