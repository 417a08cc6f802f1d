/* The options. Parsing, printing (-t), the check of the manual and the suggestions for misspelt
 * names all run off this table; an option that is not here does not exist. The limits of the pool
 * keep the slots of connections below 2^31, see settings_conn_slots(). */
#include "config/schema.h"
#include "config/settings.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

/* clang-format off */
#define DEFAULTS (SCHEMA_TOP_SERVICES | SCHEMA_IN_SERVICE)
#define SERVICE SCHEMA_IN_SERVICE
#define DISPATCHER (SCHEMA_TOP_DISPATCHER | SCHEMA_IN_DISPATCHER)
#define BOTH (DEFAULTS | DISPATCHER)
#define APART (DEFAULTS | SCHEMA_IN_DISPATCHER)

/* Where the value lands, and what it takes to change it. */
#define OF(field, how) .service_at = offsetof(struct service_settings, field), \
	.change = SCHEMA_##how
#define TOP(field, how) .dispatcher_at = offsetof(struct settings, field), \
	.own_change = SCHEMA_##how
#define LIMIT(resource) .service_at = offsetof(struct service_settings, limits) + \
	(resource) * sizeof(struct settings_rlimit), .change = SCHEMA_WORKERS

#define ANY_TIME .max = 1000ull * 365 * 86400 * 1000 /* a thousand years: no sum overflows */
#define ANY_SIZE .max = 1ull << 60

#define HISTORICAL(key) {key, .type = SCHEMA_WITHOUT_MEANING, .scope = BOTH, \
	.doc = "Has no meaning here; the original's or OpenVMS's."}
/* clang-format on */

