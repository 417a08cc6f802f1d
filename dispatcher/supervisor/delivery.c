/* A worker remembers the serial numbers of what it was last sent, so that nothing needs a list of who is
 * still to get what: whoever differs is tried again. Who retires gets new ticket keys as everybody, or the
 * oldest would live on in him. */
#include "dispatcher/supervisor/delivery.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>

#define AGAIN_MS 100 /* somebody's channel was full */
#define EVERY_MS 1000

struct delivery {
	struct secrets *secrets;
	const struct services *services;
	const struct workers *workers;
	struct timer *timer;
};

/* False: somebody is to be tried again. */
static bool give_all(const struct delivery *d, uint32_t service)
{
	struct secrets_gift gift = secrets_gift(d->secrets, services_name(d->services, service), false);
	bool done = true;

	for (uint32_t i = 0; i < workers_slots(d->workers, service); i++) {
		struct worker *w = workers_at(d->workers, service, i);

		if (w && worker_lives(w))
			done &= worker_give(w, &gift);
	}
	return done;
}

void delivery_push(struct delivery *d)
{
	uint64_t now_ms = clock_mono_ms(), next_ms = secrets_rotate(d->secrets, now_ms);
	uint64_t wait_ms = EVERY_MS;

	for (uint32_t i = 0; i < services_count(d->services); i++)
		if (!give_all(d, i))
			wait_ms = AGAIN_MS;
	if (next_ms > now_ms)
		wait_ms = MIN(wait_ms, next_ms - now_ms);
	timer_in(d->timer, wait_ms);
}

static void on_timer(void *user)
{
	delivery_push(user);
}

int delivery_new(struct uv_loop_s *loop, struct secrets *secrets, const struct services *services,
	const struct workers *workers, struct delivery **ret_delivery)
{
	struct delivery *d = calloc(1, sizeof(*d));
	int bad;

	if (!d)
		return -ENOMEM;
	*d = (struct delivery){.secrets = secrets, .services = services, .workers = workers};
	bad = timer_new(loop, on_timer, d, &d->timer);
	if (bad) {
		free(d);
		return bad;
	}
	timer_in(d->timer, 0);
	*ret_delivery = d;
	return 0;
}

struct delivery *delivery_free(struct delivery *d)
{
	if (d)
		timer_free(d->timer);
	free(d);
	return NULL;
}
