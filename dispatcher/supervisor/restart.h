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

#endif
