/* Starts one worker process: its user, limits, environment and descriptors, from its service's
 * settings. */
#ifndef SUPERVISOR_BIRTH_H
#define SUPERVISOR_BIRTH_H

#include "config/settings.h"
#include "dispatcher/supervisor/parts.h"

#include <sys/resource.h>
#include <sys/types.h>

struct birth {
	const struct settings *settings;
	const struct service_settings *service;
	uint32_t serial;
	struct rlimit nofile; /* as the supervisor was started with */
};

uint32_t birth_ring_len(const struct birth *b);
size_t birth_page_bytes(const struct birth *b); /* of the report page */

/* Starts the process, told what it must know. As launch(). */
int birth_launch(const struct birth *b, const struct parts *parts, pid_t *ret_pid,
	int *ret_birth_fd);

#endif
