/* The thief, run on channels of the test. */
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"
#include "common/page.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/thief.h"
#include "test/unit/supervisor/testing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define TARGETS 3

struct scene {
	int victim[2];		/* 0: the acceptor's end, 1: the worker's */
	int targets[TARGETS][2];
	int loot_fd;
	struct link_loot *loot;
	int kept[64]; /* our copies of the offered sockets, by connection slot */
};

static struct scene scene;

static int open_scene(void **state)
{
	scene = (struct scene){.loot_fd = page_memory("loot", sizeof(struct link_loot))};
	scene.loot = page_map(scene.loot_fd, sizeof(struct link_loot), 1);
	for (int i = 0; i < TARGETS; i++)
		if (chan_pair(scene.targets[i]))
			return -1;
	return scene.loot ? chan_pair(scene.victim) : -1;
}

static void close_pair(int ends[2])
{
	base_close(&ends[0]);
	base_close(&ends[1]);
}

static int close_scene(void **state)
{
	close_pair(scene.victim);
	for (int i = 0; i < TARGETS; i++)
		close_pair(scene.targets[i]);
	for (size_t i = 0; i < ARRAY_LEN(scene.kept); i++)
		if (scene.kept[i])
			close(scene.kept[i]);
	munmap(scene.loot, sizeof(*scene.loot));
	close(scene.loot_fd);
	return 0;
}

/* Offers connections first, first + 1, ... in one message, as the acceptor would. */
static void offer(uint32_t first, unsigned count)
{
	uint8_t buf[MSG_OFFER_BYTES];
	int fds[MSG_MAX_CONNS];
	struct msg_writer w;

	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	for (unsigned i = 0; i < count; i++) {
		struct msg_conn conn = {.slot = first + i, .listener = 1, .accepted_ms = 5};
		int ends[2];

		testing_pair(ends);
		scene.kept[first + i] = ends[0];
		close(ends[1]);
		fds[i] = ends[0];
		msg_put_conn(&w, &conn);
	}
	assert_int_equal(chan_send(scene.victim[0], buf, (size_t)msg_end(&w), fds, count), 0);
}

static void control(enum msg_type type)
{
	uint8_t buf[64];
	struct msg_writer w;

	msg_begin(&w, buf, sizeof(buf), type);
	assert_int_equal(chan_send(scene.victim[0], buf, (size_t)msg_end(&w), NULL, 0), 0);
}

/* Each descriptor moves to its place above all others first, then down. */
static void place_descriptors(void)
{
	int from[THIEF_TARGETS - 3 + TARGETS] = {scene.victim[1], scene.victim[0], scene.loot_fd};
	int high[ARRAY_LEN(from)];

	for (int i = 0; i < TARGETS; i++)
		from[3 + i] = scene.targets[i][0];
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		high[i] = fcntl(from[i], F_DUPFD, 100);
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		dup2(high[i], THIEF_VICTIM_IN + (int)i);
}

static int steal(const char *a, const char *b, const char *c)
{
	const char *argv[] = {"thief", "--role=thief", a, b, c, NULL};
	int argc = c ? 5 : b ? 4 : 3;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		place_descriptors();
		_exit(thief_main(argc, (char **)argv));
	}
	return testing_wait(pid);
}

/* Receives one offer; checks that each socket is the one that was offered under its slot. */
static unsigned receive(int fd, uint32_t *ret_first)
{
	uint8_t buf[MSG_OFFER_BYTES];
	struct msg_conn conns[MSG_MAX_CONNS];
	int fds[CHAN_MAX_FDS];
	unsigned fd_count = 0, count = 0;
	size_t len;

	if (chan_recv(fd, buf, sizeof(buf), &len, fds, CHAN_MAX_FDS, &fd_count))
		return 0;
	assert_int_equal(msg_read_offer(buf, len, conns, MSG_MAX_CONNS, &count), 0);
	assert_int_equal(count, fd_count);
	for (unsigned i = 0; i < count; i++) {
		assert_true(testing_same(fds[i], scene.kept[conns[i].slot]));
		assert_int_equal(conns[i].listener, 1);
		assert_int_equal(conns[i].accepted_ms, 5);
		close(fds[i]);
	}
	*ret_first = conns[0].slot;
	return count;
}

static int receive_control(int fd)
{
	uint8_t buf[64];
	struct msg_reader r;
	unsigned count;
	size_t len;

	if (chan_recv(fd, buf, sizeof(buf), &len, NULL, 0, &count))
		return 0;
	assert_int_equal(msg_open(&r, buf, len), 0);
	return (int)r.type;
}

static unsigned drain(int fd)
{
	unsigned sum = 0, count;
	uint32_t first;

	while ((count = receive(fd, &first)))
		sum += count;
	return sum;
}

