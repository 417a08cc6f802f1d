/* dispatcher-exec: runs COMMAND for each connection as inetd and tcpserver do, with the socket as
 * standard input and output. The connection counts until the command exits.
 *
 * A command leads a session and process group of its own, so that it can be ended together with
 * what it has started, and so that what is sent to this worker's group does not reach it. It starts
 * with the default signals, the environment of this worker plus that of UCSPI-TCP, and descriptors
 * 0 to 2.
 *
 * Under TLS the socket that it gets is one end of a pair through which the library moves the
 * plaintext; it knows of that by the environment alone. */
#include <dispatcher/worker.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define ADDED_VARS    15
#define ADDRESS_BYTES 64

struct exec {
	posix_spawnattr_t attributes;
	char **environment; /* as inherited, less what is added; room for ADDED_VARS and NULL */
	size_t inherited, described;
};

struct child {
	struct worker_conn *conn;
	pid_t pid;
	int pidfd;
	int sent; /* the last signal that we sent */
	uv_poll_t exit;
	uv_timer_t timer;
	int open_handles;
};

static const char *const added[ADDED_VARS] = {"PROTO", "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP",
	"TCPREMOTEPORT", "REMOTE_ADDR", "REMOTE_PORT", "SSL_PROTOCOL", "SSL_CIPHER",
	"SSL_CIPHER_USEKEYSIZE", "SSL_CIPHER_ALGKEYSIZE", "SSL_SESSION_RESUMED",
	"SSL_TLS_SNI_SERVERNAME", "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN"};

static int is_added(const char *variable)
{
	for (size_t i = 0; i < ADDED_VARS; i++) {
		size_t len = strlen(added[i]);

		if (!strncmp(variable, added[i], len) && variable[len] == '=')
			return 1;
	}
	return 0;
}

static int keep_environment(struct exec *e)
{
	size_t count = 0;

	while (environ[count])
		count++;
	e->environment = calloc(count + ADDED_VARS + 1, sizeof(char *));
	if (!e->environment)
		return -1;
	for (char **v = environ; *v; v++)
		if (!is_added(*v))
			e->environment[e->inherited++] = *v;
	return 0;
}

static void set_attributes(posix_spawnattr_t *a)
{
	const struct sched_param ordinary = {0};
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(a);
	posix_spawnattr_setsigmask(a, &none);
	posix_spawnattr_setsigdefault(a, &all);
	posix_spawnattr_setschedpolicy(a, SCHED_OTHER);
	posix_spawnattr_setschedparam(a, &ordinary);
	posix_spawnattr_setflags(a, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSCHEDULER);
}

static int on_start(struct worker *w)
{
	struct exec *e;

	if (!worker_command(w)[0])
		return worker_fail(w, "COMMAND is not set");
	e = calloc(1, sizeof(*e));
	if (!e || keep_environment(e) < 0)
		return worker_fail(w, "no memory for the environment");
	set_attributes(&e->attributes);
	worker_set_data(w, e);
	return 0;
}

static void on_stop(struct worker *w)
{
	struct exec *e = worker_data(w);

	posix_spawnattr_destroy(&e->attributes);
	free(e->environment);
	free(e);
}

static void forget_description(struct exec *e)
{
	while (e->described)
		free(e->environment[e->inherited + --e->described]);
	e->environment[e->inherited] = NULL;
}

/* Without memory the command is not told, like without a value. */
static void add(struct exec *e, const char *name, const char *value)
{
	char *text;

	if (value && asprintf(&text, "%s=%s", name, value) >= 0)
		e->environment[e->inherited + e->described++] = text;
}

static void add_number(struct exec *e, const char *name, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	add(e, name, text);
}

static int is_inet(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET || sa->ss_family == AF_INET6;
}

