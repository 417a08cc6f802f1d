/* -l ADDRESS ... -t ADDRESS ... [NAME=VALUE ...]. Of the names, those that are options of a service
 * mean what they mean in dispatcher.cnf; all others are parameters of the worker. */
#include "worker/arguments.h"
#include "common/addr.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_CONNS       50
#define MAX_MAX_CONNS   65536
#define KILL_TIMEOUT_MS 10000

static const char help[] =
	"Usage: %s -l ADDRESS [-l ADDRESS ...] [-t ADDRESS ...] [NAME=VALUE ...]\n"
	"\n"
	"A worker of the connection dispatcher, which usually starts it. With -l it listens for "
	"itself.\n"
	"\n"
	"  -l, --listen=ADDRESS  127.0.0.1:2525, [::1]:2525, 2525 (on 127.0.0.1) or unix:/path\n"
	"  -t, --tls=ADDRESS     the same, where TLS starts at once\n"
	"  -h, --help            print this\n"
	"\n"
	"NAME=VALUE is a PARAMETER of the service, but COMMAND, MAX_CONNS, STACKSIZE, "
	"CONNECTION_TIMEOUT,\n"
	"KILL_TIMEOUT, DEBUG, TLS_CERT and TLS_KEY are the options of dispatcher.cnf(5).\n";

static int complain(const struct arguments *a, const char *what, const char *text, int error)
{
	fprintf(stderr, "%s: %s: %s\n", a->program, text, what);
	return error;
}

static int add_listener(struct arguments *a, const char *text, bool tls)
{
	if (a->listener_count == ARGUMENTS_MAX_LISTENERS)
		return complain(a, "too many listeners", text, -EINVAL);
	a->listeners[a->listener_count].text = text;
	a->listeners[a->listener_count].tls = tls;
	a->listeners[a->listener_count++].fd = -1;
	return 0;
}

static int read_max_conns(struct arguments *a, const char *text)
{
	uint64_t number;

	if (parse_u64(text, &number) || !number || number > MAX_MAX_CONNS)
		return -EINVAL;
	a->max_conns = (uint32_t)number;
	return 0;
}

static int read_stacksize(struct arguments *a, const char *text)
{
	return parse_size(text, &a->stacksize);
}

static int read_connection_timeout(struct arguments *a, const char *text)
{
	return parse_time(text, &a->connection_timeout_ms);
}

static int read_kill_timeout(struct arguments *a, const char *text)
{
	return parse_time(text, &a->kill_timeout_ms);
}

static int read_debug(struct arguments *a, const char *text)
{
	int64_t mask;
	int bad = parse_i64(text, &mask);

	if (!bad)
		a->debug = (uint32_t)mask;
	return bad;
}

static int read_tls_cert(struct arguments *a, const char *text)
{
	a->tls_cert = text;
	return 0;
}

static int read_tls_key(struct arguments *a, const char *text)
{
	a->tls_key = text;
	return 0;
}

static int read_command(struct arguments *a, const char *text)
{
	size_t size = strlen(text) + 1;

	free(a->command);
	a->command = malloc(size);
	return a->command ? parse_words(text, a->command, size, &a->command_words) : -ENOMEM;
}

static const struct {
	const char *name;
	int (*read)(struct arguments *a, const char *text); /* 0, or not understood */
} service_options[] = {
	{"COMMAND", read_command},
	{"MAX_CONNS", read_max_conns},
	{"STACKSIZE", read_stacksize},
	{"CONNECTION_TIMEOUT", read_connection_timeout},
	{"KILL_TIMEOUT", read_kill_timeout},
	{"DEBUG", read_debug},
	{"TLS_CERT", read_tls_cert},
	{"TLS_KEY", read_tls_key},
};

static int add_param(struct arguments *a, char *text)
{
	const char *value = strchr(text, '=');

	if (!value)
		return complain(a, "not NAME=VALUE", text, -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(service_options); i++) {
		size_t len = strlen(service_options[i].name);

		if (len != (size_t)(value - text) ||
			strncasecmp(text, service_options[i].name, len))
			continue;
		return service_options[i].read(a, value + 1)
			       ? complain(a, "not understood", text, -EINVAL)
			       : 0;
	}
	a->params[a->param_count++] = text;
	return 0;
}

static int read_options(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"tls", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option, bad = 0;

	while (!bad && (option = getopt_long(argc, argv, "l:t:h", options, NULL)) != -1) {
		if (option == 'h') {
			printf(help, a->program);
			return ARGUMENTS_HELP;
		}
		bad = option == 'l' || option == 't' ? add_listener(a, optarg, option == 't')
						     : -EINVAL;
	}
	for (int i = optind; !bad && i < argc; i++)
		bad = add_param(a, argv[i]);
	return bad;
}

static int check_tls(struct arguments *a)
{
	if (!a->tls_cert && a->tls_key)
		return complain(a, "without TLS_CERT", "TLS_KEY", -EINVAL);
	for (unsigned i = 0; i < a->listener_count; i++)
		if (a->listeners[i].tls && !a->tls_cert)
			return complain(
				a, "TLS needs TLS_CERT=path", a->listeners[i].text, -EINVAL);
	if (!a->tls_key)
		a->tls_key = a->tls_cert; /* both in one file */
	return 0;
}

