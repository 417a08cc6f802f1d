/* What a reload hands from one acceptor to the next. The test speaks for both. */
#include "common/base.h"
#include "common/chan.h"
#include "common/ledger.h"
#include "config/settings.h"
#include "test/unit/supervisor/rig.h"
#include "test/unit/supervisor/testing.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ID 0x77
#define SLOT 2
#define CONN 3
#define HIGH_SLOT 9 /* beyond what a service with MAX_PROCS=1 needs */
#define HIGH_CONN 300

static struct rig rig;
static unsigned ports[2];

/* Services in this order; more: options of both. */
static const char *services(const char *one, unsigned port, const char *other, unsigned other_port,
	const char *more)
{
	static char text[800];

	snprintf(text, sizeof(text),
		"[SERVICE=%s]\nPORT=%u\nIMAGE=@SELF@\nENVIRONMENT=MODE=wait\nMAX_PROCS=4\n%s"
		"[SERVICE=%s]\nPORT=%u\nIMAGE=@SELF@\nENVIRONMENT=MODE=wait\nMAX_PROCS=4\n%s",
		one, port, more, other, other_port, more);
	return text;
}

static struct ledger *map_ledger(const struct rig_news *hello, size_t *ret_bytes)
{
	struct stat st;
	void *memory;

	assert_int_equal(fstat(hello->fds[1], &st), 0);
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, hello->fds[1], 0);
	assert_true(memory != MAP_FAILED);
	*ret_bytes = (size_t)st.st_size;
	return memory;
}

/* As an acceptor leaves it: one connection of the worker in SLOT, in the first service. */
static void write_books(struct ledger *l)
{
	ledger_service(l, 0)->handed = 5;
	ledger_workers(l, 0)[SLOT].serial = 1;
	ledger_workers(l, 0)[SLOT].given = 5;
	ledger_conns(l, 0)[CONN].worker = SLOT;
	ledger_conns(l, 0)[CONN].phase = LEDGER_OPEN;
	ledger_workers(l, 0)[HIGH_SLOT].serial = 9;
	ledger_conns(l, 0)[HIGH_CONN].phase = LEDGER_OPEN;
}

static void begin(const char *text)
{
	struct rig_news hello, news;
	struct ledger *ledger;
	size_t bytes;

	rig_start(&rig, text);
	rig_take_acceptor(&rig);
	rig_next(&rig, &hello);
	ledger = map_ledger(&hello, &bytes);
	write_books(ledger);
	munmap(ledger, bytes);
	rig_drop(&hello);
	rig_await(&rig, LINK_GO, &news);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
}

/* From here on rig is the acceptor that is to be prepared. Returns the link of the present one. */
static int reload(const char *text)
{
	struct rig_news news;
	int present;

	rig_rewrite(&rig, text);
	rig_order(&rig, (struct link_record){.type = LINK_RELOAD, .id = ID});
	present = rig.link;
	rig.link = -1;
	rig_take_acceptor(&rig);
	rig_next(&rig, &news);
	assert_int_equal(news.r.type, LINK_PREPARE);
	rig_drop(&news);
	return present;
}

static void expect_result(uint32_t number, const char *part)
{
	struct rig_news news;
	char text[400] = "";

	rig_await(&rig, LINK_RESULT, &news);
	assert_int_equal(news.r.id, ID);
	assert_int_equal(news.r.number, number);
	assert_true(pread(news.fds[0], text, sizeof(text) - 1, 0) > 0);
	if (!strstr(text, part))
		fail_msg("'%s' is not in '%s'", part, text);
	rig_drop(&news);
}

static void find_ports(void)
{
	ports[0] = rig_free_port();
	ports[1] = rig_free_port();
}

static void books_and_workers_follow_their_service_to_its_new_place(void **state)
{
	struct rig_news worker, hello, again, go;
	struct ledger *ledger;
	size_t bytes;

	find_ports();
	begin(services("one", ports[0], "two", ports[1], ""));
	rig_run(&rig, SLOT, &worker);
	close(reload(services("two", ports[1], "one", ports[0], "MIN_CONNS=7\n")));
	rig_order(&rig, (struct link_record){.type = LINK_PREPARED});
	rig_next(&rig, &hello);
	assert_int_equal(hello.r.type, LINK_HELLO);
	ledger = map_ledger(&hello, &bytes);
	assert_int_equal(ledger_check_own(ledger, bytes, 2), 0);
	assert_int_equal(ledger_service(ledger, 1)->handed, 5);
	assert_int_equal(ledger_workers(ledger, 1)[SLOT].given, 5);
	assert_int_equal(ledger_conns(ledger, 1)[CONN].phase, LEDGER_OPEN);
	assert_int_equal(ledger_conns(ledger, 1)[CONN].worker, SLOT);
	assert_int_equal(ledger_service(ledger, 0)->handed, 0);
	munmap(ledger, bytes);
	rig_drop(&hello);
	rig_await(&rig, LINK_WORKER, &again);
	assert_int_equal(again.r.service, 1);
	assert_int_equal(again.r.slot, SLOT);
	assert_int_equal(again.r.serial, worker.r.serial);
	assert_true(testing_same(again.fds[0], worker.fds[0]));
	rig_drop(&again);
	rig_drop(&worker);
	rig_await(&rig, LINK_GO, &go);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	expect_result(0, "no worker is touched");
	rig_stop(&rig);
}