static void every_unread_offer_goes_to_a_target_with_room(void **state)
{
	uint32_t first;

	offer(1, 1);
	offer(2, 1);
	assert_int_equal(steal("5", NULL, NULL), 0);
	assert_int_equal(receive(scene.targets[0][1], &first), 1);
	assert_int_equal(first, 1);
	assert_int_equal(receive(scene.targets[0][1], &first), 1);
	assert_int_equal(first, 2);
	assert_int_equal(scene.loot->count, 2);
	assert_int_equal(scene.loot->emptied, 1);
	assert_int_equal(scene.loot->moved[1].conn, 2);
	assert_int_equal(scene.loot->moved[1].target, 0);
}

static void a_burst_is_split_among_targets_by_their_room(void **state)
{
	offer(0, 8);
	assert_int_equal(steal("3", "4", "1"), 0);
	assert_int_equal(drain(scene.targets[0][1]), 3);
	assert_int_equal(drain(scene.targets[1][1]), 4);
	assert_int_equal(drain(scene.targets[2][1]), 1);
	assert_int_equal(scene.loot->count, 8);
}

static void what_fits_nowhere_goes_back_and_is_recorded_so(void **state)
{
	uint32_t first;

	offer(0, 4);
	offer(4, 2);
	assert_int_equal(steal("3", NULL, NULL), 0);
	assert_int_equal(drain(scene.targets[0][1]), 3);
	assert_int_equal(scene.loot->count, 4);
	assert_int_equal(scene.loot->moved[3].conn, 3);
	assert_int_equal(scene.loot->moved[3].target, LINK_TARGETS);
	assert_int_equal(scene.loot->emptied, 0);
	assert_int_equal(receive(scene.victim[1], &first), 2);
	assert_int_equal(first, 4);
	assert_int_equal(receive(scene.victim[1], &first), 1);
	assert_int_equal(first, 3);
}

static void without_any_room_nothing_is_touched(void **state)
{
	offer(0, 2);
	assert_int_equal(steal("0", "0", NULL), 0);
	assert_int_equal(scene.loot->count, 0);
	assert_int_equal(drain(scene.victim[1]), 2);
}

static void a_target_that_takes_nothing_is_passed_over(void **state)
{
	base_close(&scene.targets[0][1]);
	offer(0, 3);
	assert_int_equal(steal("9", "3", NULL), 0);
	assert_int_equal(drain(scene.targets[1][1]), 3);
	assert_int_equal(scene.loot->count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(scene.loot->moved[i].target, 1);
}

static void control_messages_stay_with_the_victim_but_pings_do_not(void **state)
{
	control(MSG_PING);
	offer(0, 1);
	control(MSG_RETIRE);
	control(MSG_REOPEN);
	assert_int_equal(steal("1", "1", NULL), 0);
	assert_int_equal(drain(scene.targets[0][1]), 1);
	assert_int_equal(receive_control(scene.victim[1]), MSG_RETIRE);
	assert_int_equal(receive_control(scene.victim[1]), MSG_REOPEN);
	assert_int_equal(receive_control(scene.victim[1]), 0);
	assert_int_equal(scene.loot->emptied, 1);
}

static void what_cannot_be_understood_goes_back_and_ends_the_theft(void **state)
{
	uint32_t first;

	assert_int_equal(chan_send(scene.victim[0], "noise", 5, NULL, 0), 0);
	offer(0, 1);
	assert_int_equal(steal("5", NULL, NULL), W_EXITCODE(1, 0));
	assert_int_equal(scene.loot->count, 0);
	assert_int_equal(receive(scene.victim[1], &first), 1);
}

static void no_more_is_moved_than_the_loot_can_tell(void **state)
{
	for (uint32_t i = 0; i < 520; i++) {
		uint8_t buf[MSG_OFFER_BYTES];
		struct msg_conn conn = {.slot = i};
		struct msg_writer w;
		int ends[2];

		testing_pair(ends);
		msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
		msg_put_conn(&w, &conn);
		if (chan_send(scene.victim[0], buf, (size_t)msg_end(&w), ends, 1)) {
			close_pair(ends);
			break;
		}
		close_pair(ends);
	}
	assert_int_equal(steal("1000", "1000", "1000"), 0);
	assert_in_range(scene.loot->count, 100, LINK_STOLEN_MAX);
}

#define SCENE_TEST(f) cmocka_unit_test_setup_teardown(f, open_scene, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE_TEST(every_unread_offer_goes_to_a_target_with_room),
		SCENE_TEST(a_burst_is_split_among_targets_by_their_room),
		SCENE_TEST(what_fits_nowhere_goes_back_and_is_recorded_so),
		SCENE_TEST(without_any_room_nothing_is_touched),
		SCENE_TEST(a_target_that_takes_nothing_is_passed_over),
		SCENE_TEST(control_messages_stay_with_the_victim_but_pings_do_not),
		SCENE_TEST(what_cannot_be_understood_goes_back_and_ends_the_theft),
		SCENE_TEST(no_more_is_moved_than_the_loot_can_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
