/* A head, a region for each service, then four tables. The memory is shared with a process that may
 * lie: whoever carries a ledger over copies head and region before it checks them, and uses the copy. */
#include "common/ledger.h"
#include "common/base.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define HEAD_BYTES 64
#define RECORD_MOST 4096 /* a larger record is nonsense */

/* Offsets in bytes. */
struct places {
	uint64_t services, workers, conns, blocks, end;
};

static struct places places_of(const struct ledger *head)
{
	struct places p = {.services = HEAD_BYTES +
			(uint64_t)head->services * sizeof(struct ledger_region)};

	p.workers = p.services + (uint64_t)head->services * head->service_bytes;
	p.conns = p.workers + (uint64_t)head->workers * head->worker_bytes;
	p.blocks = p.conns + (uint64_t)head->conns * head->conn_bytes;
	p.end = p.blocks + (uint64_t)head->blocks * head->block_bytes;
	return p;
}

static struct ledger head_for(const struct ledger_need *needs, uint32_t services)
{
	struct ledger head = {.version = LEDGER_VERSION,
		.services = services,
		.next_seq = 1,
		.service_bytes = sizeof(struct ledger_service),
		.worker_bytes = sizeof(struct ledger_worker),
		.conn_bytes = sizeof(struct ledger_conn),
		.block_bytes = sizeof(struct ledger_block),
		.blocks = LEDGER_BLOCKS};

	for (uint32_t i = 0; i < services; i++) {
		head.workers += needs[i].workers;
		head.conns += needs[i].conns;
	}
	head.bytes = places_of(&head).end;
	return head;
}

size_t ledger_bytes(const struct ledger_need *needs, uint32_t services)
{
	uint64_t workers = 0, conns = 0;

	for (uint32_t i = 0; i < services; i++) {
		workers += needs[i].workers;
		conns += needs[i].conns;
	}
	return MAX(workers, conns) > UINT32_MAX ? 0 : head_for(needs, services).bytes;
}

static struct ledger_region *regions(const struct ledger *ledger)
{
	return (struct ledger_region *)((char *)ledger + HEAD_BYTES);
}

void ledger_format(void *memory, const struct ledger_need *needs, uint32_t services)
{
	struct ledger *ledger = memory;
	struct ledger_region next = {0};

	_Static_assert(sizeof(struct ledger) <= HEAD_BYTES, "the head has its room");
	*ledger = head_for(needs, services);
	for (uint32_t i = 0; i < services; i++) {
		next.workers = needs[i].workers;
		next.conns = needs[i].conns;
		regions(ledger)[i] = next;
		next.first_worker += next.workers;
		next.first_conn += next.conns;
	}
}

/* --- checking --- */

/* A ledger that somebody may be writing: its head and places as they were checked. */
struct reading {
	struct ledger head;
	struct places places;
	const char *memory;
};

/* Copies what is looked at more than once: the compiler must not read it again after the check. */
static void copy_once(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
	atomic_signal_fence(memory_order_seq_cst);
}

static bool is_record_size(uint32_t bytes)
{
	return bytes && bytes <= RECORD_MOST && bytes % 8 == 0;
}

static bool is_sane(const struct ledger *head, size_t bytes)
{
	return head->version == LEDGER_VERSION && head->bytes == bytes &&
		is_record_size(head->service_bytes) && is_record_size(head->worker_bytes) &&
		is_record_size(head->conn_bytes) && is_record_size(head->block_bytes) &&
		places_of(head).end == bytes;
}

static bool is_own(const struct ledger *head)
{
	return head->service_bytes == sizeof(struct ledger_service) &&
		head->worker_bytes == sizeof(struct ledger_worker) &&
		head->conn_bytes == sizeof(struct ledger_conn) &&
		head->block_bytes == sizeof(struct ledger_block) && head->blocks == LEDGER_BLOCKS;
}