static void add_address(struct exec *e, const struct sockaddr_storage *sa, socklen_t len,
	const char *const names[2])
{
	char ip[ADDRESS_BYTES], port[8];

	if (!is_inet(sa) || getnameinfo((const struct sockaddr *)sa, len, ip, sizeof(ip), port,
				    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		return;
	add(e, names[0], ip);
	add(e, names[1], port);
}

static void add_tls(struct exec *e, const struct worker_tls *t)
{
	add(e, "SSL_PROTOCOL", t->version);
	add(e, "SSL_CIPHER", t->cipher);
	add_number(e, "SSL_CIPHER_USEKEYSIZE", t->cipher_bits);
	add_number(e, "SSL_CIPHER_ALGKEYSIZE", t->algorithm_bits);
	add(e, "SSL_SESSION_RESUMED", t->resumed ? "Resumed" : "Initial");
	add(e, "SSL_TLS_SNI_SERVERNAME", t->server_name);
	add(e, "SSL_CLIENT_S_DN", t->client_subject);
	add(e, "SSL_CLIENT_I_DN", t->client_issuer);
}

/* Completes the environment for a connection whose socket is still there, until it is forgotten. */
static void describe(struct exec *e, const struct worker_conn *c)
{
	static const char *const names[3][2] = {{"TCPLOCALIP", "TCPLOCALPORT"},
		{"TCPREMOTEIP", "TCPREMOTEPORT"}, {"REMOTE_ADDR", "REMOTE_PORT"}};
	struct sockaddr_storage local, peer;
	socklen_t local_len = worker_conn_local_addr(c, &local);
	socklen_t peer_len = worker_conn_peer_addr(c, &peer);
	const struct worker_tls *tls = worker_conn_tls(c);

	add(e, "PROTO", is_inet(&local) ? "TCP" : "UNIX");
	add_address(e, &local, local_len, names[0]);
	add_address(e, &peer, peer_len, names[1]);
	add_address(e, &peer, peer_len, names[2]);
	if (tls)
		add_tls(e, tls);
	e->environment[e->inherited + e->described] = NULL;
}

/* Starts the command on socket fd. Its pid, or -errno. */
static pid_t start(struct worker_conn *c, int fd)
{
	struct worker *w = worker_of(c);
	struct exec *e = worker_data(w);
	char *const *command = worker_command(w);
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int error;

	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (!error)
		error = posix_spawnp(
			&pid, command[0], &actions, &e->attributes, command, e->environment);
	posix_spawn_file_actions_destroy(&actions);
	return error ? -error : pid;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;

	if (--child->open_handles)
		return;
	close(child->pidfd);
	free(child);
}

static void forget(struct child *child)
{
	worker_conn_set_data(child->conn, NULL);
	worker_close(child->conn);
	uv_close((uv_handle_t *)&child->exit, on_handle_closed);
	uv_close((uv_handle_t *)&child->timer, on_handle_closed);
}

static void log_exit(struct child *child, const siginfo_t *info)
{
	struct worker *w = worker_of(child->conn);
	char peer[WORKER_ADDR_BYTES];
	int killed = info->si_code != CLD_EXITED;

	worker_log(w, killed && info->si_status != child->sent ? WORKER_WARNING : WORKER_DEBUG,
		"%s for %s, pid %d: %s %d", worker_command(w)[0],
		worker_conn_peer(child->conn, peer), (int)child->pid,
		killed ? "ended by signal" : "exit status", info->si_status);
}

static void on_exit_noticed(uv_poll_t *exit, int status, int events)
{
	struct child *child = exit->data;
	siginfo_t info = {.si_pid = 0};

	if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) < 0 && errno == EINTR)
		return;
	if (info.si_pid)
		log_exit(child, &info);
	forget(child);
}

static void on_timer(uv_timer_t *timer);

/* Signals the whole group; TERM becomes KILL after kill_ms (0: never). */
static void end(struct child *child, uint64_t kill_ms)
{
	child->sent = child->sent == SIGTERM ? SIGKILL : SIGTERM;
	kill(-child->pid, child->sent);
	uv_timer_stop(&child->timer);
	if (kill_ms && child->sent == SIGTERM)
		uv_timer_start(&child->timer, on_timer, kill_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct child *child = timer->data;

	end(child, worker_limits(worker_of(child->conn))->kill_timeout_ms);
}

/* Watches the child; its pidfd becomes readable when it exits. */
static int watch(struct child *child)
{
	struct worker *w = worker_of(child->conn);
	uint64_t timeout_ms = worker_limits(w)->connection_timeout_ms;
	int bad = uv_poll_init(worker_loop(w), &child->exit, child->pidfd);

	if (bad)
		return bad;
	uv_timer_init(worker_loop(w), &child->timer);
	child->exit.data = child->timer.data = child;
	child->open_handles = 2;
	uv_poll_start(&child->exit, UV_READABLE, on_exit_noticed);
	if (timeout_ms)
		uv_timer_start(&child->timer, on_timer, timeout_ms, 0);
	return 0;
}

static int adopt(struct worker_conn *c, pid_t pid)
{
	struct child *child = calloc(1, sizeof(*child));

	if (!child)
		return -ENOMEM;
	child->conn = c;
	child->pid = pid;
	child->pidfd = pidfd_open(pid, 0);
	if (child->pidfd >= 0 && watch(child) == 0) {
		worker_conn_set_data(c, child);
		return 0;
	}
	if (child->pidfd >= 0)
		close(child->pidfd);
	free(child);
	return -EMFILE;
}

static void refuse(struct worker_conn *c, const char *what, int error)
{
	struct worker *w = worker_of(c);
	char peer[WORKER_ADDR_BYTES];

	worker_log(w, WORKER_ERROR, "%s for %s: %s: %s", worker_command(w)[0],
		worker_conn_peer(c, peer), what, strerror(-error));
	worker_close(c);
}

/* The command's copy of the socket is the only one that stays: when it closes that, the client
 * shall see it. */
static pid_t start_for(struct worker_conn *c)
{
	struct exec *e = worker_data(worker_of(c));
	pid_t pid;
	int fd;

	describe(e, c);
	fd = worker_conn_take_fd(c);
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	pid = fd < 0 ? fd : start(c, fd);
	forget_description(e);
	if (fd >= 0)
		close(fd);
	return pid;
}

static void on_open(struct worker_conn *c)
{
	pid_t pid = start_for(c);
	int bad;

	if (pid < 0) {
		refuse(c, "cannot be started", (int)pid);
		return;
	}
	bad = adopt(c, pid);
	if (!bad)
		return;
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
	refuse(c, "cannot be watched", bad);
}

static void on_deadline(struct worker *w, unsigned ms_left)
{
	struct worker_conn *c = NULL;

	while ((c = worker_next(w, c))) {
		struct child *child = worker_conn_data(c);

		if (!child)
			continue;
		child->sent = 0;
		end(child, ms_left - ms_left / 10); /* before our own, which reaches no child */
	}
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {
		.size = sizeof(ops),
		.on_start = on_start,
		.on_stop = on_stop,
		.on_open = on_open,
		.on_deadline = on_deadline,
	};

	return worker_main(argc, argv, &ops);
}
