/* A head, a region for each service, then four tables. The memory is shared with a process that may
 * lie: whoever carries a ledger over copies head and region before it checks them, and uses the copy. */
#include "common/ledger.h"
#include "common/base.h"

#include <errno.h>
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
	return head_for(needs, services).bytes;
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

static bool is_sane(const struct ledger *head, size_t bytes, uint32_t services)
{
	return head->version == LEDGER_VERSION && head->services == services &&
		head->bytes == bytes && head->service_bytes <= RECORD_MOST &&
		head->worker_bytes <= RECORD_MOST && head->conn_bytes <= RECORD_MOST &&
		head->block_bytes <= RECORD_MOST &&
		!(head->service_bytes % 8 | head->worker_bytes % 8 | head->conn_bytes % 8 |
			head->block_bytes % 8) &&
		places_of(head).end == bytes;
}

static bool is_inside(const struct ledger *head, const struct ledger_region *r)
{
	return (uint64_t)r->first_worker + r->workers <= head->workers &&
		(uint64_t)r->first_conn + r->conns <= head->conns;
}

int ledger_check(const struct ledger *ledger, size_t bytes, uint32_t services)
{
	if (bytes < HEAD_BYTES || !is_sane(ledger, bytes, services))
		return -EBADMSG;
	for (uint32_t i = 0; i < services; i++)
		if (!is_inside(ledger, &regions(ledger)[i]))
			return -EBADMSG;
	return 0;
}

int ledger_check_own(const struct ledger *ledger, size_t bytes, uint32_t services)
{
	int bad = ledger_check(ledger, bytes, services);

	if (bad)
		return bad;
	return ledger->service_bytes == sizeof(struct ledger_service) &&
			ledger->worker_bytes == sizeof(struct ledger_worker) &&
			ledger->conn_bytes == sizeof(struct ledger_conn) &&
			ledger->block_bytes == sizeof(struct ledger_block) &&
			ledger->blocks == LEDGER_BLOCKS ?
		0 :
		-EBADMSG;
}

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

/* --- carrying over --- */

/* A ledger that somebody may be writing: its head and places as they were checked. */
struct reading {
	struct ledger head;
	struct places places;
	const char *memory;
};

static int begin_reading(struct reading *r, const struct ledger *ledger, size_t bytes)
{
	if (bytes < HEAD_BYTES)
		return -EBADMSG;
	r->head = *ledger;
	r->memory = (const char *)ledger;
	r->places = places_of(&r->head);
	return is_sane(&r->head, bytes, r->head.services) ? 0 : -EBADMSG;
}

/* A region that points outside has nothing. */
static struct ledger_region region_of(const struct reading *r, uint32_t service)
{
	struct ledger_region region;

	if (service >= r->head.services)
		return (struct ledger_region){0};
	region = regions((const struct ledger *)r->memory)[service];
	return is_inside(&r->head, &region) ? region : (struct ledger_region){0};
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
