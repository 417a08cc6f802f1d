/* What will happen, in the order of its time: the virtual clock of the simulator. */
#ifndef TEST_SIM_EVENTS_H
#define TEST_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum event_kind { EVENT_ARRIVE, EVENT_READ, EVENT_DONE, EVENT_READY, EVENT_EXIT, EVENT_STOLEN,
	EVENT_STOP, EVENT_RESTART, EVENT_RESUME, EVENT_TIMER, EVENT_KINDS };

struct event {
	uint64_t at_us;
	uint64_t order;	  /* among events of one time; set by events_add */
	uint32_t service; /* index */
	uint32_t serial;  /* of the worker: an event of a dead one is nobody's */
	uint16_t slot;
	uint8_t kind;
};

struct events {
	struct event *heap;
	size_t count, room;
	uint64_t order;
};

void events_free(struct events *e);
void events_add(struct events *e, struct event event);
bool events_next(struct events *e, struct event *ret_event); /* false: there is none */

#endif
