/* Who is in which slot, over an exec. A worker that is only queued is not kept: the next acceptor, which
 * asks for what it needs, would drop it anyway. */
#include "dispatcher/supervisor/workers_inner.h"
#include "common/base.h"
#include "dispatcher/supervisor/logs.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/snapshot.h"

#include <errno.h>
#include <string.h>

static const char *service_name(const struct workers *all, uint32_t service)
{
	const struct settings *s = all->world.config->settings;

	return settings_text(s, services_settings(all->world.services, service)->name);
}

static void save_gang(const struct workers *all, uint32_t service, json_t *o)
{
	const struct gang *g = all->gangs[service];

	snapshot_put_text(o, "service", service_name(all, service));
	snapshot_put(o, "next_serial", g->next_serial);
	for (uint32_t i = 0; i < g->slot_count; i++) {
		json_t *one;

		if (!g->slots[i] || g->slots[i]->state == WORKER_QUEUED)
			continue;
		one = snapshot_add(o, "workers");
		snapshot_put(one, "slot", i);
		worker_save(g->slots[i], one);
	}
}

void workers_save(const struct workers *all, json_t *root)
{
	for (uint32_t i = 0; i < all->gang_count; i++)
		save_gang(all, i, snapshot_add(root, "gangs"));
}

static int restore_worker(struct workers *all, uint32_t service, json_t *o)
{
	const struct settings *s = all->world.config->settings;
	const struct service_settings *svc = services_settings(all->world.services, service);
	struct gang *g = all->gangs[service];
	uint32_t slot = (uint32_t)snapshot_number(o, "slot", UINT32_MAX);
	struct worker *w;

	if (slot >= g->slot_count || g->slots[slot])
		return -EBADMSG;
	w = worker_restore(&all->worker_world, o, service, slot);
	if (!w)
		return -ENOMEM;
	g->slots[slot] = w;
	g->live += worker_lives(w);
	all->live += worker_lives(w);
	g->counted += worker_lives(w) && !w->killed;
	worker_log_to(w, logs_sink(all->world.logs, settings_text(s, svc->logfile)));
	return 0;
}

static int restore_gang(struct workers *all, json_t *o)
{
	const char *name = snapshot_text(o, "service");
	uint32_t service = 0;
	json_t *worker;
	int bad = 0;
	size_t i;

	while (name && service < all->gang_count && strcmp(service_name(all, service), name) != 0)
		service++;
	if (!name || service == all->gang_count)
		return -EBADMSG;
	all->gangs[service]->next_serial = (uint32_t)snapshot_number(o, "next_serial", 1);
	json_array_foreach(json_object_get(o, "workers"), i, worker)
		if (!bad)
			bad = restore_worker(all, service, worker);
	return bad;
}

int workers_restore(struct workers *all, json_t *root)
{
	json_t *gang;
	int bad = 0;
	size_t i;

	json_array_foreach(json_object_get(root, "gangs"), i, gang)
		if (!bad)
			bad = restore_gang(all, gang);
	return bad;
}
