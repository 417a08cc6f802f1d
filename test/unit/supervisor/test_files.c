/* Unix sockets at paths, listeners on ports, RUN_DIR. */
#include "common/base.h"
#include "dispatcher/supervisor/binding.h"
#include "dispatcher/supervisor/rundir.h"
#include "dispatcher/supervisor/unixsock.h"
#include "test/unit/supervisor/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ALLOW_ROUNDS 20000

struct place {
	char dir[40], path[64];
};

static struct place place;

static int make_place(void **state)
{
	snprintf(place.dir, sizeof(place.dir), "/tmp/test-files-XXXXXX");
	if (!mkdtemp(place.dir))
		return -1;
	snprintf(place.path, sizeof(place.path), "%s/socket", place.dir);
	return 0;
}

static int remove_place(void **state)
{
	unlink(place.path);
	return rmdir(place.dir);
}

static int open_socket(struct unixsock *s)
{
	return unixsock_open(s, place.path, UNIXSOCK_DEAD, 0660, SETTINGS_NO_ID, SETTINGS_NO_ID, 8);
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int bad = -errno;

		close(fd);
		return bad;
	}
	return fd;
}

static void a_stale_socket_is_replaced(void **state)
{
	struct unixsock stale, s;
	int fd;

	assert_int_equal(open_socket(&stale), 0);
	base_close(&stale.fd); /* its process died: the path stays */
	assert_int_equal(connect_to(place.path), -ECONNREFUSED);
	assert_int_equal(open_socket(&s), 0);
	fd = connect_to(place.path);
	assert_true(fd >= 0);
	close(fd);
	unixsock_close(&s, place.path);
	assert_int_equal(access(place.path, F_OK), -1);
}

static void a_socket_that_is_served_is_left_alone(void **state)
{
	struct unixsock first, second;
	int fd;

	assert_int_equal(open_socket(&first), 0);
	assert_int_equal(open_socket(&second), -EADDRINUSE);
	fd = connect_to(place.path);
	assert_true(fd >= 0);
	close(fd);
	unixsock_close(&first, place.path);
}

static void what_is_no_socket_is_never_replaced(void **state)
{
	struct unixsock s;
	int fd = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	assert_int_equal(open_socket(&s), -EEXIST);
	assert_int_equal(access(place.path, F_OK), 0);
}

static void a_symbolic_link_is_not_followed(void **state)
{
	struct unixsock s;
	char target[80];

	snprintf(target, sizeof(target), "%s/target", place.dir);
	assert_int_equal(symlink(target, place.path), 0);
	assert_int_equal(open_socket(&s), -EEXIST);
	assert_int_equal(access(target, F_OK), -1);
}

