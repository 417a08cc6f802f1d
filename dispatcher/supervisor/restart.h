/* An operator's restart: whose workers are to be replaced, and whether they may be. */
#ifndef SUPERVISOR_RESTART_H
#define SUPERVISOR_RESTART_H

#include "dispatcher/link.h"

#include <stdio.h>

struct services;
struct settings;
struct workers;

/* Marks the worker `serial` of the order's slot, with serial 0 all of its service (LINK_RESTART; the
 * acceptor does the rest), and writes to report what the operator is told. 0, or 1: refused. */
int restart_workers(struct workers *all, struct services *services, const struct settings *settings,
	const struct link_record *order, FILE *report);

/* The service is opened again while workers of its last life drain: they stand beside the new ones, as
 * if they had been replaced; until deadline_ms (monotonic), CLOCK_NEVER: none. */
void restart_reopened(struct workers *all, uint32_t service, uint64_t deadline_ms);

#endif
