/* The acceptor's orders, as a table. Of the acceptor only numbers in range are believed; every limit is
 * enforced by the module that carries the order out. */
#include "common/base.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/state.h"
#include "dispatcher/supervisor/thefts.h"
#include "dispatcher/supervisor/workers.h"

typedef void order_fn(struct sv *sv, const struct link_record *order);

static void order_up(struct sv *sv, const struct link_record *order)
{
	/* noted where the acceptor is kept (baton.c) */
}

static void order_run(struct sv *sv, const struct link_record *order)
{
	workers_run(sv->workers, order->slot);
}

static void order_signal(struct sv *sv, const struct link_record *order)
{
	workers_signal(sv->workers, order->slot, order->serial, (int)order->number);
}

static void order_release(struct sv *sv, const struct link_record *order)
{
	workers_release(sv->workers, order->slot, order->serial);
}

static void order_steal(struct sv *sv, const struct link_record *order)
{
	thefts_steal(sv->thefts, order);
}

static void order_stolen_seen(struct sv *sv, const struct link_record *order)
{
	thefts_seen(sv->thefts, order->slot);
}

static void order_shutdown(struct sv *sv, const struct link_record *order)
{
	if (order->number)
		sv_kill(sv, "control");
	else
		sv_drain(sv, "control");
}

static void order_drained(struct sv *sv, const struct link_record *order)
{
	if (order->service < services_count(sv->services))
		services_drained(sv->services, order->service);
}

static void order_idle(struct sv *sv, const struct link_record *order)
{
	if (order->service >= services_count(sv->services))
		return;
	if (services_state(sv->services, order->service) == LINK_CLOSING)
		sv->idle[order->service] = true;
	sv_look(sv);
}

static order_fn *const orders[] = {
	[LINK_UP] = order_up,
	[LINK_RUN] = order_run,
	[LINK_SIGNAL] = order_signal,
	[LINK_RELEASE] = order_release,
	[LINK_STEAL] = order_steal,
	[LINK_STOLEN_SEEN] = order_stolen_seen,
	[LINK_SHUTDOWN] = order_shutdown,
	[LINK_DRAINED] = order_drained,
	[LINK_IDLE] = order_idle,
};

void sv_order(void *user, const struct link_record *order)
{
	if (order->type < ARRAY_LEN(orders) && orders[order->type])
		orders[order->type](user, order);
}

void sv_announce(void *user)
{
	struct sv *sv = user;

	services_announce(sv->services);
	workers_announce(sv->workers);
	thefts_announce(sv->thefts);
}
