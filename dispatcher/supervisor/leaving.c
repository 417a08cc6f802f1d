/* A listener that an open service gives up alone: new clients stay outside (binding_stop), who waits is
 * still accepted, and once its queue is seen empty, late enough for handshakes that were under way, both
 * processes close it. */
#include "dispatcher/supervisor/services_inner.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/watch.h"

#include <stddef.h>

#define LEAST_MS 300
#define LOOK_MS 50

int leaving_say(struct news *gone, int fd)
{
	struct service *svc = (struct service *)((char *)gone - offsetof(struct service, gone));

	for (uint32_t i = 0; i < svc->settings->listeners.count; i++) {
		struct link_record r = {
			.type = LINK_LISTENER, .service = svc->index, .number = i};
		int answer = svc->bindings[i].unsaid ? link_send(fd, &r, NULL, 0) : 0;

		if (answer)
			return answer;
		svc->bindings[i].unsaid = false;
	}
	return 0;
}

void leaving_said(struct service *svc)
{
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++)
		svc->bindings[i].unsaid = false;
}

void leaving_begin(struct service *svc, uint32_t index)
{
	struct binding *b = &svc->bindings[index];

	binding_stop(b);
	b->left_ms = clock_mono_ms();
	timer_in(svc->all->look, LOOK_MS);
}

static void give_up(struct service *svc, struct binding *b)
{
	const struct settings *s = svc->all->config->settings;

	binding_close(b);
	b->left_ms = 0;
	b->unsaid = true;
	log_event(EV_LISTENER_CLOSED, "service=%s listener=%s", svc->name,
		settings_text(s, b->listener->name));
	outlet_push(svc->all->outlet, &svc->gone);
}

/* True while there is one to look after. A service that closes closes all its listeners. */
static bool look(struct service *svc, uint64_t now_ms)
{
	bool any = false;

	for (uint32_t i = 0; i < svc->settings->listeners.count; i++) {
		struct binding *b = &svc->bindings[i];

		if (!b->left_ms || b->sock.fd < 0 || svc->state != LINK_OPEN)
			continue;
		if (now_ms >= b->left_ms + LEAST_MS && binding_is_empty(b))
			give_up(svc, b);
		else
			any = true;
	}
	return any;
}

void leaving_look(void *services)
{
	struct services *all = services;
	uint64_t now_ms = clock_mono_ms();
	bool any = false;

	for (uint32_t i = 0; i < all->count; i++)
		any |= look(all->services[i], now_ms);
	if (any)
		timer_in(all->look, LOOK_MS);
}
