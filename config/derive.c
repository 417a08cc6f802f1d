/* The numbers that follow from the limits, and whether this machine can hold them: whoever raises
 * one limit shall not have to find out by an outage which others depend on it. */
#include "config/load.h"
#include "config/host.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/ledger.h"
#include "common/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/resource.h>

#define BASE_DESCRIPTORS      64 /* of supervisor and acceptor, beside workers and listeners */
#define SUPERVISOR_PER_WORKER 8
#define ACCEPTOR_PER_WORKER   3
#define SUPERVISOR_PER_TLS    4 /* certificates and ticket keys, now and next */
#define WORKER_DESCRIPTORS    32

struct derive {
	const struct host *host;
	load_tell *tell;
	void *user;
	bool refused;
	uint64_t conns, procs, listeners, stacks, tables; /* the last two in bytes */
	uint64_t queued, in_flight; /* connections in queues; these, and offers that nobody has read */
	uint64_t tls;	 /* services with certificates */
	uint64_t living; /* processes, with those that drain after a restart */
};

static uint64_t mebibytes(uint64_t bytes)
{
	return bytes / (1u << 20) + (bytes % (1u << 20) != 0);
}

PRINTF_LIKE(3, 4)
static void say(struct derive *d, enum load_severity severity, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->refused = d->refused || severity == LOAD_ERROR;
	d->tell(d->user, severity, text);
}

/* Saturates: a sum that overflows is too much in any case. */
static void add(uint64_t *sum, uint64_t a, uint64_t b)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum))
		*sum = UINT64_MAX;
}

static void check_backlog(
	struct derive *d, const struct settings *s, const struct service_settings *svc)
{
	if (svc->backlog > d->host->somaxconn)
		say(d, LOAD_WARNING,
			"%s: service %s: the kernel cuts BACKLOG=%u to %" PRIu64 "; "
			"sysctl net.core.somaxconn=%u",
			settings_text(s, svc->where), settings_text(s, svc->name), svc->backlog,
			d->host->somaxconn, svc->backlog);
}

/* The clients in a queue are messages that nobody has read: the kernel limits their bytes for each
 * socket, and for each user how many descriptors are on the way (check_queues). */
static void check_queue(
	struct derive *d, const struct settings *s, const struct service_settings *svc)
{
	uint64_t most = d->host->queue_bytes / CHAN_RECORD_BYTES;

	if (svc->when_full != FULL_REFUSE)
		return;
	add(&d->queued, 1, svc->queue_size);
	add(&d->in_flight, (uint64_t)svc->max_procs + svc->max_shutdown, svc->max_handoffs);
	if (svc->queue_size > most)
		say(d, LOAD_ERROR,
			"%s: service %s: the kernel keeps %" PRIu64
			" clients in a queue at most, and QUEUE_SIZE=%u; lower it, or sysctl "
			"net.core.wmem_max=%" PRIu64,
			settings_text(s, svc->where), settings_text(s, svc->name), most,
			svc->queue_size, (uint64_t)svc->queue_size * CHAN_RECORD_BYTES / 2);
}

/* A worker inherits the limit unless its own is set, which was checked where it stands. */
static void check_worker_descriptors(
	struct derive *d, const struct settings *s, const struct service_settings *svc)
{
	uint64_t needed = (uint64_t)svc->max_conns + WORKER_DESCRIPTORS;

	if (needed > d->host->descriptors)
		say(d, LOAD_ERROR,
			"%s: service %s: a worker needs %" PRIu64
			" descriptors for MAX_CONNS=%u, which is %" PRIu64
			" more than the limit of %" PRIu64 "; raise ulimit -n or lower MAX_CONNS",
			settings_text(s, svc->where), settings_text(s, svc->name), needed,
			svc->max_conns, needed - d->host->descriptors, d->host->descriptors);
}

static void check_stacks(
	struct derive *d, const struct settings *s, const struct service_settings *svc)
{
	const struct settings_rlimit *as = &svc->limits[RLIMIT_AS];
	uint64_t stacks = svc->stacksize * svc->max_conns;

	if (as->set && stacks > as->value)
		say(d, LOAD_WARNING,
			"%s: service %s: MAX_CONNS stacks of STACKSIZE need %" PRIu64
			" MiB, but LIMIT_AS is %" PRIu64
			" MiB; lower the former or raise the latter",
			settings_text(s, svc->where), settings_text(s, svc->name),
			mebibytes(stacks), mebibytes(as->value));
}

/* The tables that supervisor and acceptor keep for it, in memory that is there from the start. */
static void add_tables(struct derive *d, const struct service_settings *svc)
{
	uint64_t workers = settings_worker_slots(svc);

	add(&d->tables, workers, page_bytes(page_ring_len(svc->max_conns)) + sizeof(struct bell));
	add(&d->tables, workers, sizeof(struct ledger_worker));
	add(&d->tables, settings_conn_slots(svc), sizeof(struct ledger_conn));
}

static void add_service(
	struct derive *d, const struct settings *s, const struct service_settings *svc)
{
	uint64_t stack = 0;

