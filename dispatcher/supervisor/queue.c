/* Who waits for a worker of a full service waits in a channel of ours, both of whose ends every acceptor
 * is given: it survives them all. Nobody here ever looks into it. */
#include "dispatcher/supervisor/services_inner.h"
#include "common/base.h"
#include "common/chan.h"

int queue_open(struct service *svc, const struct service_settings *settings)
{
	int bad;

	if (svc->queue[0] >= 0 || settings->when_full != FULL_REFUSE)
		return 0;
	bad = chan_pair(svc->queue);
	if (!bad)
		chan_make_room(svc->queue[0], CHAN_QUEUE_BYTES);
	return bad;
}

int queue_say(struct news *news, int fd)
{
	const struct service *svc =
		(struct service *)((char *)news - offsetof(struct service, queue_news));
	struct link_record r = {.type = LINK_QUEUE, .service = svc->index};

	return svc->queue[0] < 0 ? 0 : link_send(fd, &r, svc->queue, ARRAY_LEN(svc->queue));
}

void queue_close(struct service *svc)
{
	base_close(&svc->queue[0]);
	base_close(&svc->queue[1]);
}