int arguments_init(struct arguments *a, int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	int bad;

	*a = (struct arguments){.program = slash ? slash + 1 : argv[0],
		.max_conns = MAX_CONNS,
		.kill_timeout_ms = KILL_TIMEOUT_MS};
	a->params = calloc((size_t)argc, sizeof(char *));
	if (!a->params)
		return -ENOMEM;
	bad = read_options(a, argc, argv);
	if (!bad && !a->listener_count)
		bad = complain(a, "the dispatcher starts it, or you with -l (see --help)",
			"nowhere to listen", -EINVAL);
	return bad ? bad : check_tls(a);
}

/* The port behind the last colon, and the address before it. */
static int read_address(const char *text, struct addr *ret_addr)
{
	const char *colon = strrchr(text, ':');
	char ip[64] = "127.0.0.1";
	uint64_t port;

	if (colon) {
		size_t len = (size_t)(colon - text);

		if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
			text++;
			len -= 2;
		}
		if (len >= sizeof(ip))
			return -EINVAL;
		memcpy(ip, text, len);
		ip[len] = '\0';
	}
	if (addr_parse_ip(ip, ret_addr))
		return -EINVAL;
	if (parse_u64(colon ? colon + 1 : text, &port) || port > UINT16_MAX)
		return -EINVAL;
	ret_addr->port = (uint16_t)port;
	return 0;
}

static socklen_t unix_sockaddr(const char *path, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_un *un = (void *)ret_sa;

	if (!*path || strlen(path) >= sizeof(un->sun_path))
		return 0;
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	return sizeof(*un);
}

/* A socket file that nobody listens on is left over from before. */
static void remove_stale(const struct sockaddr_storage *sa, socklen_t len)
{
	OWNS_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *path = ((const struct sockaddr_un *)sa)->sun_path;
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		connect(fd, (const struct sockaddr *)sa, len) < 0 && errno == ECONNREFUSED)
		unlink(path);
}

static const char *unix_path(const char *text)
{
	return strncmp(text, "unix:", 5) ? NULL : text + 5;
}

static int open_listener(const struct sockaddr_storage *sa, socklen_t len)
{
	OWNS_FD int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (sa->ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)sa, len) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return base_steal_fd(&fd);
}

static void announce_one(const struct arguments *a, const char *text, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char where[ADDR_TEXT_BYTES];
	struct addr addr;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family != AF_UNIX) {
		addr_from_sockaddr(&addr, (struct sockaddr *)&sa, len);
		text = addr_format(&addr, where);
	}
	fprintf(stderr, "%s: listening on %s\n", a->program, text);
}

static int listen_at(struct arguments *a, unsigned index)
{
	const char *text = a->listeners[index].text, *path = unix_path(text);
	struct sockaddr_storage sa;
	struct addr addr;
	socklen_t len;
	int fd;

	if (!path && read_address(text, &addr))
		return complain(a, "not an address (see --help)", text, -EINVAL);
	len = path ? unix_sockaddr(path, &sa) : addr_to_sockaddr(&addr, &sa);
	if (!len)
		return complain(a, "not a path for a socket", text, -EINVAL);
	if (path)
		remove_stale(&sa, len);
	fd = open_listener(&sa, len);
	if (fd < 0)
		return complain(a, strerror(-fd), text, fd);
	a->listeners[index].fd = fd;
	return 0;
}

int arguments_listen(struct arguments *a)
{
	int bad = 0;

	for (unsigned i = 0; !bad && i < a->listener_count; i++)
		bad = listen_at(a, i);
	return bad;
}

void arguments_announce(const struct arguments *a)
{
	for (unsigned i = 0; i < a->listener_count; i++)
		announce_one(a, a->listeners[i].text, a->listeners[i].fd);
}

void arguments_put(const struct arguments *a, struct msg_writer *m)
{
	const char *word = a->command;

	msg_put_text(m, MSG_SERVICE, a->program);
	msg_put_u32(m, MSG_MAX_CONNS_FACT, a->max_conns);
	msg_put_u32(m, MSG_MIN_CONNS, a->max_conns);
	msg_put_u64(m, MSG_STACKSIZE, a->stacksize);
	msg_put_u64(m, MSG_CONN_TIMEOUT, a->connection_timeout_ms);
	msg_put_u64(m, MSG_KILL_TIMEOUT, a->kill_timeout_ms);
	msg_put_u32(m, MSG_DEBUG, a->debug);
	for (unsigned i = 0; i < a->param_count; i++)
		msg_put_text(m, MSG_PARAMETER, a->params[i]);
	for (unsigned i = 0; i < a->command_words; i++, word += strlen(word) + 1)
		msg_put_text(m, MSG_ARGUMENT, word);
	for (unsigned i = 0; i < a->listener_count; i++)
		msg_put_text(m, MSG_LISTENER_NAME, a->listeners[i].text);
	for (unsigned i = 0; i < a->listener_count; i++)
		if (a->listeners[i].tls)
			msg_put_u32(m, MSG_LISTENER_TLS, i);
}

void arguments_deinit(struct arguments *a)
{
	for (unsigned i = 0; i < a->listener_count; i++) {
		const char *path = unix_path(a->listeners[i].text);

		if (a->listeners[i].fd >= 0 && path)
			unlink(path);
		base_close(&a->listeners[i].fd);
	}
	free(a->params);
	free(a->command);
	*a = (struct arguments){0};
}