static const struct schema_option options[] = {
	/* pool */
	{"MIN_PROCS", NULL, SCHEMA_NUMBER, DEFAULTS, OF(min_procs, LIMITS), .max = 16384, .initial = "1",
		.doc = "Workers that always run, ready for connections."},
	{"MAX_PROCS", NULL, SCHEMA_NUMBER, DEFAULTS, OF(max_procs, LIMITS), .min = 1, .max = 16384,
		.initial = "10", .initial_inetd = "1",
		.doc = "Workers that may take connections at the same time."},
	{"MIN_CONNS", NULL, SCHEMA_NUMBER, DEFAULTS, OF(min_conns, TOLD), .min = 1, .max = 65535,
		.initial = "30",
		.doc = "Connections that make a worker busy enough: when all are, one more is "
		       "started."},
	{"MAX_CONNS", "MAX_CONNECTIONS", SCHEMA_NUMBER, DEFAULTS, OF(max_conns, WORKERS), .min = 1,
		.max = 65535, .initial = "50",
		.doc = "Connections that one worker may serve at the same time."},
	{"MAX_LIFE_CONNS", NULL, SCHEMA_COUNT, DEFAULTS, OF(max_life_conns, LIMITS), .max = INT64_MAX,
		.initial = "10000", .initial_inetd = "0",
		.doc = "Connections after which a worker retires; 0 = no limit."},
	{"MAX_LIFE_TIME", NULL, SCHEMA_TIME, DEFAULTS, OF(max_life_ms, LIMITS), ANY_TIME, .initial = "1d",
		.initial_inetd = "0", .doc = "Age at which a worker retires; 0 = no limit."},
	{"MAX_IDLE_TIME", NULL, SCHEMA_TIME, DEFAULTS, OF(max_idle_ms, LIMITS), ANY_TIME, .initial = "10m",
		.initial_inetd = "0",
		.doc = "Time without a connection after which a worker above MIN_PROCS retires; 0 "
		       "= no limit."},
	{"MAX_SHUTDOWN", NULL, SCHEMA_NUMBER, DEFAULTS, OF(max_shutdown, LIMITS), .min = 1, .max = 16384,
		.initial = "2",
		.doc = "Workers of the service that may be retiring at the same time."},
	/* Measured with 4 workers, cost per short connection at 64 and 512 at a time: 2 unread offers
	 * 0.88 and 0.84, 5: 0.71 and 0.67, 8: 0.65 and 0.63, 16: 0.63 and 0.59, 32: 0.62 and 0.57, 64:
	 * 0.59 and 0.59, 128: 0.61 and 0.58; below 64 bursts met the limit and were held. */
	{"MAX_HANDOFFS", NULL, SCHEMA_NUMBER, DEFAULTS, OF(max_handoffs, LIMITS), .min = 1, .max = 200,
		.initial = "64",
		.doc = "Connections that may be offered to a worker before it has read them."},
	{"START_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(start_ms, LIMITS), .min = 1, ANY_TIME,
		.initial = "30s",
		.doc = "Time from start to ready, and time in which a worker whose unread connections "
		       "were taken back must read again; who needs longer is killed."},
	{"HANDOFF_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(handoff_ms, LIMITS), .min = 1, ANY_TIME,
		.initial = "1s",
		.doc = "Time after which an offer that the worker has not read goes to another "
		       "one."},
	{"HANG_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(hang_ms, LIMITS), ANY_TIME, .initial = "0",
		.doc = "Time without any progress after which a worker that has connections counts as "
		       "hung and is ended; 0 = never."},
	{"MAX_MEMORY", NULL, SCHEMA_SIZE, DEFAULTS, OF(max_memory, LIMITS), ANY_SIZE, .initial = "0",
		.doc = "Resident memory above which a worker is replaced; 0 = no limit."},
	{"DRAIN_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(drain_ms, LIMITS), ANY_TIME, .initial = "0",
		.doc = "Time that a retiring worker has to finish its connections; 0 = as long as "
		       "they last."},
	{"SHUTDOWN_TIMEOUT", NULL, SCHEMA_TIME, BOTH, OF(shutdown_ms, LIMITS),
		TOP(shutdown_ms, LIMITS), ANY_TIME, .initial = "60s",
		.doc = "Time that connections have to end when an operator shuts down."},
	{"KILL_TIMEOUT", NULL, SCHEMA_TIME, BOTH, OF(kill_ms, TOLD), TOP(kill_ms, LIMITS), .min = 1,
		ANY_TIME, .initial = "10s",
		.doc = "Time between TERM and KILL for a worker whose deadline has passed."},
	{"CONNECTION_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(connection_ms, TOLD), ANY_TIME,
		.initial = "0",
		.doc = "Time that one connection of a COMMAND may last; 0 = no limit."},
	{"MAX_CONNS_PER_SOURCE", NULL, SCHEMA_NUMBER, DEFAULTS, OF(max_conns_per_source, LIMITS),
		.max = INT32_MAX, .initial = "0",
		.doc = "Connections that one client network may hold; 0 = no limit."},
	{"SOURCE_PREFIX", NULL, SCHEMA_PREFIX_BITS, DEFAULTS, OF(source_prefix4, LIMITS),
		.initial = "32/64",
		.doc = "How many leading bits make a client network: of IPv4, slash, of IPv6."},
	{"EXEMPT_SOURCES", NULL, SCHEMA_SOURCES, DEFAULTS, OF(exempt_sources, LIMITS),
		.doc = "Addresses or networks (192.0.2.0/24) that MAX_CONNS_PER_SOURCE does not "
		       "count."},

	/* when no worker has room */
	{"WHEN_FULL", NULL, SCHEMA_WORD, DEFAULTS, OF(when_full, LIMITS), .words = "wait refuse",
		.max = FULL_REFUSE, .initial = "wait",
		.doc = "What becomes of clients while no worker has room: they wait in the kernel, or "
		       "are refused."},
	{"QUEUE_SIZE", NULL, SCHEMA_NUMBER, DEFAULTS, OF(queue_size, LIMITS), .max = 1024,
		.initial = "64",
		.doc = "With WHEN_FULL=refuse: accepted connections that may wait for a worker."},
	{"QUEUE_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(queue_ms, LIMITS), .min = 1, ANY_TIME,
		.initial = "30s",
		.doc = "With WHEN_FULL=refuse: how long they may wait before they are refused."},
	{"REFUSE_TEXT", NULL, SCHEMA_TEXT, DEFAULTS, OF(refuse_text, LIMITS),
		.doc = "What a client is told that is refused: a line of the service's own protocol, "
		       "to which CRLF is added; empty: nothing."},

	/* listening */
	{"PORT", "TCP_PORTS", SCHEMA_PORTS, SERVICE, OF(listeners, LISTENERS | SCHEMA_TOLD),
		.doc = "Where the service listens; 0 disables the service."},
	{"TLS_PORT", "SSL_PORTS TLS_PORTS SSL_PORT", SCHEMA_TLS_PORTS, SERVICE,
		OF(listeners, LISTENERS | SCHEMA_TOLD),
		.doc = "Where the service listens and TLS starts at once; in every form of PORT. Needs "
		       "TLS_CERT."},
	{"INTERFACE_ADDRESS", NULL, SCHEMA_ADDRESSES, DEFAULTS,
		.doc = "Addresses that a bare port number listens on; default: all of IPv4 and "
		       "IPv6."},
	{"BACKLOG", NULL, SCHEMA_NUMBER, DEFAULTS, OF(backlog, BACKLOG), .min = 1, .max = INT32_MAX,
		.doc = "Clients that may wait in the kernel; default: MAX_PROCS x MAX_CONNS, at "
		       "least 5."},
	{"SOCKET_MODE", NULL, SCHEMA_MODE, DEFAULTS, OF(socket_mode, SOCKETS), .max = 0777,
		.initial = "0660", .doc = "Mode of unix sockets, in octal."},
	{"SOCKET_USER", NULL, SCHEMA_USER, DEFAULTS, OF(socket_uid, SOCKETS),
		.doc = "Owner of unix sockets; default: who runs the supervisor."},
	{"SOCKET_GROUP", NULL, SCHEMA_GROUP, DEFAULTS, OF(socket_gid, SOCKETS),
		.doc = "Group of unix sockets; default: that of the supervisor."},

	/* the worker process */
	{"IMAGE", NULL, SCHEMA_IMAGE, SERVICE, OF(image, WORKERS),
		.doc = "The worker's program; without a slash it is looked up in WORKER_DIR."},
	{"COMMAND", NULL, SCHEMA_COMMAND, SERVICE, OF(command, WORKERS),
		.doc = "A command line: with ADAPTER=inetd run for each connection, as inetd does; with "
		       "ADAPTER=server the server itself; no shell."},
	{"ADAPTER", NULL, SCHEMA_WORD, SERVICE, OF(adapter, WORKERS),
		.words = "native inetd server", .max = ADAPTER_SERVER,
		.doc = "What kind of program serves: native, made for the dispatcher; inetd, run for "
		       "each connection; server, one that listens and accepts by itself. Default: "
		       "inetd with COMMAND, else native."},
	{"ADAPTER_METHOD", NULL, SCHEMA_WORD, SERVICE, OF(adapter_method, WORKERS),
		.words = "preload notify", .min = METHOD_PRELOAD, .max = METHOD_NOTIFY,
		.doc = "With ADAPTER=server: how the server's listening is taken over: preload, by a "
		       "library within it; notify, by its system calls. Default: what suits the "
		       "program."},
	{"STOP_STYLE", NULL, SCHEMA_WORD, DEFAULTS, OF(stop_style, WORKERS), .words = "silent eof",
		.max = STOP_EOF, .initial = "silent",
		.doc = "With ADAPTER=server: what accept() does in a server that is to retire: waits, "
		       "or fails."},
	{"STOP_SIGNAL", NULL, SCHEMA_SIGNAL, DEFAULTS, OF(stop_signal, WORKERS), .min = 1, .max = 64,
		.initial = "TERM",
		.doc = "With ADAPTER=server: the signal that asks the server to end."},
	{"PARAMETER", NULL, SCHEMA_PAIRS, DEFAULTS, OF(parameters, WORKERS),
		.doc = "NAME=VALUE for the worker, one a line."},
	{"LOGFILE", "LOGFILENAME", SCHEMA_LOGFILE, APART, OF(logfile, LOGS), TOP(logfile, LOGS),
		.doc = "Where output goes: stderr, syslog or a file (%s = host name); default: the "
		       "dispatcher's, whose default is stderr."},
	{"LOG_CONNECTIONS", NULL, SCHEMA_BOOL, DEFAULTS, OF(log_connections, LIMITS), .initial = "0",
		.doc = "1: one line per connection at its end."},
	{"STACKSIZE", NULL, SCHEMA_SIZE, DEFAULTS, OF(stacksize, WORKERS), ANY_SIZE, .initial = "0",
		.doc = "Stack of each thread of a worker; 0 = the system's default."},
	{"USER", NULL, SCHEMA_RUN_USER, APART, OF(uid, WORKERS), TOP(uid, RESTART),
		.doc = "Who the workers run as; default: nobody. In [SERVICE=DISPATCHER]: the "
		       "acceptor; "
		       "default: dispatcher, or daemon where there is none."},
	{"GROUP", NULL, SCHEMA_RUN_GROUP, APART, OF(gid, WORKERS), TOP(gid, RESTART),
		.doc = "Their group; default: that of USER."},
	{"SUPPLEMENTARY_GROUPS", NULL, SCHEMA_RUN_GROUPS, DEFAULTS, OF(groups, WORKERS),
		.doc = "Their other groups; default: those of USER; empty: none."},
	{"ENVIRONMENT", NULL, SCHEMA_VARIABLES, DEFAULTS, OF(environment, WORKERS),
		.doc = "NAME=VALUE for the worker's environment, one a line."},
	{"WORKING_DIRECTORY", NULL, SCHEMA_PATH, DEFAULTS, OF(working_directory, WORKERS), .initial = "/",
		.doc = "Where the worker starts."},
	{"UMASK", NULL, SCHEMA_MODE, DEFAULTS, OF(umask, WORKERS), .max = 0777, .initial = "022",
		.doc = "The worker's umask, in octal."},
	{"NICE", NULL, SCHEMA_NICE, DEFAULTS, OF(nice, WORKERS), .initial = "0",
		.doc = "The worker's nice value, -20 to 19."},
	{"SCHED_BATCH", NULL, SCHEMA_BOOL, DEFAULTS, OF(sched_batch, WORKERS), .initial = "1",
		.doc = "1: a worker that gets a connection or data does not interrupt who computes on "
		       "its CPU, but runs when its turn comes (sched(7), SCHED_BATCH): more "
		       "connections a second when the CPUs are busy, no difference when one is idle. "
		       "0: for services where a millisecond counts more. Commands that "
		       "dispatcher-exec runs are never batch processes."},
	{"LIMIT_AS", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_AS), .min = 1, ANY_SIZE,
		.doc = "Address space of a worker."},
	{"LIMIT_CORE", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_CORE), ANY_SIZE,
		.doc = "Size of a core file; 0 = none is written."},
	{"LIMIT_CPU", NULL, SCHEMA_RLIMIT_TIME, DEFAULTS, LIMIT(RLIMIT_CPU), .min = 1, ANY_TIME,
		.doc = "Processor time of a worker, in whole seconds."},
	{"LIMIT_DATA", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_DATA), .min = 1, ANY_SIZE,
		.doc = "Data segment of a worker."},
	{"LIMIT_FSIZE", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_FSIZE), ANY_SIZE,
		.doc = "Size of a file that a worker may write."},
	{"LIMIT_MEMLOCK", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_MEMLOCK), ANY_SIZE,
		.doc = "Memory that a worker may lock."},
	{"LIMIT_MSGQUEUE", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_MSGQUEUE), ANY_SIZE,
		.doc = "Bytes in POSIX message queues."},
	{"LIMIT_NOFILE", NULL, SCHEMA_RLIMIT_COUNT, DEFAULTS, LIMIT(RLIMIT_NOFILE), .min = 16,
		.max = 1u << 30, .doc = "Descriptors of a worker."},
	{"LIMIT_NPROC", NULL, SCHEMA_RLIMIT_COUNT, DEFAULTS, LIMIT(RLIMIT_NPROC), .min = 1,
		.max = 1u << 30, .doc = "Processes and threads of the worker's user."},
	{"LIMIT_RTPRIO", NULL, SCHEMA_RLIMIT_COUNT, DEFAULTS, LIMIT(RLIMIT_RTPRIO), .max = 99,
		.doc = "Highest real-time priority."},
	{"LIMIT_SIGPENDING", NULL, SCHEMA_RLIMIT_COUNT, DEFAULTS, LIMIT(RLIMIT_SIGPENDING),
		.max = 1u << 30, .doc = "Queued signals of the worker's user."},
	{"LIMIT_STACK", NULL, SCHEMA_RLIMIT_SIZE, DEFAULTS, LIMIT(RLIMIT_STACK), .min = 65536,
		ANY_SIZE, .doc = "Stack of a worker's main thread."},
	{"ENABLE", NULL, SCHEMA_BOOL, SERVICE, OF(enabled, ENABLED), .initial = "1",
		.doc = "0: the service is not started."},
	{"DEBUG", NULL, SCHEMA_MASK, BOTH, OF(debug, TOLD), TOP(debug, LIMITS), .initial = "0",
		.doc = "Mask of debug topics; -1 = all."},

	/* TLS */
	{"TLS_CERT", NULL, SCHEMA_FILES, DEFAULTS, OF(tls_certs, TLS),
		.doc = "A file with a certificate and those that lead from it to a known authority, in "
		       "PEM."},
	{"TLS_KEY", NULL, SCHEMA_FILES, DEFAULTS, OF(tls_keys, TLS),
		.doc = "The file with the key of a TLS_CERT, in PEM: the first of the first, and so on."},
	{"TLS_SNI", NULL, SCHEMA_SNI, DEFAULTS, OF(tls_snis, TLS),
		.doc = "Another certificate for clients that ask for a name: the name, the file of the "
		       "certificate, the file of its key."},
	{"TLS_MIN_VERSION", NULL, SCHEMA_WORD, DEFAULTS, OF(tls_min_version, TLS),
		.max = TLS_VERSION_1_3, .words = "1.2 1.3", .initial = "1.2", .doc = "The least version of TLS that is spoken: 1.2 or 1.3."},
	{"TLS_CIPHERS", NULL, SCHEMA_SAID, DEFAULTS, OF(tls_ciphers, TLS),
		.initial = "ECDHE+AESGCM:ECDHE+CHACHA20",
		.doc = "Ciphers of TLS 1.2, as in ciphers(1)."},
	{"TLS_CIPHERSUITES", NULL, SCHEMA_SAID, DEFAULTS, OF(tls_ciphersuites, TLS),
		.doc = "Ciphers of TLS 1.3, parted by colons; default: OpenSSL's."},
	{"TLS_GROUPS", NULL, SCHEMA_SAID, DEFAULTS, OF(tls_groups, TLS), .initial = "X25519:P-256:P-384",
		.doc = "Groups for the exchange of keys, the preferred one first, parted by colons."},
	{"TLS_ALPN", NULL, SCHEMA_PROTOCOLS, DEFAULTS, OF(tls_alpn, TLS),
		.doc = "Names of protocols that a client may choose from (ALPN), the preferred one "
		       "first."},
	{"TLS_CLIENT_AUTH", NULL, SCHEMA_WORD, DEFAULTS, OF(tls_client_auth, TLS),
		.max = CLIENT_AUTH_REQUIRE, .words = "none optional require", .initial = "none",
		.doc = "Whether clients are asked for a certificate: none, optional or require."},
	{"TLS_CLIENT_CA", NULL, SCHEMA_FILE, DEFAULTS, OF(tls_client_ca, TLS),
		.doc = "A file with the certificates of the authorities that clients' certificates are "
		       "checked against, in PEM."},
	{"TLS_HANDSHAKE_TIMEOUT", NULL, SCHEMA_TIME, DEFAULTS, OF(tls_handshake_ms, TLS), .min = 1000,
		.max = 86400000, .initial = "30s",
		.doc = "Time in which a client must have finished its handshake."},
	{"TLS_TICKET_LIFETIME", NULL, SCHEMA_TIME, DEFAULTS, OF(tls_ticket_ms, TLS), .min = 1000,
		.max = 2 * 86400000, .initial = "12h",
		.doc = "Time for which a key encrypts session tickets."},

	/* the dispatcher itself */
	{"RUN_DIR", NULL, SCHEMA_PATH, DISPATCHER, TOP(run_dir, RESTART),
		.doc = "Directory of lock, pid file and control socket; default: /run/dispatcher; "
		       "without "
		       "root $XDG_RUNTIME_DIR/dispatcher or /tmp/dispatcher-UID."},
	{"STATE_DIR", NULL, SCHEMA_PATH, DISPATCHER, TOP(state_dir, RESTART),
		.doc = "Directory of what must outlive a reboot; default: /var/lib/dispatcher; "
		       "without root "
		       "state in RUN_DIR."},
	{"CONTROL_SOCKET", NULL, SCHEMA_PATH, DISPATCHER, TOP(control_socket, RESTART),
		.doc = "The socket of dispatcherctl; default: control in RUN_DIR."},
	{"ADMIN_GROUP", NULL, SCHEMA_GROUP, DISPATCHER, TOP(admin_gid, CONTROL),
		.doc = "Group whose members may use dispatcherctl beside root; default: none."},
	{"STATUS_GROUP", NULL, SCHEMA_GROUP, DISPATCHER, TOP(status_gid, CONTROL),
		.doc = "Group whose members may ask for the status, and nothing else; default: none."},
	{"WORKER_DIR", NULL, SCHEMA_PATH, DISPATCHER, TOP(worker_dir, BY_OTHERS),
		.doc = "Directory of worker programs, IMTA_BIN: and PMDF_EXE:; default: that of "
		       "the "
		       "installation, or of the build tree when run from it."},
	{"LOG_DIR", NULL, SCHEMA_PATH, DISPATCHER, TOP(log_dir, BY_OTHERS),
		.doc = "IMTA_LOG: and PMDF_LOG:; default: /var/log/dispatcher; without root "
		       "RUN_DIR."},

	/* what legacy files may hold */
	{"DNS_VERIFY_DOMAIN", NULL, SCHEMA_NOT_ENFORCED, BOTH,
		.doc = "NOT ENFORCED: clients are not looked up in DNS lists."},
	{"ENABLE_RBL", NULL, SCHEMA_NOT_ENFORCED, BOTH,
		.doc = "NOT ENFORCED: clients are not looked up in DNS lists."},
	HISTORICAL("ASYNC_SWITCH"),
	HISTORICAL("HISTORICAL_TIME"),
	HISTORICAL("IDENT"),
	HISTORICAL("USE_NSLOG"),
	HISTORICAL("UCX_HOLD"),
	HISTORICAL("ASTLM"),
	HISTORICAL("BIOLM"),
	HISTORICAL("BYTLM"),
	HISTORICAL("CPULM"),
	HISTORICAL("DIOLM"),
	HISTORICAL("ENQLM"),
	HISTORICAL("FILLM"),
	HISTORICAL("JTQUOTA"),
	HISTORICAL("PGFLQUOTA"),
	HISTORICAL("PRCLM"),
	HISTORICAL("TQELM"),
	HISTORICAL("WSDEFAULT"),
	HISTORICAL("WSEXTENT"),
	HISTORICAL("WSQUOTA"),
};