static void tables_never_have_less_than_is_in_use(void **state)
{
	struct rig_news hello;
	struct ledger *ledger;
	size_t bytes;

	find_ports();
	begin(services("one", ports[0], "two", ports[1], ""));
	close(reload(services("one", ports[0], "two", ports[1],
		"MAX_PROCS=1\nMIN_PROCS=0\nMAX_SHUTDOWN=1\nMAX_HANDOFFS=1\n")));
	rig_order(&rig, (struct link_record){.type = LINK_PREPARED});
	rig_next(&rig, &hello);
	ledger = map_ledger(&hello, &bytes);
	assert_int_equal(ledger_has(ledger, 0).workers, HIGH_SLOT + 1);
	assert_int_equal(ledger_has(ledger, 0).conns, HIGH_CONN + 1);
	assert_int_equal(ledger_workers(ledger, 0)[HIGH_SLOT].serial, 9);
	assert_true(ledger_has(ledger, 1).workers <= HIGH_SLOT);
	munmap(ledger, bytes);
	rig_drop(&hello);
	rig_stop(&rig);
}

/* Of another service's slots, as only a compromised acceptor does. */
static void claim_all_slots(const struct rig_news *hello)
{
	size_t bytes;
	struct ledger *ledger = map_ledger(hello, &bytes);
	struct ledger_region *regions =
		(struct ledger_region *)ledger_service(ledger, 0) - ledger->services;

	regions[0].workers = ledger->workers;
	ledger_workers(ledger, 0)[ledger->workers - 1].serial = 1;
	munmap(ledger, bytes);
}

static void a_service_does_not_get_slots_that_it_never_had(void **state)
{
	struct rig_news hello, news;

	find_ports();
	rig_start(&rig, services("one", ports[0], "two", ports[1], ""));
	rig_take_acceptor(&rig);
	rig_next(&rig, &hello);
	claim_all_slots(&hello);
	rig_drop(&hello);
	rig_await(&rig, LINK_GO, &news);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	close(reload(services("one", ports[0], "two", ports[1], "MIN_CONNS=7\n")));
	rig_order(&rig, (struct link_record){.type = LINK_PREPARED});
	rig_await(&rig, LINK_GO, &news);
	rig_order(&rig, (struct link_record){.type = LINK_UP});
	expect_result(1, "cannot make the new tables");
	rig_stop(&rig);
}

static void one_that_cannot_use_the_new_tables_leaves_all_as_it_was(void **state)
{
	struct rig_news hello, news;
	struct ledger *ledger;
	size_t bytes;
	int present;

	find_ports();
	begin(services("one", ports[0], "two", ports[1], ""));
	present = reload(services("two", ports[1], "one", ports[0], "MIN_CONNS=7\n"));
	assert_int_equal(kill(rig.acceptor, SIGKILL), 0);
	close(rig.link);
	rig.link = present;
	expect_result(1, "nothing has changed");
	close(rig.link);
	rig.link = -1;
	rig_take_acceptor(&rig); /* a present one that hung up is replaced */
	rig_next(&rig, &hello);
	ledger = map_ledger(&hello, &bytes);
	assert_int_equal(ledger_conns(ledger, 0)[CONN].phase, LEDGER_OPEN);
	munmap(ledger, bytes);
	rig_drop(&hello);
	rig_await(&rig, LINK_GO, &news);
	rig_stop(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_and_workers_follow_their_service_to_its_new_place),
		cmocka_unit_test(tables_never_have_less_than_is_in_use),
		cmocka_unit_test(a_service_does_not_get_slots_that_it_never_had),
		cmocka_unit_test(one_that_cannot_use_the_new_tables_leaves_all_as_it_was),
	};
	int role = rig_role(argc, argv);

	return role >= 0 ? role : cmocka_run_group_tests(tests, NULL, NULL);
}
