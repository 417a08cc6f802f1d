/* The states of services and their listeners over an exec. Listeners are found again by their names. */
#include "dispatcher/supervisor/services_inner.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/snapshot.h"
#include "dispatcher/supervisor/watch.h"

#include <string.h>

static void save_listener(const struct service *svc, uint32_t index, json_t *o)
{
	const struct settings *s = svc->all->config->settings;
	const struct binding *b = &svc->bindings[index];

	snapshot_put_text(o, "name", settings_text(s, settings_listeners(s, svc->settings)[index].name));
	snapshot_put(o, "index", index);
	snapshot_put(o, "lent", b->lent);
	snapshot_put(o, "left_ms", b->left_ms);
	snapshot_put_fd(o, "socket_fd", b->sock.fd);
	snapshot_put(o, "path_dev", b->sock.dev);
	snapshot_put(o, "path_ino", b->sock.ino);
}

static void save_service(const struct service *svc, json_t *o)
{
	snapshot_put_text(o, "name", svc->name);
	snapshot_put(o, "state", svc->state);
	snapshot_put(o, "idle", svc->idle);
	snapshot_put(o, "drained", svc->drained);
	snapshot_put(o, "round", svc->round);
	snapshot_put(o, "tries", svc->tries);
	snapshot_put(o, "deadline_ms", svc->deadline_ms);
	snapshot_put_text(o, "why", svc->why);
	snapshot_put_fd(o, "queue_in_fd", svc->queue[0]);
	snapshot_put_fd(o, "queue_out_fd", svc->queue[1]);
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++)
		if (svc->bindings[i].sock.fd >= 0)
			save_listener(svc, i, snapshot_add(o, "listeners"));
}

void services_save(const struct services *all, json_t *root)
{
	snapshot_put(root, "reopened_ms", all->reopened_ms);
	for (uint32_t i = 0; i < all->count; i++)
		save_service(all->services[i], snapshot_add(root, "services"));
}

/* By its name, or its index where the name is no text for JSON; -1: it is not in the settings. */
static int listener_of(const struct service *svc, const json_t *o)
{
	const struct settings *s = svc->all->config->settings;
	const struct settings_listener *l = settings_listeners(s, svc->settings);
	const char *name = snapshot_text(o, "name");
	uint32_t count = svc->settings->listeners.count;
	uint32_t index = (uint32_t)snapshot_number(o, "index", count);

	if (!name)
		return index < count ? (int)index : -1;
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(settings_text(s, l[i].name), name) == 0)
			return (int)i;
	return -1;
}

static void restore_listener(struct service *svc, json_t *o)
{
	const struct settings *s = svc->all->config->settings;
	int index = listener_of(svc, o);
	struct binding *b;

	if (index < 0)
		return;
	b = &svc->bindings[index];
	b->listener = &settings_listeners(s, svc->settings)[index];
	b->path = b->listener->addr.family == AF_UNIX ? settings_text(s, b->listener->path) : NULL;
	b->lent = snapshot_number(o, "lent", 0);
	b->left_ms = snapshot_number(o, "left_ms", 0);
	if (b->left_ms)
		timer_in(svc->all->look, 1);
	b->sock.fd = snapshot_fd(o, "socket_fd");
	b->sock.dev = snapshot_number(o, "path_dev", 0);
	b->sock.ino = snapshot_number(o, "path_ino", 0);
	svc->open_count += b->sock.fd >= 0;
}

/* The one that was opened in its place is empty. */
static void restore_queue(struct service *svc, json_t *o)
{
	int in = snapshot_fd(o, "queue_in_fd"), out = snapshot_fd(o, "queue_out_fd");

	if (in < 0 || out < 0)
		return;
	queue_close(svc);
	svc->queue[0] = in;
	svc->queue[1] = out;
}

/* Not through service_set: nothing has happened, it has been so all the time. */
static void restore_service(struct service *svc, json_t *o)
{
	const char *why = snapshot_text(o, "why");
	json_t *listener;
	size_t i;

	svc->state = (enum link_service_state)snapshot_number(o, "state", LINK_CLOSED);
	svc->idle = snapshot_number(o, "idle", 0);
	svc->drained = snapshot_number(o, "drained", 0);
	svc->round = (uint32_t)snapshot_number(o, "round", 0);
	svc->tries = (uint32_t)snapshot_number(o, "tries", 0);
	svc->deadline_ms = snapshot_number(o, "deadline_ms", CLOCK_NEVER);
	snprintf(svc->why, sizeof(svc->why), "%s", why ? why : "");
	restore_queue(svc, o);
	json_array_foreach(json_object_get(o, "listeners"), i, listener)
		restore_listener(svc, listener);
	if (svc->state == LINK_FAILED)
		timer_in(svc->retry, RETRY_MS);
}

static json_t *service_named(json_t *list, const char *name)
{
	json_t *o;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *its = snapshot_text(o, "name");

		if (its && strcmp(its, name) == 0)
			return o;
	}
	return NULL;
}

void services_restore(struct services *all, json_t *root)
{
	all->reopened_ms = snapshot_number(root, "reopened_ms", 0);
	for (uint32_t i = 0; i < all->count; i++) {
		struct service *svc = all->services[i];
		json_t *o = service_named(json_object_get(root, "services"), svc->name);

		if (o)
			restore_service(svc, o);
	}
}