_Static_assert((16384ull + 16384) * 65535 < 1ull << 31, "connection slots fit 31 bits");
_Static_assert(RLIM_NLIMITS <= SETTINGS_LIMITS, "every resource has its place");

const struct schema_option *schema_at(unsigned index)
{
	return &options[index];
}

unsigned schema_count(void)
{
	return ARRAY_LEN(options);
}

/* Whether key is one of the space-separated words. */
static bool is_among(const char *words, const char *key)
{
	size_t len;

	for (; words && *words; words += len + (words[len] == ' ')) {
		len = strcspn(words, " ");
		if (strlen(key) == len && !strncasecmp(words, key, len))
			return true;
	}
	return false;
}

const struct schema_option *schema_find(const char *key)
{
	for (unsigned i = 0; i < ARRAY_LEN(options); i++)
		if (!strcasecmp(options[i].name, key) || is_among(options[i].aliases, key))
			return &options[i];
	return NULL;
}

const struct schema_option *schema_get(const char *name)
{
	const struct schema_option *option = schema_find(name);

	ASSERT(option);
	return option;
}

const char *schema_suggest(const char *key)
{
	unsigned best = (unsigned)MIN(strlen(key) / 3 + 1, 4) + 1;
	const char *name = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
		unsigned distance = parse_distance(key, options[i].name);

		if (distance >= best || options[i].type == SCHEMA_WITHOUT_MEANING)
			continue;
		best = distance;
		name = options[i].name;
	}
	return name;
}

