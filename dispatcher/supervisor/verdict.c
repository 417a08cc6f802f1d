/* One thread speaks for its process: any that is stopped (all are, then), any that spins, else the
 * first one, which runs the loop of a worker; idle threads of a pool wait in a futex rightly. */
#include "dispatcher/supervisor/verdict.h"
#include "common/base.h"

#include <string.h>
#include <sys/syscall.h>

#define SPINS_PERCENT 50

enum wait_kind { WAITS_LOCK, WAITS_READY, WAITS_INPUT, WAITS_OUTPUT, WAITS_TIME, WAITS_CHILD,
	WAITS_SIGNAL };

struct call {
	long number;
	const char *name;
	enum wait_kind kind;
};

static const struct call calls[] = {
	{SYS_futex, "futex", WAITS_LOCK},
#ifdef SYS_epoll_wait
	{SYS_epoll_wait, "epoll_wait", WAITS_READY},
#endif
	{SYS_epoll_pwait, "epoll_pwait", WAITS_READY},
#ifdef SYS_poll
	{SYS_poll, "poll", WAITS_READY},
#endif
	{SYS_ppoll, "ppoll", WAITS_READY},
#ifdef SYS_select
	{SYS_select, "select", WAITS_READY},
#endif
	{SYS_pselect6, "pselect6", WAITS_READY},
	{SYS_read, "read", WAITS_INPUT},
	{SYS_readv, "readv", WAITS_INPUT},
	{SYS_recvfrom, "recvfrom", WAITS_INPUT},
	{SYS_recvmsg, "recvmsg", WAITS_INPUT},
	{SYS_accept4, "accept4", WAITS_INPUT},
	{SYS_write, "write", WAITS_OUTPUT},
	{SYS_writev, "writev", WAITS_OUTPUT},
	{SYS_sendto, "sendto", WAITS_OUTPUT},
	{SYS_sendmsg, "sendmsg", WAITS_OUTPUT},
	{SYS_sendfile, "sendfile", WAITS_OUTPUT},
	{SYS_nanosleep, "nanosleep", WAITS_TIME},
	{SYS_clock_nanosleep, "clock_nanosleep", WAITS_TIME},
	{SYS_wait4, "wait4", WAITS_CHILD},
	{SYS_waitid, "waitid", WAITS_CHILD},
#ifdef SYS_pause
	{SYS_pause, "pause", WAITS_SIGNAL},
#endif
	{SYS_rt_sigsuspend, "rt_sigsuspend", WAITS_SIGNAL},
	{SYS_rt_sigtimedwait, "rt_sigtimedwait", WAITS_SIGNAL},
};

/* Where system calls may not be seen, the kernel's function says as much. */
static const struct {
	const char *part;
	enum wait_kind kind;
} wchans[] = {
	{"futex", WAITS_LOCK},
	{"epoll", WAITS_READY},
	{"ep_poll", WAITS_READY},
	{"poll_schedule", WAITS_READY},
	{"skb_wait_for_more", WAITS_INPUT},
	{"sk_wait_data", WAITS_INPUT},
	{"unix_stream_read", WAITS_INPUT},
	{"sk_stream_wait_mem", WAITS_OUTPUT},
	{"nanosleep", WAITS_TIME},
	{"do_wait", WAITS_CHILD},
	{"pause", WAITS_SIGNAL},
};

static const struct call *call_of(long number)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i].number == number)
			return &calls[i];
	return NULL;
}

const char *verdict_call_name(long number)
{
	const struct call *call = call_of(number);

	return call ? call->name : NULL;
}

static bool is_stopped(const struct verdict_thread *t)
{
	return t->state[1] == 'T' || t->state[1] == 't';
}

/* On a machine with too few CPUs who spins gets little of one; it is ready to run all the same. */
static bool spins(const struct verdict_thread *t)
{
	bool runs = t->state[0] == 'R' && t->state[1] == 'R';

	return t->cpu_percent >= SPINS_PERCENT || (runs && t->cpu_percent);
}

static const char *words(enum wait_kind kind, enum verdict_end end)
{
	switch (kind) {
	case WAITS_LOCK:
		return "deadlock?";
	case WAITS_READY:
		return "waits for a client";
	case WAITS_INPUT:
		if (end == VERDICT_SOCKET)
			return "waits for a client";
		return end == VERDICT_PIPE ? "waits for a pipe" : "waits for input";
	case WAITS_OUTPUT:
		if (end == VERDICT_SOCKET)
			return "waits for a client that does not read";
		return end == VERDICT_PIPE ? "waits for who should read a pipe" : "waits to write";
	case WAITS_TIME:
		return "sleeps";
	case WAITS_CHILD:
		return "waits for a child process";
	case WAITS_SIGNAL:
		return "waits for a signal";
	}
	return "";
}

static void say_wait(const char *name, enum wait_kind kind, enum verdict_end end,
	char ret_text[VERDICT_BYTES])
{
	if (kind == WAITS_LOCK)
		snprintf(ret_text, VERDICT_BYTES, "waits in %s: %s", name, words(kind, end));
	else
		snprintf(ret_text, VERDICT_BYTES, "%s (%s)", words(kind, end), name);
}

static void say_wchan(const struct verdict_thread *t, char ret_text[VERDICT_BYTES])
{
	for (size_t i = 0; i < ARRAY_LEN(wchans); i++) {
		if (!strstr(t->wchan, wchans[i].part))
			continue;
		say_wait(t->wchan, wchans[i].kind, VERDICT_SOCKET, ret_text);
		return;
	}
	if (t->wchan[0] && strcmp(t->wchan, "0") != 0)
		snprintf(ret_text, VERDICT_BYTES, "waits in the kernel (%s)", t->wchan);
	else
		snprintf(ret_text, VERDICT_BYTES, "cannot be told");
}

static void say_first(const struct verdict_thread *t, char ret_text[VERDICT_BYTES])
{
	const struct call *call = call_of(t->call);

	if (t->state[1] == 'D')
		snprintf(ret_text, VERDICT_BYTES, "waits for the kernel, a disk perhaps (%s)", t->wchan);
	else if (t->state[1] == 'Z' || t->state[1] == 'X')
		snprintf(ret_text, VERDICT_BYTES, "has ended");
	else if (call)
		say_wait(call->name, call->kind, t->end, ret_text);
	else if (t->call >= 0 && t->state[1] == 'S')
		snprintf(ret_text, VERDICT_BYTES, "waits in system call %ld (%s)", t->call, t->wchan);
	else if (t->state[1] == 'R')
		snprintf(ret_text, VERDICT_BYTES, "runs: %u %% of a CPU", t->cpu_percent);
	else
		say_wchan(t, ret_text);
}

void verdict(const struct verdict_thread *threads, unsigned count, char ret_text[VERDICT_BYTES])
{
	const struct verdict_thread *busiest = NULL, *first = NULL;

	snprintf(ret_text, VERDICT_BYTES, "has ended");
	for (unsigned i = 0; i < count; i++) {
		const struct verdict_thread *t = &threads[i];

		if (is_stopped(t)) {
			snprintf(ret_text, VERDICT_BYTES, "stopped by a signal");
			return;
		}
		if (spins(t) && (!busiest || t->cpu_percent > busiest->cpu_percent))
			busiest = t;
		if (t->is_first)
			first = t;
	}
	if (busiest)
		snprintf(ret_text, VERDICT_BYTES, "spinning: %u %% of a CPU", busiest->cpu_percent);
	else if (first)
		say_first(first, ret_text);
}
