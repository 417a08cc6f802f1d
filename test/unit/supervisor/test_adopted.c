/* Listeners that came from elsewhere: what is told of them, what they are, whose they become. */
#include "common/base.h"
#include "config/load.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/inherited.h"
#include "dispatcher/supervisor/listening.h"
#include "dispatcher/supervisor/unixsock.h"
#include "test/unit/supervisor/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* --- the environment --- */

static void only_the_process_that_is_named_inherits(void **state)
{
	unsigned count = 7;

	assert_int_equal(inherited_count(42, "43", "1", &count), INHERITED_NONE);
	assert_int_equal(inherited_count(42, NULL, "1", &count), INHERITED_NONE);
	assert_int_equal(inherited_count(42, "42", NULL, &count), INHERITED_NONE);
	assert_int_equal(count, 7);
	assert_int_equal(inherited_count(42, "42", "3", &count), 0);
	assert_int_equal(count, 3);
}

static void a_number_of_descriptors_that_cannot_be_is_wrong(void **state)
{
	static const char *const wrong[] = {
		"0", "-1", "", "1x", " 1", "1025", "99999999999999999999"};
	unsigned count;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(inherited_count(42, "42", wrong[i], &count), INHERITED_WRONG);
}

static void each_descriptor_has_the_name_at_its_place(void **state)
{
	char name[INHERITED_NAME_BYTES];

	assert_string_equal(inherited_name("smtp:pop3::imap", 0, name), "smtp");
	assert_string_equal(inherited_name("smtp:pop3::imap", 1, name), "pop3");
	assert_string_equal(inherited_name("smtp:pop3::imap", 2, name), "");
	assert_string_equal(inherited_name("smtp:pop3::imap", 3, name), "imap");
	assert_string_equal(inherited_name("smtp:pop3::imap", 4, name), "");
	assert_string_equal(inherited_name(NULL, 0, name), "");
}

/* --- what a descriptor is --- */

static int make_socket(int family, const void *sa, socklen_t len, bool listens)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, sa, len), 0);
	if (listens)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int tcp_on(in_addr_t ip, bool listens)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};

	return make_socket(AF_INET, &sa, sizeof(sa), listens);
}

static int loopback(void)
{
	return tcp_on(INADDR_LOOPBACK, true);
}

static void only_listening_stream_sockets_are_listeners(void **state)
{
	struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0test-adopted"};
	struct listening l;
	int fds[6], pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	fds[0] = tcp_on(INADDR_LOOPBACK, false);
	fds[1] = socket(AF_INET, SOCK_DGRAM, 0);
	fds[2] = pipe_fds[0];
	fds[3] = pipe_fds[1];
	fds[4] = open("/dev/null", O_RDWR);
	fds[5] = make_socket(AF_UNIX, &abstract, sizeof(sa_family_t) + 13, true);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_int_equal(listening_look(fds[i], &l), LISTENING_NOT);
		close(fds[i]);
	}
	assert_int_equal(listening_look(-1, &l), LISTENING_NOT);
}

static void a_path_leads_to_the_socket_that_stands_there_now(void **state)
{
	char path[] = "/tmp/test-adopted-XXXXXX";
	struct unixsock first, second;
	struct addr addr = {.family = AF_UNIX};
	struct listening l;

	assert_true(close(mkstemp(path)) == 0 && unlink(path) == 0);
	assert_int_equal(
		unixsock_open(&first, path, UNIXSOCK_DEAD, 0600, SETTINGS_NO_ID, SETTINGS_NO_ID, 8),
		0);
	assert_int_equal(listening_look(first.fd, &l), 0);
	assert_true(listening_is(&l, &addr, path));
	assert_true(listening_stands_at(first.fd, path));
	assert_int_equal(unixsock_open(&second, path, UNIXSOCK_OURS, 0600, SETTINGS_NO_ID,
				 SETTINGS_NO_ID, 8),
		0);
	assert_false(listening_stands_at(first.fd, path));
	assert_true(listening_stands_at(second.fd, path));
	unixsock_close(&first, path);
	unixsock_close(&second, path);
	assert_int_equal(access(path, F_OK), -1);
}

/* --- whose they become --- */

static unsigned port_of(int fd)
{
	struct listening l;

	assert_int_equal(listening_look(fd, &l), 0);
	return l.addr.port;
}

static void ignore(void *user, enum load_severity severity, const char *text)
{
	print_message("%s\n", text);
}

/* The settings of these services, for free. */
static const struct settings *settings_of(const char *services)
{
	char path[] = "/tmp/test-adopted-XXXXXX";
	struct settings *s = NULL;
	int fd = mkstemp(path);

	dprintf(fd, "RUN_DIR=/tmp/run\nSTATE_DIR=/tmp\n%s\n%s", geteuid() ? "" : "USER=root",
		services);
	close(fd);
	assert_int_equal(load_settings(path, ignore, NULL, &s), 0);
	unlink(path);
	return s;
}

static const struct settings *one_service(unsigned port)
{
	char text[128];

	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=127.0.0.1:%u\nIMAGE=/bin/true\n", port);
	return settings_of(text);
}

static int take(struct adopted *a, const struct settings *s, uint32_t listener)
{
	const struct settings_listener *l =
		&settings_listeners(s, settings_service(s, 0))[listener];
	enum adopted_origin origin;

	return adopted_take(a, &l->addr, settings_text(s, l->path), &origin);
}

