/* dispatcher-notify: runs COMMAND, an unmodified server that no preloaded library reaches, and
 * answers those of its system calls by which it would listen and accept (seccomp_unotify(2)).
 *
 * Towards the dispatcher it is the worker: it has the channel and the page, gets the signals, and
 * ends as the program ends. It reports what was taken; the ends of connections the kernel tells the
 * dispatcher. It never waits for the program: everything is an event of one loop.
 *
 * When it is killed, the program is left without answers (accept() fails) and is ended by the
 * supervisor with all that the worker had started; no signal at the parent's death is asked
 * for, as that would miss whatever else the program has started. */
#include "worker/notify/leftover.h"
#include "worker/notify/notify.h"
#include "common/base.h"
#include "common/clock.h"
#include "worker/notify/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define EVENTS        16
#define LOOK_AGAIN_MS 1000 /* at least, and ten times as long as a look takes */
#define HOLD_MS       10000
#define EXIT_CANNOT   127
/* Of Linux 6.6: who answers runs where the caller ran, at once. */
#define SET_FLAGS    _IOW('!', 4, uint64_t)
#define SYNC_WAKE_UP 1ul

struct running {
	struct notify n;
	struct seccomp_notif *call;
	struct seccomp_notif_resp *unused; /* libseccomp allocates both */
	sigset_t inherited;
	pid_t program;
	int program_fd, signals;
	bool has_ended;
	bool is_alone; /* the dispatcher is gone */
	bool was_told; /* and the program was asked to end */
	uint64_t look_ms; /* when to look again whether clients are left; monotonic, 0: at once */
};

static int complain(struct running *r, const char *program, const char *what, int error)
{
	char line[PAGE_LINE_BYTES];

	snprintf(line, sizeof(line), "adapter: cannot run %.60s: %s: %s", program, what,
		strerror(-error));
	fprintf(stderr, "dispatcher-notify: %s\n", line);
	if (r->n.report.page) {
		report_line(&r->n.report, line);
		report_ring(&r->n.report);
	}
	return EXIT_CANNOT;
}

static int watch(struct running *r, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(r->n.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int close_on_exec(const struct adapter_head *h)
{
	const int fds[] = {h->channel, h->page, h->bell, h->doorbell};

	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	return 0;
}

/* Reads what the dispatcher said, and takes it out of the program's environment. */
static int attach(struct running *r)
{
	const char *text = getenv(ADAPTER_ENV);
	const struct adapter_head *h = &r->n.adapter.head;
	int bad = text ? adapter_read(text, &r->n.adapter) : -EINVAL;

	if (!bad)
		bad = close_on_exec(h);
	if (!bad)
		bad = report_init(&r->n.report, h->page, h->bell, h->doorbell, h->ring_len);
	if (bad)
		return bad;
	r->n.inlet.channel = h->channel;
	unsetenv(ADAPTER_ENV);
	unsetenv("DISPATCHER_WORKER");
	return 0;
}

/* All that can be passed on come as events; what our own faults raise stays as it is. */
static int take_signals(struct running *r)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t all;

	sigfillset(&all);
	for (unsigned i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(&all, own[i]);
	sigprocmask(SIG_SETMASK, &all, &r->inherited);
	sigdelset(&all, SIGCHLD);
	sigdelset(&all, SIGPIPE);
	r->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -errno : 0;
}

static void move_up(int *fd)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, NOTIFY_HIGH_FD);

	if (high < 0)
		return;
	close(*fd);
	*fd = high;
}

static int start(struct running *r, char **argv, const char **ret_what)
{
	uint64_t flags = SYNC_WAKE_UP;
	int listener = -1;
	int bad = start_program(argv, &r->inherited, &r->program, &listener, ret_what);

	if (bad)
		return bad;
	*ret_what = "setup";
	move_up(&listener);
	callers_init(&r->n.callers, listener);
	ioctl(listener, SET_FLAGS, &flags);
	r->program_fd = pidfd_open(r->program, 0);
	if (r->program_fd < 0)
		return -errno;
	bad = seccomp_notify_alloc(&r->call, &r->unused);
	if (!bad)
		bad = watch(r, listener, EPOLLIN);
	if (!bad)
		bad = watch(r, r->program_fd, EPOLLIN);
	if (!bad)
		bad = watch(r, r->signals, EPOLLIN);
	if (!bad)
		bad = watch(r, r->n.inlet.channel, EPOLLIN | EPOLLET);
	if (!bad)
		bad = watch(r, r->n.report.doorbell, 0); /* EPOLLERR: nobody would hear it */
	return bad;
}

static void on_call(struct running *r)
{
	struct caller c;

	memset(r->call, 0, sizeof(*r->call)); /* as the kernel insists */
	if (seccomp_notify_receive(r->n.callers.listener, r->call))
		return; /* the caller was killed meanwhile */
	caller_init(&c, &r->n.callers, r->call);
	answer_call(&r->n, &c);
}

