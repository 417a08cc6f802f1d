/* The status again every second. On a terminal it is drawn in place on the other screen, so that the
 * first one is as before when the view ends; elsewhere one status follows the other. Signals arrive as
 * reads, so that the terminal is always given back as it was. */
#include "dispatcher/ctl/watch.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/show.h"
#include "dispatcher/ctl/text.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#define EVERY_MS 1000

/* What the last picture told. */
struct tally {
	uint64_t at_ms;
	double accepted, open, waiting;
};

struct view {
	const struct command *command;
	struct tally last;
	int terminal; /* -1: none */
	int signals;
	struct termios before;
};

static void enter(struct view *v)
{
	struct termios raw;
	int fd = fileno(v->command->out);

	v->terminal = -1;
	if (fd < 0 || !isatty(fd) || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &v->before))
		return;
	raw = v->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
		return;
	v->terminal = fd;
	fputs("\033[?1049h\033[?25l", v->command->out);
}

static void leave(struct view *v)
{
	if (v->terminal < 0)
		return;
	fputs("\033[?25h\033[?1049l", v->command->out);
	fflush(v->command->out);
	tcsetattr(STDIN_FILENO, TCSANOW, &v->before);
}

static unsigned rows_of(const struct view *v)
{
	struct winsize size = {0};

	if (ioctl(v->terminal, TIOCGWINSZ, &size) < 0 || size.ws_row < 3)
		return 24;
	return size.ws_row;
}

/* Each line clears its place first (behind a line of full width it would lose its last letter), and the
 * end what stood below: nothing flickers. */
static void draw(const struct view *v, const char *text)
{
	unsigned left = rows_of(v) - 1;
	FILE *out = v->command->out;

	fputs("\033[H", out);
	for (; *text && left; left--) {
		size_t len = strcspn(text, "\n");

		fputs("\033[K", out);
		fwrite(text, 1, len, out);
		fputc('\n', out);
		text += len + (text[len] == '\n');
	}
	fprintf(out, "\033[J%s", *text ? "(more than fits; q ends)" : "q ends");
}

static struct tally tally_of(const json_t *document)
{
	struct tally t = {.at_ms = clock_mono_ms()};
	const json_t *s;
	size_t i;

	json_array_foreach(json_object_get(document, "services"), i, s) {
		t.accepted += text_number(s, "accepted");
		t.open += text_number(s, "connections");
		t.waiting += text_number(s, "waiting");
	}
	return t;
}

/* "2026-02-03 04:05:06   12 open, 0 waiting, 345 new a second" */
static void head(struct view *v, const json_t *document, FILE *out)
{
	struct tally now = tally_of(document), last = v->last;
	char time[CLOCK_TEXT_BYTES], shorter[TEXT_SHORT_BYTES];

	fputs(text_time(clock_format(clock_wall_ms(), time), shorter), out);
	if (document)
		fprintf(out, "   %.0f open, %.0f waiting", now.open, now.waiting);
	if (document && last.at_ms && now.at_ms > last.at_ms && now.accepted >= last.accepted)
		fprintf(out, ", %.0f new a second",
			(now.accepted - last.accepted) * 1000 / (double)(now.at_ms - last.at_ms));
	fputc('\n', out);
	v->last = document ? now : (struct tally){0};
}

/* Text of now: the status, or why there is none. */
static char *picture(struct view *v, int *ret_status)
{
	const struct command *c = v->command;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct reply reply;
	json_t *document = NULL;

	*ret_status = REQUEST_REFUSED;
	if (!out)
		return NULL;
	*ret_status = ask_consume(c, request_new("status", c->arg_count ? c->args[0] : NULL), &reply);
	if (!*ret_status)
		document = json_loadb(reply.body, reply.body_len, 0, NULL);
	head(v, document, out);
	if (document)
		show_status(document, c->arg_count > 0, out);
	else
		text_print(out, reply.error ? reply.error : "the dispatcher's answer is no JSON");
	fputc('\n', out);
	json_decref(document);
	reply_deinit(&reply);
	fclose(out);
	return text;
}

/* True: the view is to end. */
static bool wait_a_second(const struct view *v)
{
	struct pollfd fds[] = {{.fd = v->signals, .events = POLLIN},
		{.fd = v->terminal < 0 ? -1 : STDIN_FILENO, .events = POLLIN}};
	struct signalfd_siginfo caught;
	char key = 'q';

	if (poll(fds, ARRAY_LEN(fds), EVERY_MS) <= 0)
		return false;
	if (fds[0].revents) /* taken, it does not end us when signals are let through again */
		return read(v->signals, &caught, sizeof(caught)) > 0;
	return fds[1].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q');
}

static int run(struct view *v)
{
	const struct command *c = v->command;
	int status;

	do {
		OWNS_MEM char *text = picture(v, &status);

		if (v->terminal >= 0)
			draw(v, text ? text : "");
		else
			fputs(text ? text : "", c->out);
		if (fflush(c->out))
			return REQUEST_REFUSED;
	} while (!wait_a_second(v));
	return status;
}

int watch_status(const struct command *c)
{
	struct view v = {.command = c};
	sigset_t wanted, before;
	int status;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGHUP);
	sigprocmask(SIG_BLOCK, &wanted, &before);
	v.signals = signalfd(-1, &wanted, SFD_CLOEXEC);
	enter(&v);
	status = run(&v);
	leave(&v);
	base_close(&v.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