static void a_listener_is_found_by_its_address_and_non_blocking(void **state)
{
	struct adopted *a = adopted_new();
	int fd = loopback(), taken;
	const struct settings *s = one_service(port_of(fd));

	assert_int_equal(adopted_add_consume(a, loopback(), ADOPTED_LEFT, ""), 0);
	assert_int_equal(adopted_add_consume(a, fd, ADOPTED_LEFT, ""), 0);
	adopted_match(a, s);
	taken = take(a, s, 0);
	assert_int_equal(taken, fd);
	assert_true(fcntl(taken, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(take(a, s, 0), -1);
	close(taken);
	adopted_free(a);
	free((void *)s);
}

static void one_that_was_lent_can_be_had_again(void **state)
{
	struct adopted *a = adopted_new();
	int fd = loopback();
	const struct settings *s = one_service(port_of(fd));

	adopted_add_consume(a, fd, ADOPTED_LENT, "");
	adopted_match(a, s);
	for (int i = 0; i < 2; i++) {
		int taken = take(a, s, 0);

		assert_true(taken >= 0);
		assert_true(testing_same(taken, fd));
		close(taken);
	}
	adopted_free(a);
	free((void *)s);
}

static void a_name_counts_where_no_address_does(void **state)
{
	static const char *const names[] = {"one", "ONE", "one-1"};
	struct adopted *a;
	int fd, taken;
	const struct settings *s = one_service(1);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		a = adopted_new();
		fd = loopback();
		adopted_add_consume(a, fd, ADOPTED_LENT, names[i]);
		adopted_match(a, s);
		taken = take(a, s, 0);
		assert_true(taken >= 0);
		close(taken);
		adopted_free(a);
	}
	free((void *)s);
}

static void a_name_takes_no_socket_whose_address_is_another_listeners(void **state)
{
	struct adopted *a = adopted_new();
	int fd = loopback(), taken;
	char text[128];
	const struct settings *s;

	snprintf(text, sizeof(text),
		"[SERVICE=ONE]\nPORT=127.0.0.1:1\nPORT=127.0.0.1:%u\nIMAGE=/bin/true\n",
		port_of(fd));
	s = settings_of(text);
	adopted_add_consume(a, fd, ADOPTED_LENT, "one");
	adopted_match(a, s);
	assert_int_equal(take(a, s, 0), -1);
	taken = take(a, s, 1);
	assert_true(taken >= 0);
	close(taken);
	adopted_free(a);
	free((void *)s);
}

static void what_is_for_nobody_is_closed(void **state)
{
	static const char *const disabled =
		"[SERVICE=ONE]\nENABLE=0\nPORT=127.0.0.1:1\nIMAGE=/bin/true\n";
	struct adopted *a = adopted_new();
	int fds[] = {loopback(), tcp_on(INADDR_LOOPBACK, false)};
	const struct settings *s = settings_of(disabled);

	adopted_add_consume(a, fds[0], ADOPTED_LENT, "one");
	adopted_add_consume(a, fds[1], ADOPTED_LENT, "one");
	adopted_match(a, s);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	adopted_free(a);
	free((void *)s);
}

static void a_filter_that_its_last_owner_left_is_taken_away(void **state)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &drop};
	struct adopted *a = adopted_new();
	int fd = loopback(), none = 0;

	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
	adopted_add_consume(a, fd, ADOPTED_LEFT, "");
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)), -1);
	assert_int_equal(errno, ENOENT);
	adopted_free(a);
}

static void an_ipv6_wildcard_that_takes_ipv4_covers_the_other_wildcard(void **state)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
	struct adopted *a = adopted_new();
	struct addr v4 = {.family = AF_INET};
	int off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct settings *s;
	char text[128];

	if (fd < 0)
		skip();
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	v4.port = (uint16_t)port_of(fd);
	snprintf(text, sizeof(text), "[SERVICE=ONE]\nPORT=%u\nIMAGE=/bin/true\n", v4.port);
	s = settings_of(text);
	adopted_add_consume(a, fd, ADOPTED_LENT, "");
	assert_false(adopted_covers(a, &v4));
	adopted_match(a, s);
	assert_true(adopted_covers(a, &v4));
	v4.port++;
	assert_false(adopted_covers(a, &v4));
	adopted_free(a);
	free((void *)s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_process_that_is_named_inherits),
		cmocka_unit_test(a_number_of_descriptors_that_cannot_be_is_wrong),
		cmocka_unit_test(each_descriptor_has_the_name_at_its_place),
		cmocka_unit_test(only_listening_stream_sockets_are_listeners),
		cmocka_unit_test(a_path_leads_to_the_socket_that_stands_there_now),
		cmocka_unit_test(a_listener_is_found_by_its_address_and_non_blocking),
		cmocka_unit_test(one_that_was_lent_can_be_had_again),
		cmocka_unit_test(a_name_counts_where_no_address_does),
		cmocka_unit_test(a_name_takes_no_socket_whose_address_is_another_listeners),
		cmocka_unit_test(what_is_for_nobody_is_closed),
		cmocka_unit_test(a_filter_that_its_last_owner_left_is_taken_away),
		cmocka_unit_test(an_ipv6_wildcard_that_takes_ipv4_covers_the_other_wildcard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
