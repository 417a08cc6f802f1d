/* Three tables behind one head; the sizes follow from the configuration alone. */
#include "common/ledger.h"
#include "common/base.h"

#include <errno.h>

#define HEAD_BYTES 64

size_t ledger_bytes(uint32_t services, uint32_t workers, uint32_t conns)
{
	return HEAD_BYTES + services * sizeof(struct ledger_service) +
		workers * sizeof(struct ledger_worker) + conns * sizeof(struct ledger_conn);
}

void ledger_format(void *memory, uint32_t services, uint32_t workers, uint32_t conns)
{
	_Static_assert(sizeof(struct ledger) <= HEAD_BYTES, "the head has its room");
	*(struct ledger *)memory = (struct ledger){.version = LEDGER_VERSION,
		.services = services,
		.workers = workers,
		.conns = conns,
		.bytes = ledger_bytes(services, workers, conns),
		.next_seq = 1};
}

int ledger_check(const struct ledger *ledger, size_t bytes, uint32_t services, uint32_t workers,
	uint32_t conns)
{
	if (bytes < HEAD_BYTES || ledger->version != LEDGER_VERSION || ledger->services != services ||
		ledger->workers != workers || ledger->conns != conns)
		return -EBADMSG;
	return ledger->bytes == bytes && ledger_bytes(services, workers, conns) == bytes ? 0 : -EBADMSG;
}

struct ledger_service *ledger_services(struct ledger *ledger)
{
	return (void *)((char *)ledger + HEAD_BYTES);
}

struct ledger_worker *ledger_workers(struct ledger *ledger)
{
	return (void *)(ledger_services(ledger) + ledger->services);
}

struct ledger_conn *ledger_conns(struct ledger *ledger)
{
	return (void *)(ledger_workers(ledger) + ledger->workers);
}
