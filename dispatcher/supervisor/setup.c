/* Sent before the worker is started, so that it finds the message whenever it first looks. */
#include "dispatcher/supervisor/setup.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"

#include <errno.h>

static void put_list(struct msg_writer *w, enum msg_fact fact, const struct settings *s,
	struct settings_list list)
{
	for (uint32_t i = 0; i < list.count; i++)
		msg_put_text(w, fact, settings_list_text(s, list, i));
}

static void put_listeners(
	struct msg_writer *w, const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *list = settings_listeners(s, svc);

	for (uint32_t i = 0; i < svc->listeners.count; i++)
		msg_put_text(w, MSG_LISTENER_NAME, settings_text(s, list[i].name));
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (list[i].tls)
			msg_put_u32(w, MSG_LISTENER_TLS, i);
}

static void put_facts(struct msg_writer *w, const struct settings *s,
	const struct service_settings *svc, const struct setup *setup)
{
	msg_put_text(w, MSG_SERVICE, settings_text(s, svc->name));
	msg_put_u32(w, MSG_WORKER, setup->serial);
	msg_put_u32(w, MSG_MAX_CONNS_FACT, svc->max_conns);
	msg_put_u32(w, MSG_MIN_CONNS, svc->min_conns);
	msg_put_u64(w, MSG_STACKSIZE, svc->stacksize);
	msg_put_u64(w, MSG_CONN_TIMEOUT, svc->connection_ms);
	msg_put_u32(w, MSG_DEBUG, svc->debug);
	msg_put_u32(w, MSG_RING, setup->ring_len);
	msg_put_u64(w, MSG_KILL_TIMEOUT, svc->kill_ms);
	put_list(w, MSG_PARAMETER, s, svc->parameters);
	put_list(w, MSG_ARGUMENT, s, svc->command);
	put_listeners(w, s, svc);
}

int setup_send(int channel, const struct settings *s, const struct service_settings *svc,
	const struct setup *setup)
{
	OWNS_MEM uint8_t *buf = malloc(MSG_SETUP_BYTES);
	struct msg_writer w;
	int64_t len;
	int answer;

	if (!buf)
		return -ENOMEM;
	msg_begin(&w, buf, MSG_SETUP_BYTES, MSG_SETUP);
	put_facts(&w, s, svc, setup);
	len = msg_end(&w);
	if (len < 0)
		return (int)len;
	answer = chan_send(channel, buf, (size_t)len, NULL, 0);
	return answer > 0 ? -ENOBUFS : answer;
}