	if (!svc->enabled)
		return;
	add(&stack, svc->stacksize, svc->max_conns);
	add(&d->conns, svc->max_procs, svc->max_conns);
	add(&d->procs, 1, (uint64_t)svc->max_procs + svc->max_shutdown);
	add(&d->living, 1, 2 * (uint64_t)svc->max_procs + svc->max_shutdown);
	add(&d->listeners, 1, svc->listeners.count);
	d->tls += settings_has_tls(s, svc);
	add(&d->stacks, stack, svc->max_procs);
	add_tables(d, svc);
	check_backlog(d, s, svc);
	check_queue(d, s, svc);
	check_worker_descriptors(d, s, svc);
	check_stacks(d, s, svc);
}

static uint64_t descriptors(const struct derive *d, unsigned per_worker)
{
	return per_worker * d->living + d->listeners + BASE_DESCRIPTORS;
}

static uint64_t supervisor_descriptors(const struct derive *d)
{
	return descriptors(d, SUPERVISOR_PER_WORKER) + SUPERVISOR_PER_TLS * d->tls;
}

static void check_descriptors(struct derive *d, const char *who, uint64_t needed)
{
	if (needed > d->host->descriptors)
		say(d, LOAD_ERROR,
			"the %s needs %" PRIu64 " descriptors, which is %" PRIu64
			" more than the limit of %" PRIu64 "; raise it (ulimit -n, LimitNOFILE=), "
			"or lower MAX_PROCS or MAX_SHUTDOWN",
			who, needed, needed - d->host->descriptors, d->host->descriptors);
}

/* Beyond its limit on descriptors the acceptor cannot send any: ETOOMANYREFS, unix(7). */
static void check_queues(struct derive *d)
{
	uint64_t needed = d->queued + d->in_flight + descriptors(d, ACCEPTOR_PER_WORKER);

	if (d->queued && needed > d->host->descriptors)
		say(d, LOAD_ERROR,
			"the queues of full services need a limit of %" PRIu64
			" descriptors in the acceptor, which is %" PRIu64 " more than the limit of "
			"%" PRIu64 "; raise it (ulimit -n, LimitNOFILE=), or lower QUEUE_SIZE",
			needed, needed - d->host->descriptors, d->host->descriptors);
}

static void print_queue(const struct service_settings *svc, FILE *out)
{
	if (svc->when_full == FULL_REFUSE)
		fprintf(out, "; then %u wait for a worker, others are refused", svc->queue_size);
}

static void print_service(const struct derive *d, const struct settings *s,
	const struct service_settings *svc, FILE *out)
{
	uint64_t stacks = 0;

	add(&stacks, svc->stacksize, (uint64_t)svc->max_conns * svc->max_procs);
	fprintf(out, "! %s: ", settings_text(s, svc->name));
	if (!svc->enabled)
		fprintf(out, "disabled");
	else
		fprintf(out,
			"%" PRIu64
			" connections at most, in %u processes (%u while some retire); backlog %u",
			(uint64_t)svc->max_procs * svc->max_conns, svc->max_procs,
			svc->max_procs + svc->max_shutdown, svc->backlog);
	if (svc->enabled)
		print_queue(svc, out);
	if (svc->enabled && stacks)
		fprintf(out, "; stacks %" PRIu64 " MiB", mebibytes(stacks));
	fputc('\n', out);
}

static void print_numbers(const struct derive *d, const struct settings *s, FILE *out)
{
	for (uint32_t i = 0; i < s->services.count; i++)
		print_service(d, s, settings_service(s, i), out);
	fprintf(out,
		"! all: %" PRIu64 " connections at most, in %" PRIu64 " worker processes at most\n",
		d->conns, d->procs);
	fprintf(out,
		"! descriptors: %" PRIu64 " in the supervisor, %" PRIu64
		" in the acceptor; the limit can be %" PRIu64 "\n",
		supervisor_descriptors(d), descriptors(d, ACCEPTOR_PER_WORKER),
		d->host->descriptors);
	fprintf(out, "! backlogs: the kernel allows %" PRIu64 " (net.core.somaxconn)\n",
		d->host->somaxconn);
	fprintf(out, "! memory: %" PRIu64 " MiB for tables, %" PRIu64 " MiB for stacks at most\n",
		mebibytes(d->tables), mebibytes(d->stacks));
}

int load_check_derived_on(
	const struct host *host, const struct settings *s, load_tell *tell, void *user, FILE *out)
{
	struct derive d = {.host = host, .tell = tell, .user = user};

	for (uint32_t i = 0; i < s->services.count; i++)
		add_service(&d, s, settings_service(s, i));
	if (d.tables > host->memory_bytes / 2)
		say(&d, LOAD_ERROR,
			"the tables of %" PRIu64 " connections need %" PRIu64
			" MiB, and this machine has %" PRIu64 "; lower MAX_CONNS or MAX_PROCS",
			d.conns, mebibytes(d.tables), mebibytes(host->memory_bytes));
	check_descriptors(&d, "supervisor", supervisor_descriptors(&d));
	check_descriptors(&d, "acceptor", descriptors(&d, ACCEPTOR_PER_WORKER));
	check_queues(&d);
	if (out)
		print_numbers(&d, s, out);
	return d.refused ? LOAD_REFUSED : 0;
}

int load_check_derived(const struct settings *s, load_tell *tell, void *user, FILE *out)
{
	struct host host;

	host_facts(&host);
	return load_check_derived_on(&host, s, tell, user, out);
}
