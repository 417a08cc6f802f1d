/* Records with descriptors: each arrives once and whole, and none leaks. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/chan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static unsigned open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void a_record_arrives_whole_with_its_descriptors(void **state)
{
	int ends[2], fds[CHAN_MAX_FDS] = {-1, -1}, pipes[2];
	char buf[16], byte;
	size_t len = 0;
	unsigned count = 0;

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(chan_send(ends[0], "hello", 5, pipes, 2), 0);
	assert_int_equal(chan_recv(ends[1], buf, sizeof(buf), &len, fds, CHAN_MAX_FDS, &count), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(count, 2);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	for (unsigned i = 0; i < 2; i++) {
		close(ends[i]);
		close(fds[i]);
		close(pipes[i]);
	}
}

static void both_ends_are_close_on_exec_and_never_block(void **state)
{
	int ends[2];

	assert_int_equal(chan_pair(ends), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
		close(ends[i]);
	}
}

static void an_empty_channel_says_so(void **state)
{
	int ends[2], fds[1];
	char buf[8];
	size_t len;
	unsigned count;

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(chan_recv(ends[1], buf, sizeof(buf), &len, fds, 1, &count), CHAN_EMPTY);
	close(ends[0]);
	close(ends[1]);
}

static void a_full_channel_says_so_and_takes_more_when_it_is_read(void **state)
{
	int ends[2], fds[1], sent = 0, r;
	char buf[1024] = "";
	size_t len;
	unsigned count;

	assert_int_equal(chan_pair(ends), 0);
	while ((r = chan_send(ends[0], buf, sizeof(buf), NULL, 0)) == 0)
		sent++;
	assert_int_equal(r, CHAN_FULL);
	assert_true(sent > 0);
	while (chan_recv(ends[1], buf, sizeof(buf), &len, fds, 1, &count) == 0)
		sent--;
	assert_int_equal(sent, 0);
	assert_int_equal(chan_send(ends[0], buf, 1, NULL, 0), 0);
	close(ends[0]);
	close(ends[1]);
}

static void the_other_end_being_closed_is_gone_for_both(void **state)
{
	int ends[2], fds[1];
	char buf[8];
	size_t len;
	unsigned count;

	assert_int_equal(chan_pair(ends), 0);
	close(ends[1]);
	assert_int_equal(chan_send(ends[0], "x", 1, NULL, 0), CHAN_GONE);
	assert_int_equal(chan_recv(ends[0], buf, sizeof(buf), &len, fds, 1, &count), CHAN_GONE);
	close(ends[0]);
}

static void a_receiver_that_died_with_unread_records_is_gone(void **state)
{
	int ends[2];

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(chan_send(ends[0], "unread", 6, NULL, 0), 0);
	close(ends[1]);
	assert_int_equal(chan_send(ends[0], "x", 1, NULL, 0), CHAN_GONE);
	assert_int_equal(chan_send(ends[0], "x", 1, NULL, 0), CHAN_GONE);
	close(ends[0]);
}

static void what_was_sent_before_a_death_with_unread_records_still_arrives(void **state)
{
	int ends[2], fds[1];
	char buf[8];
	size_t len = 0;
	unsigned count;

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(chan_send(ends[0], "unread", 6, NULL, 0), 0);
	assert_int_equal(chan_send(ends[1], "last", 4, NULL, 0), 0);
	close(ends[1]);
	assert_int_equal(chan_recv(ends[0], buf, sizeof(buf), &len, fds, 1, &count), 0);
	assert_memory_equal(buf, "last", 4);
	assert_int_equal(chan_recv(ends[0], buf, sizeof(buf), &len, fds, 1, &count), CHAN_GONE);
	close(ends[0]);
}

/* Sends two descriptors with len bytes and receives with little room; counts what stays open. */
static int receive_badly(size_t len, size_t size, unsigned max_fds)
{
	int ends[2], fds[CHAN_MAX_FDS], two[2] = {0, 0}, r;
	unsigned before, count = 0;
	char buf[64] = "";
	size_t got;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(two))];
	} control;
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(two))};
	memcpy(CMSG_DATA(&control.head), two, sizeof(two));
	assert_int_equal(chan_pair(ends), 0);
	before = open_descriptors();
	assert_int_equal(sendmsg(ends[0], &m, 0), len);
	r = chan_recv(ends[1], buf, size, &got, fds, max_fds, &count);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(count, 0);
	close(ends[0]);
	close(ends[1]);
	return r;
}

static void a_record_with_too_many_descriptors_is_refused_and_leaks_none(void **state)
{
	assert_int_equal(receive_badly(4, 16, 1), -EMSGSIZE);
}

static void a_record_that_is_too_long_is_refused_and_leaks_none(void **state)
{
	assert_int_equal(receive_badly(32, 16, 2), -EMSGSIZE);
}

static void descriptors_of_an_empty_record_do_not_leak(void **state)
{
	assert_int_equal(receive_badly(0, 16, 2), CHAN_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_arrives_whole_with_its_descriptors),
		cmocka_unit_test(both_ends_are_close_on_exec_and_never_block),
		cmocka_unit_test(an_empty_channel_says_so),
		cmocka_unit_test(a_full_channel_says_so_and_takes_more_when_it_is_read),
		cmocka_unit_test(the_other_end_being_closed_is_gone_for_both),
		cmocka_unit_test(a_receiver_that_died_with_unread_records_is_gone),
		cmocka_unit_test(what_was_sent_before_a_death_with_unread_records_still_arrives),
		cmocka_unit_test(a_record_with_too_many_descriptors_is_refused_and_leaks_none),
		cmocka_unit_test(a_record_that_is_too_long_is_refused_and_leaks_none),
		cmocka_unit_test(descriptors_of_an_empty_record_do_not_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
