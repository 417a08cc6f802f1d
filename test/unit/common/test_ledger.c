/* The ledger's tables: their places, and that everything survives when the tables are made anew. */
#include "test/unit/common/check.h"

#include "common/base.h"
#include "common/ledger.h"

#include <errno.h>
#include <string.h>

#define MOST_SERVICES 5

struct made {
	struct ledger *ledger;
	size_t bytes;
	uint32_t services;
};

static struct made make(const struct ledger_need *needs, uint32_t services)
{
	struct made m = {.bytes = ledger_bytes(needs, services), .services = services};

	m.ledger = calloc(1, m.bytes);
	ledger_format(m.ledger, needs, services);
	return m;
}

static struct made two(void)
{
	return make((struct ledger_need[]){{4, 40}, {6, 60}}, 2);
}

static int check(const struct made *m, uint32_t services)
{
	return ledger_check(m->ledger, m->bytes, services);
}

static int carry(const struct made *to, const struct made *from, const uint32_t *map)
{
	return ledger_carry(to->ledger, from->ledger, from->bytes, map);
}

static void a_fresh_ledger_is_whole(void **state)
{
	struct made m = two();

	assert_int_equal(check(&m, 2), 0);
	assert_int_equal(ledger_check_own(m.ledger, m.bytes, 2), 0);
	assert_int_equal(m.ledger->next_seq, 1);
	free(m.ledger);
}

static void tables_follow_each_other_and_end_with_the_memory(void **state)
{
	struct made m = two();
	char *end = (char *)m.ledger + m.bytes;

	assert_ptr_equal(ledger_workers(m.ledger, 0), ledger_service(m.ledger, 2));
	assert_ptr_equal(ledger_workers(m.ledger, 1), ledger_workers(m.ledger, 0) + 4);
	assert_ptr_equal(ledger_conns(m.ledger, 0), ledger_workers(m.ledger, 1) + 6);
	assert_ptr_equal(ledger_conns(m.ledger, 1), ledger_conns(m.ledger, 0) + 40);
	assert_ptr_equal(ledger_blocks(m.ledger), ledger_conns(m.ledger, 1) + 60);
	assert_ptr_equal(ledger_blocks(m.ledger) + LEDGER_BLOCKS, end);
	free(m.ledger);
}

static void tables_are_aligned_for_their_numbers(void **state)
{
	struct made m = make((struct ledger_need[]){{1, 1}, {1, 1}, {1, 1}}, 3);

	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal((uintptr_t)ledger_service(m.ledger, i) % 8, 0);
		assert_int_equal((uintptr_t)ledger_workers(m.ledger, i) % 8, 0);
		assert_int_equal((uintptr_t)ledger_conns(m.ledger, i) % 8, 0);
	}
	free(m.ledger);
}

static void other_sizes_or_another_version_are_refused(void **state)
{
	struct made m = two();

	assert_int_equal(check(&m, 3), -EBADMSG);
	assert_int_equal(ledger_check(m.ledger, m.bytes - 1, 2), -EBADMSG);
	assert_int_equal(ledger_check(m.ledger, 10, 2), -EBADMSG);
	m.ledger->workers++;
	assert_int_equal(check(&m, 2), -EBADMSG);
	m.ledger->workers--;
	m.ledger->version++;
	assert_int_equal(check(&m, 2), -EBADMSG);
	free(m.ledger);
}

/* The same contents with records that are longer (or shorter) by so many bytes. */
static struct made rebuilt(const struct made *m, int more)
{
	struct made o = {.services = m->services};
	struct ledger head = *m->ledger;
	const char *from = (const char *)m->ledger;
	size_t regions = 64 + m->services * sizeof(struct ledger_region);
	char *to;

