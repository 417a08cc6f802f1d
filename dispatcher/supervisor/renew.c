/* An operator wants another acceptor in place of the present one: with the same settings, and without a
 * client noticing. */
#include "dispatcher/supervisor/baton.h"
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/state.h"

#include <errno.h>
#include <string.h>

static void on_done(void *user)
{
	struct sv *sv = user;

	ops_end(sv->ops, sv->renewal, 0, "a new acceptor accepts");
}

static void on_prepared(void *user, const char *error)
{
	struct sv *sv = user;

	if (!error && baton_switch(sv->baton, NULL, on_done, sv))
		error = "the new acceptor is gone already";
	if (error)
		ops_end_f(sv->ops, sv->renewal, 1, "%s; the present one goes on", error);
}

void sv_renew(struct sv *sv, const struct link_record *order)
{
	int bad;

	if (sv->upgrade) { /* it ends every acceptor, ours too */
		ops_end(sv->ops, order->id, 1, "an upgrade is under way: try again");
		return;
	}
	bad = baton_prepare(sv->baton, sv->config.settings, sv->config.fd, on_prepared, sv);
	if (!bad)
		sv->renewal = order->id;
	else if (bad == -EBUSY)
		ops_end(sv->ops, order->id, 1, "the acceptor is being replaced already");
	else
		ops_end_f(sv->ops, order->id, 1, "cannot start another acceptor: %s", strerror(-bad));
}