static int begin_reading(struct reading *r, const struct ledger *ledger, size_t bytes)
{
	if (bytes < HEAD_BYTES)
		return -EBADMSG;
	copy_once(&r->head, ledger, sizeof(r->head));
	r->memory = (const char *)ledger;
	r->places = places_of(&r->head);
	return is_sane(&r->head, bytes) ? 0 : -EBADMSG;
}

/* From the region of the service before (at first: nothing) to this one. False unless it begins where
 * that one ends: regions that overlap would multiply what is in use whenever it is carried over. */
static bool next_region(const struct reading *r, uint32_t service, struct ledger_region *io_region)
{
	uint32_t first_worker = io_region->first_worker + io_region->workers;
	uint32_t first_conn = io_region->first_conn + io_region->conns;

	copy_once(io_region, &regions((const struct ledger *)r->memory)[service], sizeof(*io_region));
	return io_region->first_worker == first_worker && io_region->first_conn == first_conn &&
		io_region->workers <= r->head.workers - first_worker &&
		io_region->conns <= r->head.conns - first_conn;
}

/* A region that is not where it must be has nothing. */
static struct ledger_region region_of(const struct reading *r, uint32_t service)
{
	struct ledger_region region = {0};

	if (service >= r->head.services)
		return region;
	for (uint32_t i = 0; i <= service; i++)
		if (!next_region(r, i, &region))
			return (struct ledger_region){0};
	return region;
}

static int check(const struct ledger *ledger, size_t bytes, uint32_t services, struct reading *ret_reading)
{
	struct ledger_region region = {0};
	int bad = begin_reading(ret_reading, ledger, bytes);

	if (bad || ret_reading->head.services != services)
		return -EBADMSG;
	for (uint32_t i = 0; i < services; i++)
		if (!next_region(ret_reading, i, &region))
			return -EBADMSG;
	return 0;
}

int ledger_check(const struct ledger *ledger, size_t bytes, uint32_t services)
{
	struct reading r;

	return check(ledger, bytes, services, &r);
}

int ledger_check_own(const struct ledger *ledger, size_t bytes, uint32_t services)
{
	struct reading r;
	int bad = check(ledger, bytes, services, &r);

	return bad || is_own(&r.head) ? bad : -EBADMSG;
}

/* --- records --- */

struct ledger_need ledger_has(const struct ledger *ledger, uint32_t service)
{
	const struct ledger_region *r = &regions(ledger)[service];

	return (struct ledger_need){r->workers, r->conns};
}

struct ledger_service *ledger_service(struct ledger *ledger, uint32_t service)
{
	return (struct ledger_service *)((char *)ledger + places_of(ledger).services) + service;
}

struct ledger_worker *ledger_workers(struct ledger *ledger, uint32_t service)
{
	return (struct ledger_worker *)((char *)ledger + places_of(ledger).workers) +
		regions(ledger)[service].first_worker;
}

struct ledger_conn *ledger_conns(struct ledger *ledger, uint32_t service)
{
	return (struct ledger_conn *)((char *)ledger + places_of(ledger).conns) +
		regions(ledger)[service].first_conn;
}

struct ledger_block *ledger_blocks(struct ledger *ledger)
{
	return (struct ledger_block *)((char *)ledger + places_of(ledger).blocks);
}

static const char *worker_at(const struct reading *r, uint64_t index)
{
	return r->memory + r->places.workers + index * r->head.worker_bytes;
}

static const char *conn_at(const struct reading *r, uint64_t index)
{
	return r->memory + r->places.conns + index * r->head.conn_bytes;
}

/* The first number of either record says whether it is in use. */
static bool is_used(const char *record)
{
	uint32_t first;

	memcpy(&first, record, sizeof(first));
	return first != 0;
}

struct ledger_need ledger_in_use(const struct ledger *ledger, size_t bytes, uint32_t service)
{
	struct ledger_need need = {0};
	struct ledger_region region;
	struct reading r;