	head.service_bytes += (uint32_t)more;
	head.worker_bytes += (uint32_t)more;
	head.conn_bytes += (uint32_t)more;
	head.block_bytes += (uint32_t)more;
	o.bytes = regions + head.services * head.service_bytes + head.workers * head.worker_bytes +
		(size_t)head.conns * head.conn_bytes + head.blocks * head.block_bytes;
	head.bytes = o.bytes;
	o.ledger = malloc(o.bytes);
	memset(o.ledger, 0xee, o.bytes);
	memcpy(o.ledger, from, regions);
	*o.ledger = head;
	to = (char *)o.ledger + regions;
	from += regions;
	for (int table = 0; table < 4; table++) {
		const uint32_t counts[] = {head.services, head.workers, head.conns, head.blocks};
		const uint32_t sizes[] = {head.service_bytes, head.worker_bytes, head.conn_bytes,
			head.block_bytes};
		uint32_t count = counts[table], bytes = sizes[table];
		uint32_t old = bytes - (uint32_t)more;

		for (uint32_t i = 0; i < count; i++, to += bytes, from += old)
			memcpy(to, from, MIN(bytes, old));
	}
	return o;
}

static struct ledger_region *region(struct made *m, uint32_t service)
{
	return (struct ledger_region *)((char *)m->ledger + 64) + service;
}

static void a_region_outside_the_tables_is_refused_and_has_nothing(void **state)
{
	struct made m = two(), to = two();

	ledger_workers(m.ledger, 1)[0].serial = 1;
	region(&m, 1)->first_worker = 5;
	assert_int_equal(check(&m, 2), -EBADMSG);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 1).workers, 0);
	assert_int_equal(carry(&to, &m, (uint32_t[]){0, 1}), 0);
	assert_int_equal(ledger_workers(to.ledger, 1)[0].serial, 0);
	region(&m, 1)->first_worker = UINT32_MAX;
	assert_int_equal(carry(&to, &m, (uint32_t[]){0, 1}), 0);
	free(m.ledger);
	free(to.ledger);
}

/* Carried over each time at the size of all, they would grow without end. */
static void regions_that_overlap_are_refused_and_have_nothing(void **state)
{
	struct made m = two();

	ledger_workers(m.ledger, 0)[0].serial = 1;
	region(&m, 1)->first_worker = 0;
	assert_int_equal(check(&m, 2), -EBADMSG);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 1).workers, 0);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 0).workers, 1);
	region(&m, 0)->workers = 0;
	assert_int_equal(check(&m, 2), 0);
	region(&m, 1)->first_conn = 39;
	assert_int_equal(check(&m, 2), -EBADMSG);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 1).workers, 0);
	free(m.ledger);
}

static void a_region_whose_end_wraps_around_is_refused(void **state)
{
	struct made m = two();

	region(&m, 0)->workers = UINT32_MAX;
	region(&m, 1)->first_worker = UINT32_MAX;
	assert_int_equal(check(&m, 2), -EBADMSG);
	region(&m, 0)->workers = 4;
	region(&m, 1)->first_worker = 4;
	region(&m, 1)->workers = UINT32_MAX - 3;
	assert_int_equal(check(&m, 2), -EBADMSG);
	free(m.ledger);
}

/* Any number of them would have a place. */
static void records_of_no_size_are_refused(void **state)
{
	struct made m = two();

	m.bytes = m.ledger->bytes -= 10 * sizeof(struct ledger_worker);
	m.ledger->worker_bytes = 0;
	region(&m, 1)->workers = 100000;
	m.ledger->workers = 100004;
	assert_int_equal(check(&m, 2), -EBADMSG);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 1).workers, 0);
	free(m.ledger);
}

static void tables_that_nobody_could_number_have_no_size(void **state)
{
	const struct ledger_need workers[] = {{UINT32_MAX, 1}, {1, 1}}, conns[] = {{1, 1}, {1, UINT32_MAX}};

	assert_int_equal(ledger_bytes(workers, 2), 0);
	assert_int_equal(ledger_bytes(conns, 2), 0);
	assert_true(ledger_bytes(workers, 1) > 0);
}

static void the_largest_tables_have_a_size(void **state)
{
	struct ledger_need need = {1u << 20, INT32_MAX};

	assert_true(ledger_bytes(&need, 1) > (uint64_t)INT32_MAX * sizeof(struct ledger_conn));
}

