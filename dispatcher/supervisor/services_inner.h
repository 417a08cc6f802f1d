/* What services.c and services_saved.c share. */
#ifndef SUPERVISOR_SERVICES_INNER_H
#define SUPERVISOR_SERVICES_INNER_H

#include "dispatcher/supervisor/binding.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/services.h"

#define RETRY_MS 5000

struct service {
	struct news news;
	struct services *all;
	const struct service_settings *settings;
	const char *name;
	uint32_t index;
	enum link_service_state state;
	struct binding *bindings; /* one for each listener of the settings */
	uint32_t open_count;
	uint32_t said; /* records of the present state that the acceptor has; 0: none */
	bool listeners_said; /* and it has every listener, also from the state before */
	uint32_t round; /* how often it was closed */
	uint32_t tries; /* how often it was started while it was open */
	bool drained, idle; /* as the acceptor has said of this round */
	uint64_t deadline_ms;
	struct timer *retry;
	char why[LINK_TEXT_BYTES];
};

struct services {
	struct uv_loop_s *loop;
	const struct reader_result *config;
	const struct closures *closures;
	struct outlet *outlet;
	struct adopted *adopted;
	uint64_t reopened_ms;
	uint32_t count;
	struct service **services;
};

#endif