bool schema_is_list(enum schema_type type)
{
	return (type >= SCHEMA_PAIRS && type <= SCHEMA_ADDRESSES) || type == SCHEMA_RUN_GROUPS;
}

int schema_word_index(const struct schema_option *option, const char *word, unsigned *ret_index)
{
	const char *at;
	int len;

	for (unsigned i = (unsigned)option->min; i <= option->max; i++) {
		at = schema_word_at(option, i, &len);
		if (strlen(word) != (size_t)len || strncasecmp(word, at, (size_t)len))
			continue;
		*ret_index = i;
		return 0;
	}
	return -EINVAL;
}

const char *schema_word_at(const struct schema_option *option, unsigned index, int *ret_len)
{
	const char *at = option->words;

	if (index < option->min || index > option->max)
		return NULL;
	for (index -= (unsigned)option->min; index > 0; index--)
		at += strcspn(at, " ") + 1;
	*ret_len = (int)strcspn(at, " ");
	return at;
}

const char *schema_type_name(enum schema_type type)
{
	static const char *const names[SCHEMA_TYPES] = {
		[SCHEMA_NUMBER] = "number",
		[SCHEMA_COUNT] = "number",
		[SCHEMA_TIME] = "time",
		[SCHEMA_SIZE] = "size",
		[SCHEMA_BOOL] = "0 or 1",
		[SCHEMA_MASK] = "mask",
		[SCHEMA_MODE] = "octal number",
		[SCHEMA_NICE] = "number",
		[SCHEMA_PREFIX_BITS] = "bits/bits",
		[SCHEMA_PATH] = "path",
		[SCHEMA_LOGFILE] = "log file",
		[SCHEMA_WORD] = "word",
		[SCHEMA_SIGNAL] = "signal",
		[SCHEMA_TEXT] = "text",
		[SCHEMA_SAID] = "list",
		[SCHEMA_FILE] = "path",
		[SCHEMA_RLIMIT_COUNT] = "number or unlimited",
		[SCHEMA_RLIMIT_SIZE] = "size or unlimited",
		[SCHEMA_RLIMIT_TIME] = "time or unlimited",
		[SCHEMA_PAIRS] = "NAME=VALUE",
		[SCHEMA_VARIABLES] = "NAME=VALUE",
		[SCHEMA_SOURCES] = "list of networks",
		[SCHEMA_FILES] = "path",
		[SCHEMA_SNI] = "name path path",
		[SCHEMA_PROTOCOLS] = "list of names",
		[SCHEMA_PORTS] = "list of ports",
		[SCHEMA_ADDRESSES] = "list of addresses",
		[SCHEMA_IMAGE] = "program",
		[SCHEMA_COMMAND] = "command line",
		[SCHEMA_USER] = "user",
		[SCHEMA_RUN_USER] = "user",
		[SCHEMA_RUN_GROUP] = "group",
		[SCHEMA_GROUP] = "group",
		[SCHEMA_RUN_GROUPS] = "list of groups",
		[SCHEMA_TLS_PORTS] = "list of ports",
		[SCHEMA_NOT_ENFORCED] = "-",
		[SCHEMA_WITHOUT_MEANING] = "-",
	};

	return names[type];
}
