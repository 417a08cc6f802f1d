/* What counts is resident memory (VmRSS) as /proc/PID/statm has it: a read that takes no lock of the
 * process and costs some ten microseconds, so that the supervisor's own loop may do it, a few workers at
 * a turn. Proportional memory (Pss), which shares out what several workers map, would be the better
 * measure; but the kernel walks all page tables for it, under a lock that a worker may hold. */
#include "dispatcher/supervisor/memory.h"
#include "common/base.h"
#include "config/settings.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define EVERY_MS 5000
#define SOON_MS 1000 /* when somebody had too much */
#define TURN_MS 10
#define WORKERS_A_TURN 50

struct memory {
	const struct services *services;
	const struct workers *workers;
	struct timer *timer;
	uint32_t service, slot; /* who is next */
	bool soon;
};

unsigned memory_judge(unsigned looks, uint64_t bytes, uint64_t limit)
{
	if (!limit || bytes < limit - limit / 10)
		return 0;
	return bytes > limit && looks < MEMORY_LOOKS ? looks + 1 : looks;
}

/* 0: it has ended. */
static uint64_t resident_bytes(pid_t pid)
{
	char path[32], text[128];
	uint64_t pages = 0;
	OWNS_FD int fd = -1;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[MAX(got, 0)] = '\0';
	if (sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void look_at(struct memory *m, struct worker *w, uint64_t limit)
{
	if (!w || w->state != WORKER_RUNS || w->stale.why)
		return;
	w->memory_looks = memory_judge(w->memory_looks, resident_bytes(w->pid), limit);
	if (w->memory_looks == MEMORY_LOOKS)
		worker_replace(w, LINK_STALE_MEMORY, UINT64_MAX, 0);
	else
		m->soon |= w->memory_looks > 0;
}

/* True when there are more. */
static bool look_at_some(struct memory *m)
{
	unsigned left = WORKERS_A_TURN;

	for (; m->service < services_count(m->services); m->service++, m->slot = 0) {
		uint64_t limit = services_settings(m->services, m->service)->max_memory;

		for (; limit && m->slot < workers_slots(m->workers, m->service); m->slot++) {
			if (!left--)
				return true;
			look_at(m, workers_at(m->workers, m->service, m->slot), limit);
		}
	}
	return false;
}

static void on_timer(void *user)
{
	struct memory *m = user;

	if (look_at_some(m)) {
		timer_in(m->timer, TURN_MS);
		return;
	}
	timer_in(m->timer, m->soon ? SOON_MS : EVERY_MS);
	m->service = m->slot = 0;
	m->soon = false;
}

int memory_new(struct uv_loop_s *loop, const struct services *services, const struct workers *workers,
	struct memory **ret_memory)
{
	struct memory *m = calloc(1, sizeof(*m));
	int bad;

	if (!m)
		return -ENOMEM;
	m->services = services;
	m->workers = workers;
	bad = timer_new(loop, on_timer, m, &m->timer);
	if (bad) {
		free(m);
		return bad;
	}
	timer_in(m->timer, EVERY_MS);
	*ret_memory = m;
	return 0;
}

struct memory *memory_free(struct memory *m)
{
	if (m)
		timer_free(m->timer);
	free(m);
	return NULL;
}