	_Static_assert(!offsetof(struct ledger_worker, serial) && !offsetof(struct ledger_conn, phase),
		"is_used looks at them");
	if (begin_reading(&r, ledger, bytes))
		return need;
	region = region_of(&r, service);
	for (uint32_t i = 0; i < region.workers; i++)
		if (is_used(worker_at(&r, (uint64_t)region.first_worker + i)))
			need.workers = i + 1;
	for (uint32_t i = 0; i < region.conns; i++)
		if (is_used(conn_at(&r, (uint64_t)region.first_conn + i)))
			need.conns = i + 1;
	return need;
}

/* --- reading what somebody else writes --- */

struct ledger_need ledger_places(const struct ledger *ledger, size_t bytes, uint32_t service)
{
	struct ledger_region region;
	struct reading r;

	if (begin_reading(&r, ledger, bytes) || !is_own(&r.head))
		return (struct ledger_need){0};
	region = region_of(&r, service);
	return (struct ledger_need){region.workers, region.conns};
}

uint64_t ledger_open_connections(const struct ledger *ledger, size_t bytes, uint32_t services)
{
	struct reading r;
	uint64_t sum = 0;

	if (check(ledger, bytes, services, &r) || !is_own(&r.head))
		return 0;
	for (uint32_t i = 0; i < r.head.workers; i++) {
		struct ledger_worker w;

		copy_once(&w, worker_at(&r, i), sizeof(w));
		if (w.serial && w.given > w.done)
			sum += MIN(w.given - w.done, (uint64_t)UINT32_MAX);
	}
	return sum;
}

int ledger_each_conn(const struct ledger *ledger, size_t bytes, uint32_t service,
	void (*each)(void *user, const struct ledger_conn *conn), void *user)
{
	struct ledger_region region;
	struct reading r;
	int bad = begin_reading(&r, ledger, bytes);

	if (bad)
		return bad;
	region = region_of(&r, service);
	for (uint32_t i = 0; i < region.conns; i++) {
		struct ledger_conn conn = {0};

		copy_once(&conn, conn_at(&r, (uint64_t)region.first_conn + i),
			MIN(r.head.conn_bytes, sizeof(conn)));
		if (conn.phase != LEDGER_FREE)
			each(user, &conn);
	}
	return 0;
}

/* --- carrying over --- */

static void carry_records(char *to, uint32_t to_bytes, uint32_t to_count, const char *from,
	uint32_t from_bytes, uint32_t from_count)
{
	for (uint32_t i = 0; i < MIN(to_count, from_count); i++)
		memcpy(to + (size_t)i * to_bytes, from + (size_t)i * from_bytes,
			MIN(to_bytes, from_bytes));
}

static void carry_service(struct ledger *ledger, uint32_t service, const struct reading *old,
	uint32_t old_service)
{
	struct ledger_region from = region_of(old, old_service);
	struct ledger_region *to = &regions(ledger)[service];
	struct places p = places_of(ledger);
	char *memory = (char *)ledger;

	carry_records(memory + p.services + (size_t)service * ledger->service_bytes,
		ledger->service_bytes, 1,
		old->memory + old->places.services + (size_t)old_service * old->head.service_bytes,
		old->head.service_bytes, 1);
	carry_records(memory + p.workers + (size_t)to->first_worker * ledger->worker_bytes,
		ledger->worker_bytes, to->workers, worker_at(old, from.first_worker),
		old->head.worker_bytes, from.workers);
	carry_records(memory + p.conns + (size_t)to->first_conn * ledger->conn_bytes,
		ledger->conn_bytes, to->conns, conn_at(old, from.first_conn), old->head.conn_bytes,
		from.conns);
}

int ledger_carry(struct ledger *ledger, const struct ledger *old, size_t old_bytes, const uint32_t *map)
{
	struct reading r;
	int bad = begin_reading(&r, old, old_bytes);

	if (bad)
		return bad;
	ledger->next_seq = r.head.next_seq;
	carry_records((char *)ledger + places_of(ledger).blocks, ledger->block_bytes, ledger->blocks,
		r.memory + r.places.blocks, r.head.block_bytes, r.head.blocks);
	for (uint32_t i = 0; i < ledger->services; i++)
		if (map[i] < r.head.services)
			carry_service(ledger, i, &r, map[i]);
	return 0;
}