static void on_signal(struct running *r)
{
	struct signalfd_siginfo info;

	while (read(r->signals, &info, sizeof(info)) == sizeof(info))
		kill(r->program, (int)info.ssi_signo);
}

/* The program has closed its last descriptor of a listener, or shut it down. */
static void on_bell(struct running *r, int bell)
{
	struct spot *spot = spots_of_bell(&r->n.spots, bell);
	char byte;

	if (!spot || recv(bell, &byte, 1, MSG_PEEK | MSG_DONTWAIT))
		return; /* another that has the number of one that went just now */
	waiters_answer(&r->n.waiters, spot->cookie, -EINVAL);
	spots_remove(&r->n.spots, spot);
}

static void on_event(struct running *r, const struct epoll_event *event)
{
	int fd = event->data.fd;

	if (fd == r->n.callers.listener) {
		if (event->events & EPOLLIN)
			on_call(r);
		else if (event->events & EPOLLHUP) /* nobody is left to ask */
			epoll_ctl(r->n.epoll, EPOLL_CTL_DEL, fd, NULL);
	} else if (fd == r->n.inlet.channel) {
		accepts_offered(&r->n);
	} else if (fd == r->signals) {
		on_signal(r);
	} else if (fd == r->n.report.doorbell) {
		r->is_alone = true;
		epoll_ctl(r->n.epoll, EPOLL_CTL_DEL, fd, NULL);
	} else if (fd == r->program_fd) {
		r->has_ended = true;
	} else {
		on_bell(r, fd);
	}
}

/* A service that wants no end of file gets one only from an acceptor that has lost its supervisor. */
static bool is_last(const struct running *r)
{
	return r->is_alone || (r->n.inlet.ended && !r->n.adapter.head.ends_by_eof);
}

/* A look costs as much as the machine has sockets. */
static void look_later(struct running *r, uint64_t since_ms)
{
	uint64_t now_ms = clock_mono_ms(), took_ms = now_ms - since_ms;

	r->look_ms = now_ms + MAX(took_ms * 10, LOOK_AGAIN_MS);
}

/* Nobody but us will tell the program that its work is done. */
static int time_left(struct running *r)
{
	uint64_t now_ms = clock_mono_ms();

	if (!is_last(r) || r->was_told)
		return -1;
	if (now_ms < r->look_ms)
		return (int)(r->look_ms - now_ms);
	if (r->n.inlet.kept || leftover_any(&r->n.adapter)) {
		look_later(r, now_ms);
		return LOOK_AGAIN_MS;
	}
	r->was_told = true;
	kill(r->program, r->n.adapter.head.stop_signal);
	return -1;
}

/* Until the program has ended. Its wait status. */
static int serve(struct running *r)
{
	struct epoll_event events[EVENTS];
	int status = 0;

	answer_progress(&r->n);
	while (!r->has_ended) {
		int count;

		report_ring(&r->n.report);
		count = epoll_wait(r->n.epoll, events, EVENTS, time_left(r));
		for (int i = 0; i < count; i++)
			on_event(r, &events[i]);
	}
	report_ring(&r->n.report);
	waitpid(r->program, &status, 0);
	return status;
}

static int end_as(int status)
{
	const struct rlimit none = {0, 0};
	sigset_t one;

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none); /* the program's own is the one to look at */
	sigemptyset(&one);
	sigaddset(&one, WTERMSIG(status));
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + WTERMSIG(status);
}

/* The program's first process has left in peace, but others of it live on: it went into the
 * background, where nobody can look after it. That is for the supervisor to see, who looks for them
 * and ends them; until then their calls wait, rather than fail and set off who knows what. */
static void hold_others(struct running *r, int status)
{
	struct pollfd asked = {.fd = r->n.callers.listener};

	if (status || poll(&asked, 1, 0) != 0) /* POLLHUP: nobody is left who could call */
		return;
	if (fork() == 0) {
		poll(NULL, 0, HOLD_MS);
		_exit(0);
	}
}

static void release(struct running *r)
{
	seccomp_notify_free(r->call, r->unused);
	waiters_deinit(&r->n.waiters);
	inlet_deinit(&r->n.inlet);
	while (r->n.spots.first)
		spots_remove(&r->n.spots, r->n.spots.first);
	report_deinit(&r->n.report);
}

int main(int argc, char **argv)
{
	struct running r = {.program_fd = -1};
	const char *what = "not started by the dispatcher";
	int status;
	int bad = argc < 1 ? -EINVAL : attach(&r);

	if (bad)
		return complain(&r, argc < 1 ? "nothing" : argv[0], what, bad);
	r.n.epoll = epoll_create1(EPOLL_CLOEXEC);
	what = "setup";
	bad = r.n.epoll < 0 ? -errno : take_signals(&r);
	if (!bad)
		bad = start(&r, argv, &what);
	if (bad)
		return complain(&r, argv[0], what, bad);
	status = serve(&r);
	hold_others(&r, status);
	release(&r);
	return end_as(status);
}
