/* The acceptor's link reaches the test through an abstract unix socket whose name stands in the
 * acceptor's arguments. */
#include "test/unit/supervisor/rig.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/clock.h"
#include "dispatcher/supervisor/execstep.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/logger.h"
#include "dispatcher/supervisor/readstep.h"
#include "dispatcher/supervisor/supervisor.h"
#include "dispatcher/supervisor/thief.h"
#include "test/unit/supervisor/modes.h"
#include "test/unit/supervisor/testing.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATIENCE_MS 5000

/* --- roles --- */

static socklen_t rendezvous_name(const char *name, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sa->sun_path + 1, sizeof(sa->sun_path) - 1, "%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

/* The acceptor: brings its link to the test, then lives until the test hangs up or it is killed. */
static int be_acceptor(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), link = LINK_FD;
	struct sockaddr_un sa;
	socklen_t len = rendezvous_name(name, &sa);
	pid_t pid = getpid();
	char byte;

	if (connect(fd, (struct sockaddr *)&sa, len) < 0 || chan_send(fd, &pid, sizeof(pid), &link, 1))
		return 1;
	close(link);
	return read(fd, &byte, 1) == 0 ? 0 : 1;
}

int rig_role(int argc, char **argv)
{
	const char *role = argc > 1 && strncmp(argv[1], "--role=", 7) == 0 ? argv[1] + 7 : "";

	if (strcmp(role, "acceptor") == 0 && argc > 2)
		return be_acceptor(argv[2]);
	if (strcmp(role, "logger") == 0)
		return logger_main(argc, argv);
	if (strcmp(role, "reader") == 0)
		return readstep_main(argc, argv);
	if (strcmp(role, "spawn") == 0)
		return execstep_main(argc, argv);
	if (strcmp(role, "thief") == 0)
		return thief_main(argc, argv);
	if (strncmp(argv[0], "dispatcher: worker", 18) == 0)
		return modes_main();
	return -1;
}

/* --- start --- */

static void substitute(FILE *out, const char *services)
{
	char self[PATH_MAX] = "";
	const char *at;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	while ((at = strstr(services, "@SELF@"))) {
		fprintf(out, "%.*s%s", (int)(at - services), services, self);
		services = at + 6;
	}
	fputs(services, out);
}

static void write_config(const struct rig *rig, const char *services)
{
	FILE *out = fopen(rig->config, "w");

	assert_non_null(out);
	fprintf(out, "RUN_DIR=%s/run\nSTATE_DIR=%s/state\nINTERFACE_ADDRESS=127.0.0.1\n%s", rig->dir,
		rig->dir, geteuid() ? "" : "USER=root\n");
	substitute(out, services);
	assert_int_equal(fclose(out), 0);
}

void rig_write(struct rig *rig, const char *services)
{
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/test-supervisor-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(chmod(rig->dir, 0755), 0);
	snprintf(rig->config, sizeof(rig->config), "%s/cnf", rig->dir);
	snprintf(rig->output, sizeof(rig->output), "%s/output", rig->dir);
	write_config(rig, services);
}

static void meet(struct rig *rig, char name[32])
{
	struct sockaddr_un sa;
	socklen_t len;

	snprintf(name, 32, "rig-%d-%llu", getpid(), (unsigned long long)clock_mono_ns());
	len = rendezvous_name(name, &sa);
	rig->rendezvous = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(rig->rendezvous, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(rig->rendezvous, 8), 0);
}

_Noreturn static void be_supervisor(struct rig *rig, const char *name)
{
	const char *arguments[] = {"--role=acceptor", name, NULL};
	struct supervisor_options options = {.config = rig->config,
		.acceptor_image = LAUNCH_SELF,
		.acceptor_arguments = arguments};
	int fd = open(rig->output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	dup2(fd, 2);
	close(fd);
	close(rig->rendezvous);
	exit(supervisor_main(&options));
}

static void launch_rig(struct rig *rig)
{
	char name[32];

	rig->link = -1;
	rig->acceptor = 0;
	meet(rig, name);
	fflush(NULL);
	rig->pid = fork();
	assert_true(rig->pid >= 0);
	if (!rig->pid)
		be_supervisor(rig, name);
}

void rig_start(struct rig *rig, const char *services)
{
	rig_write(rig, services);
	launch_rig(rig);
}

void rig_rewrite(struct rig *rig, const char *services)
{
	write_config(rig, services);
}

void rig_restart_with(struct rig *rig, const char *services)
{
	write_config(rig, services);
	launch_rig(rig);
}

int rig_start_again(struct rig *rig)
{
	pid_t pid = fork();

	if (!pid)
		be_supervisor(rig, "nobody");
	return testing_wait(pid);
}

static int await_readable_for(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms);
}

static int await_readable(int fd)
{
	return await_readable_for(fd, PATIENCE_MS);
}

void rig_take_acceptor(struct rig *rig)
{
	int met, answer;
	unsigned count;
	size_t len;

	base_close(&rig->link);
	assert_int_equal(await_readable(rig->rendezvous), 1);
	met = accept4(rig->rendezvous, NULL, NULL, SOCK_CLOEXEC);
	assert_true(met >= 0);
	assert_int_equal(await_readable(met), 1);
	answer = chan_recv(met, &rig->acceptor, sizeof(rig->acceptor), &len, &rig->link, 1, &count);
	assert_int_equal(answer, 0);
	assert_int_equal(count, 1);
	/* met stays open on purpose: its end tells the acceptor that the test has gone */
}

void rig_begin(struct rig *rig, const char *services)
{
	struct rig_news news;

	rig_start(rig, services);
	rig_take_acceptor(rig);
	rig_await(rig, LINK_GO, &news);
}

/* --- the link --- */