static void what_is_in_use_reaches_to_the_highest_slot(void **state)
{
	struct made m = two();
	struct ledger_need need = ledger_in_use(m.ledger, m.bytes, 1);

	assert_int_equal(need.workers, 0);
	assert_int_equal(need.conns, 0);
	ledger_workers(m.ledger, 1)[0].serial = 9;
	ledger_conns(m.ledger, 1)[59].phase = LEDGER_OPEN;
	ledger_conns(m.ledger, 0)[3].phase = LEDGER_OPEN;
	need = ledger_in_use(m.ledger, m.bytes, 1);
	assert_int_equal(need.workers, 1);
	assert_int_equal(need.conns, 60);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 0).conns, 4);
	assert_int_equal(ledger_in_use(m.ledger, m.bytes, 7).conns, 0);
	free(m.ledger);
}

static void connections_are_open_that_were_given_and_are_not_done(void **state)
{
	struct made m = two();

	ledger_workers(m.ledger, 0)[1] = (struct ledger_worker){.serial = 1, .given = 5, .done = 2};
	ledger_workers(m.ledger, 0)[2] = (struct ledger_worker){.serial = 0, .given = 9};
	ledger_workers(m.ledger, 1)[5] = (struct ledger_worker){.serial = 2, .given = 4};
	ledger_workers(m.ledger, 1)[0] = (struct ledger_worker){.serial = 3, .given = 1, .done = 2};
	assert_int_equal(ledger_open_connections(m.ledger, m.bytes, 2), 7);
	assert_int_equal(ledger_open_connections(m.ledger, m.bytes, 1), 0);
	assert_int_equal(ledger_open_connections(m.ledger, 10, 2), 0);
	region(&m, 1)->first_worker = UINT32_MAX;
	assert_int_equal(ledger_open_connections(m.ledger, m.bytes, 2), 0);
	free(m.ledger);
}

static void add_seq(void *user, const struct ledger_conn *conn)
{
	*(uint64_t *)user += conn->seq;
}

static uint64_t seqs_of(struct made *m, uint32_t service)
{
	uint64_t sum = 0;

	assert_int_equal(ledger_each_conn(m->ledger, m->bytes, service, add_seq, &sum), 0);
	return sum;
}

static void each_connection_of_a_service_is_read_and_no_other(void **state)
{
	struct made m = two(), longer;

	ledger_conns(m.ledger, 0)[39] = (struct ledger_conn){.phase = LEDGER_OPEN, .seq = 1000};
	ledger_conns(m.ledger, 1)[0] = (struct ledger_conn){.phase = LEDGER_OPEN, .seq = 1};
	ledger_conns(m.ledger, 1)[7] = (struct ledger_conn){.phase = LEDGER_FREE, .seq = 10};
	ledger_conns(m.ledger, 1)[59] = (struct ledger_conn){.phase = LEDGER_OPEN, .seq = 100};
	assert_int_equal(seqs_of(&m, 1), 101);
	assert_int_equal(seqs_of(&m, 2), 0);
	longer = rebuilt(&m, 16);
	assert_int_equal(seqs_of(&longer, 1), 101);
	region(&m, 1)->first_conn = UINT32_MAX;
	assert_int_equal(seqs_of(&m, 1), 0);
	assert_int_equal(ledger_each_conn(m.ledger, 10, 1, add_seq, NULL), -EBADMSG);
	free(m.ledger);
	free(longer.ledger);
}

static void places_are_told_of_what_is_whole_and_ours(void **state)
{
	struct made m = two(), longer = rebuilt(&m, 16);

	assert_int_equal(ledger_places(m.ledger, m.bytes, 1).conns, 60);
	assert_int_equal(ledger_places(m.ledger, m.bytes, 1).workers, 6);
	assert_int_equal(ledger_places(m.ledger, m.bytes, 2).conns, 0);
	assert_int_equal(ledger_places(m.ledger, 10, 1).conns, 0);
	assert_int_equal(ledger_places(longer.ledger, longer.bytes, 1).conns, 0);
	free(m.ledger);
	free(longer.ledger);
}