static void the_mode_is_as_asked_whatever_the_umask(void **state)
{
	mode_t before = umask(077);
	struct unixsock s;
	struct stat st;

	assert_int_equal(open_socket(&s), 0);
	assert_int_equal(stat(place.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(umask(before), 077);
	unixsock_close(&s, place.path);
}

static void closing_removes_no_socket_of_another(void **state)
{
	struct unixsock first, second;
	char other[80];

	assert_int_equal(open_socket(&first), 0);
	snprintf(other, sizeof(other), "%s/other", place.dir);
	assert_int_equal(rename(place.path, other), 0);
	assert_int_equal(open_socket(&second), 0);
	unixsock_close(&first, place.path);
	assert_int_equal(access(place.path, F_OK), 0);
	unixsock_close(&second, place.path);
	unlink(other);
}

struct swapper {
	pthread_t thread;
	char link[80];
	atomic_bool stopping;
	unsigned swaps;
};

/* Path and link change places, again and again. */
static void *swap(void *user)
{
	struct swapper *w = user;

	while (!atomic_load(&w->stopping) &&
		!renameat2(AT_FDCWD, place.path, AT_FDCWD, w->link, RENAME_EXCHANGE))
		w->swaps++;
	return NULL;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 0777;
}

/* Who owns the directory may put a link there between a look and what follows it. */
static void other_rights_never_go_through_a_link_that_was_swapped_in(void **state)
{
	struct swapper w = {.swaps = 0};
	struct unixsock s;
	char target[80];

	snprintf(target, sizeof(target), "%s/target", place.dir);
	snprintf(w.link, sizeof(w.link), "%s/link", place.dir);
	close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(symlink(target, w.link), 0);
	assert_int_equal(open_socket(&s), 0);
	assert_int_equal(pthread_create(&w.thread, NULL, swap, &w), 0);
	for (unsigned i = 0; i < ALLOW_ROUNDS && mode_of(target) == 0600; i++)
		unixsock_allow(&s, place.path, 0666, SETTINGS_NO_ID, SETTINGS_NO_ID);
	atomic_store(&w.stopping, true);
	pthread_join(w.thread, NULL);
	assert_true(w.swaps > 0);
	assert_int_equal(mode_of(target), 0600);
	unlink(w.link);
	unixsock_close(&s, place.path);
	unlink(place.path);
	unlink(target);
}

static void other_rights_are_given_to_the_socket(void **state)
{
	struct unixsock s;

	assert_int_equal(open_socket(&s), 0);
	unixsock_allow(&s, place.path, 0604, SETTINGS_NO_ID, SETTINGS_NO_ID);
	assert_int_equal(mode_of(place.path), 0604);
	unixsock_close(&s, place.path);
}

/* --- ports --- */

static struct settings none;

static struct settings_listener listener_on(const char *ip, unsigned port)
{
	struct settings_listener l = {0};

	assert_int_equal(addr_parse_ip(ip, &l.addr), 0);
	l.addr.port = (uint16_t)port;
	return l;
}

static int bind_to(struct binding *b, const struct settings_listener *l)
{
	static const struct service_settings svc = {.backlog = 16};

	return binding_open(b, NULL, &none, &svc, l);
}

static unsigned port_of(const struct binding *b)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr addr;

	assert_int_equal(getsockname(b->sock.fd, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa, len);
	return addr.port;
}

static int start_connect(unsigned port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static bool gets_through(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, ms) == 1 && !(p.revents & (POLLERR | POLLHUP));
}

static void both_wildcards_of_one_port_bind_side_by_side(void **state)
{
	struct settings_listener v4 = listener_on("0.0.0.0", 0), v6;
	struct binding b4, b6;
	int answer;

	assert_int_equal(bind_to(&b4, &v4), 0);
	v6 = listener_on("::", port_of(&b4));
	answer = bind_to(&b6, &v6);
	assert_true(answer == 0 || answer == BINDING_SKIPPED);
	binding_close(&b4);
	binding_close(&b6);
}

static void a_port_in_use_tells_who_has_it(void **state)
{
	struct settings_listener first = listener_on("127.0.0.1", 0), second;
	struct binding a, b;

	assert_int_equal(bind_to(&a, &first), 0);
	second = listener_on("127.0.0.1", port_of(&a));
	assert_int_equal(bind_to(&b, &second), -EADDRINUSE);
	assert_int_equal(binding_owner(&second.addr), getpid());
	binding_close(&a);
	assert_int_equal(binding_owner(&second.addr), 0);
}

/* Some kernels leave them to root. */
static bool filters_are_allowed(void)
{
	struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	struct sock_fprog program = {.len = 1, .filter = &pass};
	OWNS_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

static void a_stopped_port_answers_no_new_client_and_keeps_who_waits(void **state)
{
	struct settings_listener l = listener_on("127.0.0.1", 0);
	struct binding b;
	int early, late, accepted;

	if (!filters_are_allowed())
		skip();
	assert_int_equal(bind_to(&b, &l), 0);
	early = start_connect(port_of(&b));
	assert_true(gets_through(early, 1000));
	binding_stop(&b);
	late = start_connect(port_of(&b));
	assert_false(gets_through(late, 50));
	accepted = accept(b.sock.fd, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(send(early, "x", 1, 0), 1);
	assert_int_equal(send(accepted, "y", 1, 0), 1);
	close(early);
	close(late);
	close(accepted);
	binding_close(&b);
}

/* --- RUN_DIR --- */

struct block {
	struct settings s;
	char texts[256];
};

static struct block settings_for(const char *dir)
{
	struct block b = {.s.admin_gid = SETTINGS_NO_ID, .s.bytes = sizeof(b)};

	b.s.run_dir = offsetof(struct block, texts);
	b.s.control_socket = b.s.run_dir + 100;
	snprintf(b.texts, 100, "%s/run", dir);
	snprintf(b.texts + 100, 100, "%s/run/control", dir);
	return b;
}

static void remove_run_dir(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/run", place.dir);
	assert_int_equal(rmdir(path), 0); /* so nothing was left in it */
}

static void a_second_start_is_told_who_runs(void **state)
{
	struct block b = settings_for(place.dir);
	struct rundir first, second;
	const char *what;
	pid_t holder = 0;
	int fd;

	assert_int_equal(rundir_open(&first, &b.s, &holder, &what), 0);
	assert_int_equal(rundir_open(&second, &b.s, &holder, &what), RUNDIR_TAKEN);
	assert_int_equal(holder, getpid());
	fd = connect_to(first.control_path);
	assert_true(fd >= 0);
	close(fd);
	rundir_close(&first);
	remove_run_dir();
}

/* Whoever connected to fd is the next client of the listener. */
static void await_client(int listener, int fd)
{
	int accepted = accept(listener, NULL, NULL);
	char byte = 'x';

	assert_true(fd >= 0 && accepted >= 0);
	assert_int_equal(write(fd, &byte, 1), 1);
	assert_int_equal(read(accepted, &byte, 1), 1);
	close(accepted);
}

static void who_dies_before_it_publishes_leaves_the_path_to_the_former(void **state)
{
	struct block b = settings_for(place.dir);
	struct rundir former, r;
	const char *what;
	pid_t holder;
	int fd;

	assert_int_equal(rundir_open(&former, &b.s, &holder, &what), 0);
	base_close(&former.lock);
	assert_int_equal(rundir_open(&r, &b.s, &holder, &what), 0);
	await_client(former.control.fd, r.former);
	rundir_close(&r);
	fd = connect_to(former.control_path);
	await_client(former.control.fd, fd);
	close(fd);
	rundir_close(&former);
	unixsock_close(&former.control, former.control_path);
	remove_run_dir();
}

/* An acceptor that is busy, or stopped, for longer than anybody waits. */
static void a_former_that_takes_no_connection_keeps_the_path(void **state)
{
	struct block b = settings_for(place.dir);
	struct rundir former, r;
	const char *what;
	pid_t holder;
	int fd, last = -1;

	assert_int_equal(rundir_open(&former, &b.s, &holder, &what), 0);
	base_close(&former.lock);
	while ((fd = connect_to(former.control_path)) >= 0) {
		base_close(&last);
		last = fd;
	}
	assert_int_equal(fd, -EAGAIN);
	assert_int_equal(rundir_open(&r, &b.s, &holder, &what), RUNDIR_BUSY);
	assert_string_equal(what, former.control_path);
	close(accept(former.control.fd, NULL, NULL));
	close(last);
	fd = connect_to(former.control_path);
	assert_true(fd >= 0);
	close(fd);
	rundir_close(&former);
	unixsock_close(&former.control, former.control_path);
	remove_run_dir();
}

/* The acceptor of a killed supervisor has the control socket open still; here the test has it. */
static void what_a_killed_dispatcher_left_is_taken_over(void **state)
{
	struct block b = settings_for(place.dir);
	struct rundir former, r;
	const char *what;
	pid_t holder;
	int fd;

	assert_int_equal(rundir_open(&former, &b.s, &holder, &what), 0);
	base_close(&former.lock);
	assert_int_equal(rundir_open(&r, &b.s, &holder, &what), 0);
	await_client(former.control.fd, r.former);
	fd = connect_to(r.control_path);
	await_client(former.control.fd, fd);
	close(fd);
	rundir_publish(&r);
	fd = connect_to(r.control_path);
	await_client(r.control.fd, fd);
	unixsock_close(&former.control, r.control_path);
	assert_int_equal(access(r.control_path, F_OK), 0);
	close(fd);
	rundir_close(&r);
	remove_run_dir();
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(a_stale_socket_is_replaced),
		PLACE_TEST(a_socket_that_is_served_is_left_alone),
		PLACE_TEST(what_is_no_socket_is_never_replaced),
		PLACE_TEST(a_symbolic_link_is_not_followed),
		PLACE_TEST(the_mode_is_as_asked_whatever_the_umask),
		PLACE_TEST(other_rights_never_go_through_a_link_that_was_swapped_in),
		PLACE_TEST(other_rights_are_given_to_the_socket),
		PLACE_TEST(closing_removes_no_socket_of_another),
		cmocka_unit_test(both_wildcards_of_one_port_bind_side_by_side),
		cmocka_unit_test(a_port_in_use_tells_who_has_it),
		cmocka_unit_test(a_stopped_port_answers_no_new_client_and_keeps_who_waits),
		PLACE_TEST(who_dies_before_it_publishes_leaves_the_path_to_the_former),
		PLACE_TEST(a_second_start_is_told_who_runs),
		PLACE_TEST(a_former_that_takes_no_connection_keeps_the_path),
		PLACE_TEST(what_a_killed_dispatcher_left_is_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
