/* bench-tls: makes TLS connections against a server on this machine, each with a handshake, the
 * server's first bytes and its goodbye, and prints how many, how many of them resumed, and what the
 * client itself cost. Threads that block: what is measured is the server. */
#include "test/bench/address.h"
#include "common/base.h"
#include "common/clock.h"

#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

#define MAX_THREADS     256
#define TIMEOUT_SECONDS 10

struct plan {
	struct sockaddr_storage to;
	socklen_t to_len;
	unsigned long count;
	unsigned threads;
	int version, cpu;
	bool resume;
};

struct visitor {
	const struct plan *plan;
	pthread_t id;
	SSL_CTX *ctx;
	SSL_SESSION *session;
	unsigned long count, done, resumed;
};

static const char usage_text[] =
	"usage: bench-tls [option]... ADDRESS:PORT     (loopback only)\n"
	"  -n N   connections in all (1000)\n"
	"  -c N   at a time (16)\n"
	"  -v V   1.2 or 1.3 (1.3)\n"
	"  -r     resume the session of the one before\n"
	"  -C N   run on this CPU\n"
	"Prints one line of JSON. Exit status: 0 all answered, 1 some failed, 2 usage.\n";

static _Noreturn void usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct visitor *v = SSL_get_app_data(ssl);

	SSL_SESSION_free(v->session);
	v->session = session;
	return 1;
}

static int connect_to(const struct plan *p)
{
	const struct linger reset = {.l_onoff = 1};
	const struct timeval patience = {.tv_sec = TIMEOUT_SECONDS};
	int fd = socket(p->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* leaves no TIME_WAIT */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&p->to, p->to_len) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Everything that the server says, at least one byte, to its goodbye. */
static bool hear(SSL *ssl)
{
	char buf[4096];
	int got, all = 0;

	while ((got = SSL_read(ssl, buf, sizeof(buf))) > 0)
		all += got;
	return all && SSL_get_error(ssl, got) == SSL_ERROR_ZERO_RETURN;
}

static void visit(struct visitor *v)
{
	SSL *ssl = SSL_new(v->ctx);
	int fd = connect_to(v->plan);

	SSL_set_app_data(ssl, v);
	if (fd >= 0 && SSL_set_fd(ssl, fd)) {
		if (v->plan->resume && v->session)
			SSL_set_session(ssl, v->session);
		if (SSL_connect(ssl) == 1 && hear(ssl)) {
			v->done++;
			v->resumed += (unsigned long)SSL_session_reused(ssl);
		}
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	}
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
}

static void *visit_all(void *arg)
{
	struct visitor *v = arg;

	v->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(v->ctx, v->plan->version);
	SSL_CTX_set_max_proto_version(v->ctx, v->plan->version);
	SSL_CTX_set_session_cache_mode(v->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (v->plan->resume) {
		SSL_CTX_sess_set_new_cb(v->ctx, on_session);
		visit(v); /* for its ticket */
		v->done = v->resumed = 0;
	}
	for (unsigned long i = 0; i < v->count; i++)
		visit(v);
	SSL_SESSION_free(v->session);
	SSL_CTX_free(v->ctx);
	return NULL;
}

static int version_of(const char *text)
{
	if (!strcmp(text, "1.2"))
		return TLS1_2_VERSION;
	if (!strcmp(text, "1.3"))
		return TLS1_3_VERSION;
	usage();
}

static void parse(int argc, char **argv, struct plan *p)
{
	int letter, len;

	while ((letter = getopt(argc, argv, "n:c:v:rC:")) != -1) {
		switch (letter) {
		case 'n':
			p->count = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			p->threads = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			p->version = version_of(optarg);
			break;
		case 'r':
			p->resume = true;
			break;
		case 'C':
			p->cpu = atoi(optarg);
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || !p->threads || p->threads > MAX_THREADS)
		usage();
	len = address_parse(argv[optind], &p->to);
	if (len < 0)
		usage();
	p->to_len = (socklen_t)len;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static double own_cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static unsigned long report(const struct plan *p, const struct visitor *all, uint64_t begun_ms)
{
	unsigned long done = 0, resumed = 0;

	for (unsigned i = 0; i < p->threads; i++) {
		done += all[i].done;
		resumed += all[i].resumed;
	}
	printf("{\"done\": %lu, \"failed\": %lu, \"resumed\": %lu, \"seconds\": %.3f, "
	       "\"cpu_us_each\": %.2f}\n",
		done, p->count - done, resumed, (double)(clock_mono_ms() - begun_ms) / 1000,
		own_cpu_us() / (double)MAX(done, 1ul));
	return p->count - done;
}

int main(int argc, char **argv)
{
	struct plan p = {.count = 1000, .threads = 16, .version = TLS1_3_VERSION, .cpu = -1};
	static struct visitor all[MAX_THREADS];
	uint64_t begun_ms = clock_mono_ms();

	parse(argc, argv, &p);
	signal(SIGPIPE, SIG_IGN);
	run_on(p.cpu);
	for (unsigned i = 0; i < p.threads; i++) {
		all[i].plan = &p;
		all[i].count = p.count / p.threads + (i < p.count % p.threads);
		pthread_create(&all[i].id, NULL, visit_all, &all[i]);
	}
	for (unsigned i = 0; i < p.threads; i++)
		pthread_join(all[i].id, NULL);
	return report(&p, all, begun_ms) ? 1 : 0;
}