static void a_new_service_begins_with_nothing(void **state)
{
	struct made from = two(), to = two();

	ledger_service(from.ledger, 1)->accepted = 7;
	from.ledger->next_seq = 99;
	assert_int_equal(carry(&to, &from, (uint32_t[]){1, LEDGER_NONE}), 0);
	assert_int_equal(ledger_service(to.ledger, 0)->accepted, 7);
	assert_int_equal(ledger_service(to.ledger, 1)->accepted, 0);
	assert_int_equal(to.ledger->next_seq, 99);
	free(from.ledger);
	free(to.ledger);
}

/* --- ledgers of another build --- */

/* The last bytes of a worker's record, whatever stands there in this build. */
static uint64_t *last_of(struct ledger_worker *w)
{
	return (uint64_t *)(w + 1) - 1;
}

static void longer_records_are_cut_and_shorter_ones_filled_with_nothing(void **state)
{
	struct made m = two(), longer, shorter, back = two();
	const uint32_t same[] = {0, 1};

	ledger_service(m.ledger, 1)->accepted = 5;
	ledger_service(m.ledger, 1)->queue_peak = 5;
	ledger_workers(m.ledger, 1)[5].serial = 8;
	*last_of(&ledger_workers(m.ledger, 1)[5]) = 4;
	ledger_conns(m.ledger, 1)[2].phase = LEDGER_OPEN;
	ledger_conns(m.ledger, 1)[2].peer.port = 99;
	ledger_blocks(m.ledger)[63] = (struct ledger_block){.bits = 24, .until_ms = 77};
	longer = rebuilt(&m, 16);
	assert_int_equal(check(&longer, 2), 0);
	assert_int_equal(ledger_check_own(longer.ledger, longer.bytes, 2), -EBADMSG);
	assert_int_equal(ledger_in_use(longer.ledger, longer.bytes, 1).workers, 6);
	assert_int_equal(carry(&back, &longer, same), 0);
	assert_memory_equal(back.ledger, m.ledger, m.bytes);
	free(back.ledger);
	back = two();
	shorter = rebuilt(&m, -8);
	assert_int_equal(carry(&back, &shorter, same), 0);
	assert_int_equal(ledger_service(back.ledger, 1)->accepted, 5);
	assert_int_equal(ledger_service(back.ledger, 1)->queue_peak, 0);
	assert_int_equal(ledger_workers(back.ledger, 1)[5].serial, 8);
	assert_int_equal(*last_of(&ledger_workers(back.ledger, 1)[5]), 0);
	assert_int_equal(ledger_conns(back.ledger, 1)[2].phase, LEDGER_OPEN);
	assert_int_equal(ledger_blocks(back.ledger)[63].until_ms, 77);
	free(m.ledger);
	free(longer.ledger);
	free(shorter.ledger);
	free(back.ledger);
}

/* --- random ledgers --- */

static uint64_t seed;

static uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % limit;
}

static void fill(const struct made *m)
{
	m->ledger->next_seq = 1 + below(1000);
	for (uint32_t i = 0; i < m->services; i++) {
		struct ledger_need has = ledger_has(m->ledger, i);

		ledger_service(m->ledger, i)->accepted = below(1000);
		for (uint32_t w = 0; w < has.workers; w++)
			if (!below(3))
				ledger_workers(m->ledger, i)[w] = (struct ledger_worker){
					.serial = 1 + below(99), .given = below(50)};
		for (uint32_t c = 0; c < has.conns; c++)
			if (!below(4))
				ledger_conns(m->ledger, i)[c] = (struct ledger_conn){
					.phase = LEDGER_OPEN, .seq = below(999)};
	}
}

static struct made random_ledger(uint32_t services)
{
	struct ledger_need needs[MOST_SERVICES];

	for (uint32_t i = 0; i < services; i++)
		needs[i] = (struct ledger_need){below(9), below(30)};
	return make(needs, services);
}

/* A ledger for the services of the map with at least the places that old uses, and often more. */
static struct made room_for(const struct made *old, const uint32_t *map, uint32_t services)
{
	struct ledger_need needs[MOST_SERVICES];

	for (uint32_t i = 0; i < services; i++) {
		struct ledger_need used = ledger_in_use(old->ledger, old->bytes, map[i]);

		needs[i] = (struct ledger_need){
			used.workers + below(2) * below(9), used.conns + below(2) * below(30)};
	}
	return make(needs, services);
}

