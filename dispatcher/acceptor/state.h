/* Everything that the acceptor has. */
#ifndef ACCEPTOR_STATE_H
#define ACCEPTOR_STATE_H

#include "dispatcher/acceptor/blocks.h"
#include "dispatcher/acceptor/endings.h"
#include "dispatcher/acceptor/results.h"
#include "dispatcher/acceptor/service.h"

struct control;
struct ends;
struct lease;

struct acceptor {
	uv_loop_t loop;
	struct uplink uplink;
	const struct settings *settings; /* NULL until the supervisor has said hello */
	struct ledger *ledger;
	struct service *services;
	uint32_t service_count;
	int32_t supervisor_pid;
	uint32_t starts; /* how often an acceptor has started under this supervisor */
	uint64_t started_wall_ms, upgraded_wall_ms; /* the supervisor; 0: never */
	char supervisor_version[32];
	bool config_changed;	  /* on disk, since then */
	uint64_t loaded_wall_ms;  /* when the settings were read */
	struct {
		uint64_t wall_ms; /* 0: there was none */
		int32_t status;
		char text[LINK_TEXT_BYTES];
	} reload; /* the last one */
	uint64_t orphaned_wall_ms; /* 0: there is a supervisor */
	struct control *control;
	struct hand *hand;
	int park; /* what the last acceptor had in hand; -1: no */
	struct results results;
	struct blocks blocks;
	struct endings endings;
	uv_timer_t due_timer, tick_timer;
	uint64_t due_ms, handed_at_tick;
	bool sandboxed, going;
	bool borrows;		   /* the listeners are a former acceptor's until the supervisor says so */
	struct ends *ends;	   /* NULL: no service needs it */
	struct lease *lease;	   /* the next dispatcher takes over; NULL: none does */
	bool retires;		   /* it has taken over */
	uv_signal_t on_term;
};

#endif
