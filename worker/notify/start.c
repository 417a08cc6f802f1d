/* The child puts the filter on itself, passes its descriptor to us, and becomes the program; the
 * same pair of sockets then tells of an exec that failed, or by its end that it went well. */
#include "worker/notify/start.h"
#include "common/base.h"
#include "common/chan.h"
#include "worker/notify/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

struct news {
	int error;
	int is_exec; /* else: of the filter */
};

_Noreturn static void tell(int pair, int error, int is_exec)
{
	struct news news = {error, is_exec};

	chan_send(pair, &news, sizeof(news), NULL, 0);
	_exit(127);
}

_Noreturn static void become(char **argv, const sigset_t *mask, int pair)
{
	struct news fine = {0, 0};
	int listener = filter_load();

	if (listener < 0)
		tell(pair, -listener, 0);
	chan_send(pair, &fine, sizeof(fine), &listener, 1);
	close(listener);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execv(argv[0], argv);
	tell(pair, errno, 1);
}

static int hear(int pair, struct news *ret_news, int *ret_listener)
{
	struct pollfd p = {.fd = pair, .events = POLLIN};
	unsigned count = 0;
	size_t len;
	int answer;

	while ((answer = chan_recv(pair, ret_news, sizeof(*ret_news), &len, ret_listener, 1,
			&count)) == CHAN_EMPTY)
		poll(&p, 1, -1);
	return answer;
}

int start_program(
	char **argv, const sigset_t *mask, pid_t *ret_pid, int *ret_listener, const char **ret_what)
{
	struct news news = {ECHILD, 0};
	int pair[2], bad;

	*ret_what = "fork";
	bad = chan_pair(pair);
	if (bad)
		return bad;
	*ret_pid = fork();
	if (*ret_pid < 0)
		return -errno;
	if (!*ret_pid)
		become(argv, mask, pair[1]);
	close(pair[1]);
	bad = hear(pair[0], &news, ret_listener);
	if (!bad && !news.error)
		bad = hear(pair[0], &news, ret_listener);
	close(pair[0]);
	if (bad == CHAN_GONE && !news.error)
		return 0;
	*ret_what = news.is_exec ? "exec" : "seccomp";
	return bad < 0 ? bad : -news.error;
}