/* Each record is found where it was, or there is nothing. */
static void assert_same(const struct made *a, uint32_t service, const struct made *b, uint32_t other)
{
	struct ledger_need has = ledger_has(a->ledger, service), there = ledger_has(b->ledger, other);
	static const struct ledger_worker nobody;
	static const struct ledger_conn free_conn;

	assert_memory_equal(ledger_service(a->ledger, service), ledger_service(b->ledger, other),
		sizeof(struct ledger_service));
	for (uint32_t i = 0; i < has.workers; i++)
		assert_memory_equal(&ledger_workers(a->ledger, service)[i],
			i < there.workers ? &ledger_workers(b->ledger, other)[i] : &nobody,
			sizeof(nobody));
	for (uint32_t i = 0; i < has.conns; i++)
		assert_memory_equal(&ledger_conns(a->ledger, service)[i],
			i < there.conns ? &ledger_conns(b->ledger, other)[i] : &free_conn,
			sizeof(free_conn));
}

/* A random order of some of the old services, and a new one now and then. */
static uint32_t random_map(uint32_t services, uint32_t *ret_map)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < services; i++)
		if (below(4))
			ret_map[count++] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = below(i), kept = ret_map[i - 1];

		ret_map[i - 1] = ret_map[j];
		ret_map[j] = kept;
	}
	if (count < MOST_SERVICES && !below(3))
		ret_map[count++] = LEDGER_NONE;
	return count;
}

static void one_round(uint64_t number)
{
	uint32_t map[MOST_SERVICES], back[MOST_SERVICES], count;
	struct made old, new, again;

	seed = number;
	old = random_ledger(1 + below(MOST_SERVICES));
	fill(&old);
	count = random_map(old.services, map);
	new = room_for(&old, map, count);
	assert_int_equal(carry(&new, &old, map), 0);
	assert_int_equal(ledger_check_own(new.ledger, new.bytes, count), 0);
	for (uint32_t i = 0; i < old.services; i++)
		back[i] = LEDGER_NONE;
	for (uint32_t i = 0; i < count; i++) {
		if (map[i] == LEDGER_NONE)
			continue;
		assert_same(&new, i, &old, map[i]);
		back[map[i]] = i;
	}
	again = room_for(&new, back, old.services);
	assert_int_equal(carry(&again, &new, back), 0);
	for (uint32_t i = 0; i < old.services; i++)
		if (back[i] != LEDGER_NONE)
			assert_same(&again, i, &old, i);
	free(old.ledger);
	free(new.ledger);
	free(again.ledger);
}

static void everything_in_use_survives_there_and_back(void **state)
{
	for (uint64_t round = 1; round <= 2000; round++)
		one_round(round);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_ledger_is_whole),
		cmocka_unit_test(tables_follow_each_other_and_end_with_the_memory),
		cmocka_unit_test(tables_are_aligned_for_their_numbers),
		cmocka_unit_test(other_sizes_or_another_version_are_refused),
		cmocka_unit_test(a_region_outside_the_tables_is_refused_and_has_nothing),
		cmocka_unit_test(regions_that_overlap_are_refused_and_have_nothing),
		cmocka_unit_test(a_region_whose_end_wraps_around_is_refused),
		cmocka_unit_test(records_of_no_size_are_refused),
		cmocka_unit_test(tables_that_nobody_could_number_have_no_size),
		cmocka_unit_test(the_largest_tables_have_a_size),
		cmocka_unit_test(what_is_in_use_reaches_to_the_highest_slot),
		cmocka_unit_test(connections_are_open_that_were_given_and_are_not_done),
		cmocka_unit_test(each_connection_of_a_service_is_read_and_no_other),
		cmocka_unit_test(places_are_told_of_what_is_whole_and_ours),
		cmocka_unit_test(a_new_service_begins_with_nothing),
		cmocka_unit_test(longer_records_are_cut_and_shorter_ones_filled_with_nothing),
		cmocka_unit_test(everything_in_use_survives_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
