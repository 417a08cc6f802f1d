/* Group commit: one fsync() for all who wait, and its failure told to each of them. The module is
 * included, so that its fsync() is ours and a test sees who waits. */
#include "test/unit/common/check.h"

#include <unistd.h>

static int slow_fsync(int fd);
#define fsync slow_fsync
#include "worker/smtp/commits.c"
#undef fsync

#include <sched.h>

#define OTHERS 10

static struct disk {
	pthread_mutex_t gate; /* held: fsync() waits */
	unsigned calls, entered;
	int error;
} disk = {.gate = PTHREAD_MUTEX_INITIALIZER};

static int slow_fsync(int fd)
{
	__atomic_add_fetch(&disk.entered, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&disk.gate);
	disk.calls++;
	errno = disk.error;
	pthread_mutex_unlock(&disk.gate);
	return errno ? -1 : 0;
}

struct caller {
	struct commits *commits;
	pthread_t thread;
	int answer;
};

static void *call(void *arg)
{
	struct caller *c = arg;

	c->answer = commits_sync(c->commits, "/tmp");
	return NULL;
}

static void begin(struct commits *cs, struct caller *c, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		c[i].commits = cs;
		assert_int_equal(pthread_create(&c[i].thread, NULL, call, &c[i]), 0);
	}
}

static void wait_for_users(struct commits *cs, unsigned count)
{
	unsigned users = 0;

	while (users != count) {
		sched_yield();
		pthread_mutex_lock(&cs->lock);
		users = cs->first ? cs->first->users : 0;
		pthread_mutex_unlock(&cs->lock);
	}
}

/* The first is in fsync(), the others wait; then the disk goes on with what it is told to answer.
 */
static void one_then_others(struct commits *cs, struct caller *c, int error)
{
	disk.calls = disk.entered = 0;
	disk.error = 0;
	commits_init(cs);
	pthread_mutex_lock(&disk.gate);
	begin(cs, c, 1);
	while (!__atomic_load_n(&disk.entered, __ATOMIC_SEQ_CST))
		sched_yield();
	begin(cs, c + 1, OTHERS);
	wait_for_users(cs, OTHERS + 1);
	disk.error = error;
	pthread_mutex_unlock(&disk.gate);
	for (unsigned i = 0; i <= OTHERS; i++)
		pthread_join(c[i].thread, NULL);
	assert_null(cs->first);
	commits_deinit(cs);
}

static void one_sync_serves_all_who_came_during_the_one_before(void **state)
{
	struct commits cs;
	struct caller c[OTHERS + 1];

	one_then_others(&cs, c, 0);
	assert_int_equal(disk.calls, 2);
	for (unsigned i = 0; i <= OTHERS; i++)
		assert_int_equal(c[i].answer, 0);
}

static void a_failure_is_told_to_all_whom_it_may_concern(void **state)
{
	struct commits cs;
	struct caller c[OTHERS + 1];

	one_then_others(&cs, c, EIO);
	for (unsigned i = 0; i <= OTHERS; i++)
		assert_int_equal(c[i].answer, -EIO);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
	struct commits cs;

	commits_init(&cs);
	assert_int_equal(commits_sync(&cs, "/nonexistent"), -ENOENT);
	assert_null(cs.first);
	commits_deinit(&cs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_sync_serves_all_who_came_during_the_one_before),
		cmocka_unit_test(a_failure_is_told_to_all_whom_it_may_concern),
		cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
