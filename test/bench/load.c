/* bench-load: makes a bounded load of connections against a server on this machine and prints what
 * came of it: rate, latency, failures, and what the client itself cost. */
#include "test/bench/address.h"
#include "test/bench/client.h"
#include "common/base.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#define TIMEOUT_MS 10000

struct options {
	struct client_plan plan;
	bool json;
	int cpu;
};

static const char *const mode_names[] = {
	[CLIENT_SHORT] = "short", [CLIENT_ECHO] = "echo", [CLIENT_HOLD] = "hold"};
static const char *const failure_names[CLIENT_FAILURES] = {
	"refused", "reset", "cut", "mismatch", "timeout", "other"};

static const char usage_text[] =
	"usage: bench-load [option]... ADDRESS:PORT     (loopback only)\n"
	"  -m, --mode=MODE        short: connect, read the first bytes, close (default)\n"
	"                         echo: connect, send, read it back, close\n"
	"                         hold: echo, keep all open together, echo once more\n"
	"  -c, --concurrency=N    connections on the way at a time (64)\n"
	"  -n, --count=N          connections in all (10000)\n"
	"  -r, --rate=N           begin N connections a second, whatever is answered (open loop)\n"
	"  -t, --time=SECONDS     begin none after this time (no limit)\n"
	"  -w, --timeout=SECONDS  longest wait for an answer (10)\n"
	"  -H, --hold=SECONDS     hold mode: time that all are held (1)\n"
	"  -q, --request=TEXT     short: what to send before the first bytes are read (nothing)\n"
	"  -b, --bytes=N          payload of an echo, at most 4096 (64)\n"
	"  -s, --sources=N        source addresses from 127.0.0.2 on, in turn\n"
	"  -f, --fin              end connections with FIN instead of RST\n"
	"  -C, --cpu=N            run on this CPU\n"
	"  -j, --json             one line of JSON\n"
	"Exit status: 0 all answered, 1 some failed, 2 usage, 3 the client itself failed.\n";

static const char short_options[] = "m:c:n:r:t:w:H:q:b:s:fC:jh";
static const struct option long_options[] = {
	{"mode", required_argument, NULL, 'm'},
	{"concurrency", required_argument, NULL, 'c'},
	{"count", required_argument, NULL, 'n'},
	{"rate", required_argument, NULL, 'r'},
	{"time", required_argument, NULL, 't'},
	{"timeout", required_argument, NULL, 'w'},
	{"hold", required_argument, NULL, 'H'},
	{"request", required_argument, NULL, 'q'},
	{"bytes", required_argument, NULL, 'b'},
	{"sources", required_argument, NULL, 's'},
	{"fin", no_argument, NULL, 'f'},
	{"cpu", required_argument, NULL, 'C'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static _Noreturn void usage(int status)
{
	fputs(usage_text, status ? stderr : stdout);
	exit(status);
}

static uint64_t number(const char *text, double min, double max, double unit)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		usage(2);
	return (uint64_t)(value * unit);
}

static enum client_mode mode_of(const char *text)
{
	for (unsigned i = 0; i < ARRAY_LEN(mode_names); i++)
		if (!strcmp(text, mode_names[i]))
			return (enum client_mode)i;
	usage(2);
}

static void option(struct options *o, int letter, const char *value)
{
	struct client_plan *p = &o->plan;

	switch (letter) {
	case 'm':	p->mode = mode_of(value); break;
	case 'c':	p->concurrency = (uint32_t)number(value, 1, 1e6, 1); break;
	case 'n':	p->count = number(value, 1, 1e12, 1); break;
	case 'r':	p->rate = number(value, 1, 1e7, 1); break;
	case 't':	p->time_ms = number(value, 0.001, 86400, 1000); break;
	case 'w':	p->timeout_ms = number(value, 0.001, 86400, 1000); break;
	case 'H':	p->hold_ms = number(value, 0, 86400, 1000); break;
	case 'q':	p->request = value; break;
	case 'b':	p->payload_bytes = (uint32_t)number(value, 1, 4096, 1); break;
	case 's':	p->sources = (uint32_t)number(value, 1, 65000, 1); break;
	case 'f':	p->fin = true; break;
	case 'C':	o->cpu = (int)number(value, 0, CPU_SETSIZE - 1, 1); break;
	case 'j':	o->json = true; break;
	case 'h':	usage(0);
	default:	usage(2);
	}
}

static void parse(int argc, char **argv, struct options *o)
{
	int letter, len;

	while ((letter = getopt_long(argc, argv, short_options, long_options, NULL)) != -1)
		option(o, letter, optarg);
	if (optind != argc - 1 || (o->plan.mode == CLIENT_HOLD && o->plan.count > 1000000))
		usage(2);
	len = address_parse(argv[optind], &o->plan.to);
	if (len < 0)
		usage(2);
	o->plan.to_len = (socklen_t)len;
}

static void run_on_cpu(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		perror("bench-load: sched_setaffinity");
}

static void say_held(uint64_t held)
{
	printf("held %llu\n", (unsigned long long)held);
	fflush(stdout);
}

static uint64_t failures(const struct client_result *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CLIENT_FAILURES; i++)
		sum += r->failed[i];
	return sum;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000.0;
}

static void field(const struct options *o, const char *name, double value, int decimals)
{
	printf(o->json ? ", \"%s\": %.*f" : " %s=%.*f", name, decimals, value);
}

static void report(const struct options *o, const struct client_result *r)
{
	double seconds = (double)r->elapsed_ns / 1e9;

	printf(o->json ? "{\"mode\": \"%s\"" : "mode=%s", mode_names[o->plan.mode]);
	field(o, "concurrency", o->plan.concurrency, 0);
	field(o, "done", (double)r->done, 0);
	field(o, "failed", (double)failures(r), 0);
	field(o, "seconds", seconds, 3);
	field(o, "per_second", seconds > 0 ? (double)r->done / seconds : 0, 0);
	field(o, "p50_us", us(histogram_percentile(&r->latency_ns, 50)), 1);
	field(o, "p99_us", us(histogram_percentile(&r->latency_ns, 99)), 1);
	field(o, "cpu_seconds", (double)r->cpu_ns / 1e9, 6);
	field(o, "cpu_us_each", r->done ? us(r->cpu_ns) / (double)r->done : 0, 2);
	for (unsigned i = 0; i < CLIENT_FAILURES; i++)
		if (o->json || r->failed[i])
			field(o, failure_names[i], (double)r->failed[i], 0);
	puts(o->json ? "}" : "");
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct options o = {.cpu = -1, .plan = {.concurrency = 64, .count = 10000, .hold_ms = 1000,
		.timeout_ms = TIMEOUT_MS, .payload_bytes = 64, .on_held = say_held}};
	static struct client_result result;
	int r;

	parse(argc, argv, &o);
	run_on_cpu(o.cpu);
	raise_descriptor_limit();
	r = client_run(&o.plan, &result);
	if (r < 0) {
		fprintf(stderr, "bench-load: %s\n", strerror(-r));
		return 3;
	}
	report(&o, &result);
	return failures(&result) ? 1 : 0;
}