static void next(struct rig *rig, int ms, struct rig_news *ret_news)
{
	int answer;

	*ret_news = (struct rig_news){.fd_count = 0};
	if (await_readable_for(rig->link, ms) != 1)
		fail_msg("the supervisor says nothing");
	answer = link_recv(rig->link, &ret_news->r, ret_news->fds, &ret_news->fd_count);
	if (answer)
		fail_msg("the link answers %d", answer);
}

void rig_next(struct rig *rig, struct rig_news *ret_news)
{
	next(rig, PATIENCE_MS, ret_news);
}

void rig_patient_next(struct rig *rig, struct rig_news *ret_news)
{
	next(rig, 2 * PATIENCE_MS, ret_news);
}

void rig_await(struct rig *rig, enum link_type type, struct rig_news *ret_news)
{
	for (;;) {
		rig_next(rig, ret_news);
		if (ret_news->r.type == type)
			return;
		rig_drop(ret_news);
	}
}

void rig_drop(struct rig_news *news)
{
	while (news->fd_count)
		close(news->fds[--news->fd_count]);
}

void rig_order(struct rig *rig, struct link_record order)
{
	assert_int_equal(link_send(rig->link, &order, NULL, 0), 0);
}

void rig_run(struct rig *rig, uint32_t slot, struct rig_news *ret_worker)
{
	rig_order(rig, (struct link_record){.type = LINK_RUN, .slot = slot});
	rig_await(rig, LINK_WORKER, ret_worker);
	assert_int_equal(ret_worker->r.slot, slot);
	assert_int_equal(ret_worker->fd_count, 4);
}

void rig_lose_acceptor(struct rig *rig)
{
	assert_int_equal(kill(rig->acceptor, SIGKILL), 0);
	rig_take_acceptor(rig);
}

/* --- end --- */

static int remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char below[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (unlink(below) < 0 && (errno == EISDIR || errno == EPERM))
			remove_tree(below);
	}
	if (d)
		closedir(d);
	return rmdir(path);
}

int rig_end(struct rig *rig)
{
	uint64_t deadline = clock_mono_ms() + 2 * PATIENCE_MS;
	int status = -1, fd = (int)testing_pidfd(rig->pid);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (clock_mono_ms() < deadline && poll(&p, 1, PATIENCE_MS) != 1)
		;
	assert_int_equal(waitpid(rig->pid, &status, WNOHANG), rig->pid);
	close(fd);
	base_close(&rig->link);
	base_close(&rig->rendezvous);
	if (status)
		testing_print(rig->output);
	remove_tree(rig->dir);
	return status;
}

void rig_stop(struct rig *rig)
{
	assert_int_equal(kill(rig->pid, SIGINT), 0);
	assert_int_equal(rig_end(rig), 0);
}

/* --- looking --- */

char *rig_read(const char *path)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, size = 1 << 20;
	char *text = calloc(1, size + 1);
	ssize_t got;

	assert_non_null(text);
	while (fd >= 0 && len < size && (got = read(fd, text + len, size - len)) > 0)
		len += (size_t)got;
	return text;
}

void rig_await_output(const struct rig *rig, const char *text)
{
	testing_await_text(rig->output, text);
}

unsigned rig_count_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2;
}

/* Descriptors of a process that ends are closed a moment later. */
unsigned rig_settled_fds(const struct rig *rig, unsigned wanted)
{
	uint64_t deadline = clock_mono_ms() + PATIENCE_MS;

	while (rig_count_fds(rig->pid) != wanted && clock_mono_ms() < deadline)
		sched_yield();
	return rig_count_fds(rig->pid);
}

/* Calls for the line of every child in /proc/PID/stat, until one is what was looked for. */
static pid_t find_child(const struct rig *rig, bool (*is)(pid_t pid, char state, const char *what),
	const char *what, unsigned *ret_count)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while ((e = readdir(d))) {
		char path[300], line[512], state;
		pid_t parent;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = atoi(e->d_name) > 0 ? fopen(path, "r") : NULL;
		if (f && fgets(line, sizeof(line), f) &&
			sscanf(strrchr(line, ')') + 1, " %c %d", &state, &parent) == 2 &&
			parent == rig->pid && is(atoi(e->d_name), state, what)) {
			found = atoi(e->d_name);
			++*ret_count;
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return found;
}

static bool is_zombie(pid_t pid, char state, const char *what)
{
	return state == 'Z';
}

unsigned rig_zombies(const struct rig *rig)
{
	unsigned count = 0;

	find_child(rig, is_zombie, NULL, &count);
	return count;
}

static bool has_title(pid_t pid, char state, const char *what)
{
	char path[64];
	char *title;
	bool has;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	title = rig_read(path);
	has = strstr(title, what);
	free(title);
	return has;
}

pid_t rig_child(const struct rig *rig, const char *title)
{
	unsigned count = 0;

	return find_child(rig, has_title, title, &count);
}

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int rig_connect(unsigned port)
{
	struct sockaddr_in sa = loopback(port);
	OWNS_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = 2};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return base_steal_fd(&fd);
}

/* A port that drops SYNs lets connect() wait for its patience. */
void rig_await_refusal(unsigned port)
{
	uint64_t deadline = clock_mono_ms() + PATIENCE_MS;
	int answer;

	do {
		answer = rig_connect(port);
		if (answer >= 0)
			close(answer);
	} while (answer != -ECONNREFUSED && clock_mono_ms() < deadline);
	assert_int_equal(answer, -ECONNREFUSED);
}

int rig_listen(unsigned port)
{
	struct sockaddr_in sa = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

unsigned rig_free_port(void)
{
	struct sockaddr_in sa = loopback(0);
	socklen_t len = sizeof(sa);
	OWNS_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}
